"""Datasets: any folder of audio, read once into a manifest, drawn from in seeded crops."""
