"""Steps of networks in C, for sampling one symbol at a time: optional, and equal to torch.

    library       finds the compiled library, and which instruction sets it can use here
    wavenet       the causal WaveNet: what nn/wavenet.py computes, 8 to 43 times as fast
    transformer   the transformer over tokens: what jukebox/code_transformer.py computes

Without a compiler nothing here is built and everything works on torch. docs/native.md has more.
"""
