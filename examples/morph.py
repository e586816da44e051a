"""Travel from one seed's style to another's, and watch how far the music has come.

python examples/morph.py [MODEL]
"""

import sys

import ritornello
from ritornello.audio.io import write_audio
from ritornello.musika.coordinates import border_style
from ritornello.musika.generate import Musika, Options

system = ritornello.load(sys.argv[1] if len(sys.argv) > 1 else "piano")
assert isinstance(system, Musika)

chunks = 8
request = ritornello.Request(seed=3, seconds=chunks * system.config.chunk_s)
options = Options(to_seed=7)
write_audio("morph.wav", system.generate(request, options))

# The style moves along an arc; every chunk starts a little closer to where it goes.
route = system.piece(request, options).route
goal = border_style(route, chunks, system.config.gan)
for chunk in range(0, chunks + 1, 2):
    style = border_style(route, chunk, system.config.gan)
    print(f"at {chunk * system.config.chunk_s:5.2f} s: {float((style - goal).norm()):.2f} away")
