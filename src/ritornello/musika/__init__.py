"""Musika (Pasini & Schlueter 2022): spectrogram autoencoders and a GAN on latent coordinates."""
