"""Jukebox: three VQ-VAEs, a transformer prior and upsamplers (Dhariwal et al. 2020)."""
