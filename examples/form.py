"""Sections that return: A comes back as the music it was, B is a relative of it.

python examples/form.py [MODEL]
"""

import sys

import numpy as np

import ritornello
from ritornello.audio.io import write_audio
from ritornello.musika.form import parse_form
from ritornello.musika.generate import Musika

system = ritornello.load(sys.argv[1] if len(sys.argv) > 1 else "piano")
assert isinstance(system, Musika)

# Three sections of four chunks each. Other lengths are rounded to whole chunks.
section_s = 4 * system.config.chunk_s
request = ritornello.Request(seed=1, form=parse_form(f"A:{section_s},B:{section_s},A:{section_s}"))
audio = system.generate(request)
write_audio("form.wav", audio)
for letter, start_s, end_s in audio.meta["form"]:
    print(f"{letter}  {start_s:6.2f} s - {end_s:6.2f} s")

# A chunk is made from the letter and its place in the section: chunk 8 is chunk 0 again.
piece = system.piece(request)
print("chunk 8 equals chunk 0:", bool(np.array_equal(piece.latents(8), piece.latents(0))))
print("chunk 4 equals chunk 0:", bool(np.array_equal(piece.latents(4), piece.latents(0))))
