"""Ritornello: music as raw audio, four published systems on one foundation."""
