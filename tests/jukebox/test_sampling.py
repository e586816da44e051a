"""A model that counts proves the windowing; audio as it comes is audio decoded as a whole."""

from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import pytest
import torch

from ritornello.jukebox.code_transformer import TokenState
from ritornello.jukebox.codec import JukeboxCodec
from ritornello.jukebox.sampling import Above, Draws, Voice, decoded
from ritornello.jukebox.windows import Context
from ritornello.nn.transformer import TrunkState
from tests.jukebox.levels import RATE, drawn, tiny

CONTEXT = Context(codes=8, hop=4)


def told(batch=1):
    return TokenState(
        previous=None,
        start=torch.zeros(batch, 1),
        conditions=None,
        trunk=TrunkState(blocks=[]),
    )


@dataclass
class CountingStepper:
    """Its music is 0, 1, 2, ...: each code is one more than the one before it.

    Notes the codes that each window read and was given numbers for.
    """

    path: str = "counting"
    numbers: int = 1
    reads: list[list[int]] = field(default_factory=list)
    drawn: list[list[float]] = field(default_factory=list)

    def begin(self, told):
        return {"last": -1, "rows": len(told.start)}

    def read(self, codes, state):
        assert codes.shape[0] == state["rows"]
        assert np.array_equal(np.diff(codes), np.ones_like(np.diff(codes)))
        self.reads.append(codes[0].tolist())
        state["last"] = int(codes[0, -1])

    def logits(self, codes, state):
        raise AssertionError("nobody asks for logits when sampling")

    def sample(self, state, uniforms, *, temperature=1.0, top_p=1.0, guidance=None):
        self.drawn.append(uniforms[0].tolist())
        first, count = state["last"] + 1, uniforms.shape[1]
        state["last"] += count
        return np.arange(first, first + count)[None]


@dataclass
class Kept:
    """Windows in memory."""

    codes: dict = field(default_factory=dict)

    def get(self, level, window):
        return self.codes.get((level, window.index))

    def put(self, level, index, codes):
        self.codes[level, index] = codes


def counted(upto):
    return torch.arange(upto)[None]


def counting_voice(**changes):
    return Voice(
        **{
            "stepper": CountingStepper(),
            "context": CONTEXT,
            "draws": Draws(seed=3, level=0),
            **changes,
        }
    )


@pytest.mark.parametrize("known", [0, 3, 8, 20])
@pytest.mark.parametrize("new", [1, 4, 9, 30])
def test_every_code_follows_the_one_before_it(known, new):
    voice = counting_voice()
    pieces = list(voice.play(lambda window, tape: told(), counted(known), known + new))
    assert torch.cat(pieces, 1).tolist() == counted(known + new).tolist()
    # One read per window, of all that the context has room for behind the new codes.
    ends = [*range(known + 4, known + new, 4), known + new]
    begins = [known, *ends[:-1]]
    expected = [
        list(range(max(0, end - 8), begin)) for begin, end in zip(begins, ends, strict=True)
    ]
    assert voice.stepper.reads == [codes for codes in expected if codes]


def test_numbers_belong_to_seed_level_and_window():
    def numbers(**changes):
        voice = counting_voice(draws=Draws(**{"seed": 3, "level": 0, **changes}))
        list(voice.play(lambda window, tape: told(), counted(0), 12))
        return voice.stepper.drawn

    assert numbers() == numbers()
    assert numbers() != numbers(seed=4)
    assert numbers() != numbers(level=1)
    assert numbers() != numbers(after=100) != numbers(after=200)
    first, second, third = numbers()
    assert first != second != third
    rows = counting_voice(draws=Draws(seed=3, level=0, guidance=2.0))
    list(rows.play(lambda window, tape: told(batch=2), counted(0), 12))
    assert rows.stepper.drawn == numbers()


def test_an_endless_song_is_a_longer_one_in_constant_memory():
    tapes = []

    def tell(window, tape):
        tapes.append(tape.end - tape.start)
        return told()

    voice = counting_voice()
    pieces = list(islice(voice.play(tell, counted(0), None), 50))
    assert torch.cat(pieces, 1).tolist() == counted(200).tolist()
    assert max(tapes) == CONTEXT.codes


def test_finished_windows_are_not_drawn_again():
    kept, voice = Kept(), counting_voice()
    whole = torch.cat(list(voice.play(lambda w, t: told(), counted(0), 18)), 1)
    first = counting_voice(store=kept)
    list(islice(first.play(lambda w, t: told(), counted(0), 18), 3))
    second = counting_voice(store=kept)
    again = torch.cat(list(second.play(lambda w, t: told(), counted(0), 18)), 1)
    assert again.tolist() == whole.tolist()
    assert first.stepper.drawn + second.stepper.drawn == voice.stepper.drawn
    assert len(second.stepper.drawn) == 2


def test_a_window_is_over_its_codes_above_and_nothing_is_fetched_early():
    fetched, looked = [], []

    def source():
        for first in range(0, 100, 3):
            fetched.append(first + 3)
            yield torch.arange(first, first + 3)[None]

    above = Above(source(), ratio=4)

    def tell(window, tape):
        codes = above.behind(window)
        looked.append((codes[0].tolist(), fetched[-1]))
        return told()

    codes = counting_voice(context=Context(codes=16, hop=8)).play(tell, counted(0), 44)
    assert torch.cat(list(codes), 1).tolist() == counted(44).tolist()
    assert looked == [
        ([0, 1, 2, 3], 6),
        ([0, 1, 2, 3], 6),
        ([2, 3, 4, 5], 6),
        ([4, 5, 6, 7], 9),
        ([6, 7, 8, 9], 12),
        ([7, 8, 9, 10], 12),
    ]


@pytest.fixture(scope="module")
def codec():
    return JukeboxCodec(drawn(replace(tiny(), depth=1)), RATE)


@pytest.mark.parametrize("size", [3, 32])
@pytest.mark.parametrize("skip", [0, 11])
def test_decoding_as_codes_come_is_decoding_the_whole(codec, size, skip):
    codes = torch.randint(16, (1, 32), generator=torch.Generator().manual_seed(0))
    pieces = list(decoded(codec, iter(codes.split(size, 1)), skip))
    whole = codec.decode(codes[:, None])[0, :, skip * codec.hop_samples :]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-5, rtol=0)


def test_sound_comes_as_soon_as_its_context_is_there(codec):
    fed = []

    def codes():
        for index in range(40):
            fed.append(index)
            yield torch.tensor([[index % 16]])

    first = next(decoded(codec, codes()))
    assert first.shape[1] == codec.hop_samples
    assert len(fed) == codec.decoder_frames + 1
