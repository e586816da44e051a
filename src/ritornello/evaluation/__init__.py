"""Judging: how close, how wide, how seamless, how varied, how obedient, how fast.

One file per question. Each opens with its conventions and metrics, refuses what it cannot judge
(`validate`), has pure functions on arrays, and `evaluate`, which gives all its figures by name. No
file here knows any system: benchmarks and the command line bring the audio.

    reconstruction   a codec's output against its input
    stereo           width of a recording
    seams            joints of a piece made in chunks
    diversity        variety of takes against that of real music
    frechet          distance of a generated set from a real one, without embedding
    controls         adherence to curves and constants
    speed            time, memory, machine
    pictures         spectrograms side by side
    intervals        bootstrap intervals, which every figure over clips carries
    spectra, onsets, excerpts   what the metrics measure with
"""
