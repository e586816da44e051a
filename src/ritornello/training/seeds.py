"""Random numbers as pure functions of their place: (seed, stage, step, rank) -> generator.

Nothing is stored to resume a stream of draws: the generator of any step is made anew from its key,
so the data position of a run is its step number.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, *key: str | int) -> int:
    """A whole number below 2^63 that depends on `seed` and every part of `key`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *key))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seeded_generator(seed: int, *key: str | int) -> torch.Generator:
    """A CPU generator at the start of the stream that belongs to (seed, *key)."""
    return torch.Generator().manual_seed(derived_seed(seed, *key))


@contextmanager
def seeded_torch(seed: int, *key: str | int) -> Iterator[None]:
    """Torch's own generator seeded from (seed, *key) inside, untouched outside.

    Layers that take no generator (dropout, default initialisations) draw from torch's own; within
    this context they too depend on nothing but their place.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        number = derived_seed(seed, *key)
        torch.default_generator.manual_seed(number)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(number)
        yield
