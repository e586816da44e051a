"""Do the metrics see what they should? The order that must hold, fixed here before any run.

A metric earns trust on material whose order is known. Sets of clips, all of the same number, length
and loudness, are compared with one reference: held-out piano. What must come out is written down in
this file, so that a run can only agree or disagree with it.

Conventions
    set          clips of one kind, by name: `piano`, `reconstruction`, `organ`, ...
    figures      metric -> set -> Estimate; smaller is nearer to the reference
    a grade      amount of a degradation, mildest first; grade 0 is the undamaged `piano`

Metrics
    judge_order      each expected pair: apart, in order, or not in order
    judge_grades     each degradation: does the figure rise with it, or is the metric blind to it?

Every clip is brought to the same loudness first: a set must not stand further away for its level.
So the table says nothing of level, and the embeddings hear one channel: nothing of width either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError
from ritornello.evaluation.intervals import Estimate

CLIPS, CLIP_S, SEED = 32, 10.0, 0
LOUDNESS_LUFS = -26.0

INSTRUMENTS = {"organ": 19, "harp": 46, "vibraphone": 11}
"""General MIDI programs, counted from 0, that play the same held-out pieces."""

Pair = tuple[str, str]

TIMBRE: tuple[Pair, ...] = tuple(("piano", name) for name in INSTRUMENTS)
FAR: tuple[Pair, ...] = (*((name, "other") for name in INSTRUMENTS), ("other", "noise"))
CODEC: tuple[Pair, ...] = (("piano", "reconstruction"),)

EXPECTED: dict[str, tuple[Pair, ...]] = {
    "fad": (*CODEC, *TIMBRE, *FAR),
    "fad_infinity": (*CODEC, *TIMBRE, *FAR),
    "kid": (*CODEC, *TIMBRE, *FAR),
    "fad_codec": (*CODEC, *TIMBRE, *FAR),
    # Made by hand from levels and paces: it does not claim to hear what a good codec loses.
    "frechet_excerpts": (*TIMBRE, *FAR),
    # Told from notes, keys and beats: another instrument's same notes are the same to it.
    "mirdd_open_js": FAR,
}
"""Pairs (nearer, further) that each metric claims; what it does not claim is reported all the same.

The generator's place is in none of them: it is what one wants to find out.
"""

GRADES: dict[str, tuple[float, ...]] = {
    "noise": (40.0, 30.0, 20.0, 10.0),
    "low_pass": (6000.0, 3000.0, 1500.0, 750.0),
    "wobble": (10.0, 25.0, 50.0, 100.0),
    "shuffle": (2.0, 1.0, 0.5, 0.25),
}
"""Amounts, mildest first: dB over the noise, Hz of the edge, cents of depth, seconds of a piece."""

CLAIMS: dict[str, tuple[str, ...]] = {
    "fad": ("noise", "low_pass", "wobble"),
    "fad_infinity": ("noise", "low_pass", "wobble"),
    "kid": ("noise", "low_pass", "wobble"),
    "fad_codec": ("noise", "low_pass"),
    "frechet_excerpts": ("noise", "low_pass"),
    "mirdd_open_js": ("wobble",),
}
"""Degradations with which each metric claims to rise. None claims time: all pool over it."""
