"""Audio: files, resampling, STFT, loudness, chunks, and what can be measured from the sound."""
