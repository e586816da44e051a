"""Datasets that anyone can make offline, from scores and a sampled instrument."""
