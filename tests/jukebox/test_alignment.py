"""From attention to times: on attention drawn to sing at known times, and on real layers."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from ritornello.errors import CapabilityError, DataError
from ritornello.jukebox import alignment, prior_presets
from ritornello.jukebox.alignment import TimedSong
from ritornello.jukebox.lyrics import Sung
from ritornello.jukebox.prior import build_prior, initialise
from ritornello.jukebox.song_lyrics import evenly
from tests.jukebox.conditions import conditions_for, draw, integers

RATE_HZ = 10.0
TEXT = "one two  three four"
TRUTH = (
    Sung(start_s=1.0, end_s=2.0, begin=0, end=3),
    Sung(start_s=2.0, end_s=4.5, begin=4, end=7),
    Sung(start_s=7.0, end_s=7.5, begin=9, end=14),
    Sung(start_s=7.5, end_s=9.0, begin=15, end=19),
)
PLACES = [(one.begin, one.end) for one in TRUTH]
BASE = {"encoder": prior_presets.nano_encoder, "merged": prior_presets.nano_merged}


def looking(sure, seconds=10.0, seed=0):
    """Attention on the letters being sung with that share, the rest of it anywhere."""
    frames = round(seconds * RATE_HZ)
    seen = np.random.default_rng(seed).dirichlet(np.ones(len(TEXT)), frames)
    for frame in range(frames):
        for one in TRUTH:
            if one.start_s <= frame / RATE_HZ < one.end_s:
                seen[frame] *= 1 - sure
                share = (frame / RATE_HZ - one.start_s) / (one.end_s - one.start_s)
                seen[frame, one.begin + int(share * (one.end - one.begin))] += sure
    return seen.astype(np.float32)


def test_words_stand_between_spaces():
    assert alignment.words(TEXT) == PLACES
    assert alignment.words("  ") == []


@pytest.mark.parametrize("sure", [0.95, 0.7])
def test_sung_words_are_found_when_they_are_sung_and_rests_are_left(sure):
    found = alignment.aligned(looking(sure), PLACES, RATE_HZ)
    errors = alignment.onset_errors_s(TRUTH, found)
    assert errors.max() < 0.25
    assert found[1].end_s == pytest.approx(4.5, abs=0.3)  # the rest before the third word


def test_all_places_are_sung_once_and_in_order_whatever_is_looked_at():
    seen = np.random.default_rng(1).dirichlet(np.ones(len(TEXT)), 6).astype(np.float32)
    found = alignment.aligned(seen, PLACES, RATE_HZ)
    for one, other in pairwise(found):
        assert one.start_s < one.end_s <= other.start_s
    with pytest.raises(DataError, match="frame for"):
        alignment.aligned(seen[:3], PLACES, RATE_HZ)
    with pytest.raises(DataError, match="got 0 places"):
        alignment.aligned(seen, [], RATE_HZ)


def test_the_path_is_the_best_of_all_paths():
    """Against every path there is, on a song short enough to write them all down."""
    scores = np.random.default_rng(2).normal(size=(6, 5))

    def ways(frame, state):
        steps = [state, state + 1] + ([state + 2] if state % 2 else [])
        if frame == 5:
            return [[state]] if state >= 3 else []
        return [[state, *rest] for step in steps if step < 5 for rest in ways(frame + 1, step)]

    every = ways(0, 0) + ways(0, 1)
    best = max(every, key=lambda way: scores[np.arange(6), way].sum())
    assert alignment._best_path(scores).tolist() == best


def test_scores_stand_beside_the_heuristic():
    lyrics = evenly(TEXT, "bytes", 10.0)
    heuristic = alignment.linear(lyrics, PLACES, 10.0)
    assert heuristic[0].start_s == 0
    assert heuristic[-1].end_s == pytest.approx(10.0)
    assert heuristic[2].start_s == pytest.approx(10.0 * 9 / 19)
    found = alignment.aligned(looking(0.9), PLACES, RATE_HZ)
    figures = alignment.evaluate(
        [TRUTH] * 2, [found, TRUTH], [heuristic] * 2, np.random.default_rng(0)
    )
    assert figures["onsets_near"].value == 1
    assert figures["onset_error_s"].value < 0.1
    assert figures["linear_onset_error_s"].value == pytest.approx(
        np.mean(
            [abs(one.start_s - true.start_s) for one, true in zip(heuristic, TRUTH, strict=True)]
        )
    )
    with pytest.raises(DataError, match="same places"):
        alignment.onset_errors_s(TRUTH, found[1:])


def test_bytes_of_one_letter_are_one_letter():
    lyrics = evenly("ä é", "bytes", 4.0)
    times = alignment.linear(lyrics, [(0, 1), (2, 3)], 4.0)
    assert times[1].start_s == pytest.approx(4.0 * 3 / 5)


def test_an_alignment_is_a_side_cars_lyrics(tmp_path):
    file = alignment.save_json(TEXT, TRUTH, tmp_path / "new" / "a.json")
    assert alignment.load_json(file) == (TEXT, TRUTH)
    file.write_text('{"text": "la"}')
    with pytest.raises(DataError, match="holds no alignment"):
        alignment.load_json(file)


def test_the_picture_is_drawn(tmp_path):
    path = alignment.save_picture(looking(0.9), RATE_HZ, {"sung": TRUTH}, tmp_path / "a.png")
    assert path.read_bytes()[1:4] == b"PNG"


# ------------------------------------------------------------------ real layers


def prior_of(kind):
    """A prior whose lyrics' alphabet is that of bytes."""
    config = BASE[kind]()
    config = replace(config, lyrics=replace(config.lyrics, symbols=257))
    prior = build_prior(config).eval()
    initialise(prior, draw())
    return prior


