"""Play a piece from its start, then enter it an hour in: the same piece, without the hour.

python examples/stream_and_seek.py [MODEL]
"""

import itertools
import sys

import numpy as np

import ritornello
from ritornello.audio.io import AudioWriter, write_audio
from ritornello.musika.generate import Musika, Options

system = ritornello.load(sys.argv[1] if len(sys.argv) > 1 else "piano")
assert isinstance(system, Musika)
endless = ritornello.Request(seed=5)

# A stream is blocks of audio, one per chunk, for as long as somebody asks for the next.
with AudioWriter("beginning.wav", system.sample_rate, system.channels) as writer:
    for block in itertools.islice(system.stream(endless), 4):
        writer.write(block)

# The piece behind it can be had by the second, wherever that is.
piece = system.piece(endless)
hour = piece[3600:3604]
write_audio("hour.wav", hour)

# What a stream plays when it begins there are the same bits.
first = next(iter(system.stream(endless, Options(seek_s=3600))))
length = min(first.samples.shape[1], hour.samples.shape[1])
same = np.array_equal(first.samples[:, :length], hour.samples[:, :length])
print(f"beginning.wav and hour.wav written; sought and sliced are the same bits: {same}")