@pytest.mark.parametrize("kind", BASE)
def test_attention_over_a_song_is_that_of_its_windows(kind):
    prior = prior_of(kind)
    frames = prior.config.frames * 2 + 3
    rate_hz = prior.config.frame_rate_hz
    lyrics = evenly("la lo", "bytes", frames / rate_hz)
    codes = integers(prior.config.codes, 1, frames)
    told = conditions_for(prior.config, batch=1)
    layer = alignment.lyric_layers(prior.config)[0]
    seen = alignment.attention(prior, codes, lyrics, told, layer)
    assert seen.shape == (prior.config.transformer.heads, frames, 5)
    np.testing.assert_allclose(seen.sum(2), 1, atol=1e-5)
    hop = prior.config.frames // 2
    tokens = torch.tensor([[0] * (prior.config.lyrics.tokens - 5) + [1 + ord(x) for x in "la lo"]])
    first = replace(told, start_s=torch.zeros(1), lyrics=tokens)
    with torch.inference_mode():
        weights = prior.lyric_weights(codes[:, :hop], first, layer)[0, :, :, -5:]
    weights = weights / weights.sum(2, keepdim=True)
    np.testing.assert_allclose(seen[:, :hop], weights.numpy(), atol=1e-5)


def test_the_head_that_looks_is_chosen(monkeypatch):
    """Heads of one layer that look better and worse: the better one wins, with its error."""
    prior = prior_of("merged")
    rate_hz = prior.config.frame_rate_hz
    true = tuple(
        replace(one, start_s=one.start_s * RATE_HZ / rate_hz, end_s=one.end_s * RATE_HZ / rate_hz)
        for one in TRUTH
    )
    heads = np.stack([looking(0.0), looking(0.9)])
    assert prior.config.transformer.heads == len(heads)
    layers = alignment.lyric_layers(prior.config)

    def drawn(prior, codes, lyrics, told, layer):
        return heads if layer == layers[-1] else np.zeros_like(heads)

    monkeypatch.setattr(alignment, "attention", drawn)
    song = TimedSong(
        codes=integers(4, 1, 100),
        lyrics=evenly(TEXT, "bytes", 100 / rate_hz),
        told=conditions_for(prior.config, batch=1),
        truth=true,
    )
    found = alignment.choose_head(prior, [song])
    assert (found.layer, found.head) == (layers[-1], 1)
    assert found.error_s < 0.25 * RATE_HZ / rate_hz
    with pytest.raises(DataError, match="no songs"):
        alignment.choose_head(prior, [])


def test_a_prior_without_lyrics_is_refused():
    with pytest.raises(CapabilityError, match="without lyrics"):
        alignment.lyric_layers(prior_presets.nano())
