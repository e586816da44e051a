"""Lines told apart by ear: figures on scores by hand, and a voice that speaks real ones."""

import importlib.util
import shutil
import subprocess

import numpy as np
import pytest

from ritornello.audio.io import read_audio
from ritornello.errors import DataError, MissingDependencyError
from ritornello.evaluation import sung_words
from ritornello.interfaces import Audio

HAS_RECOGNISER = importlib.util.find_spec("pocketsphinx") is not None
needs_recogniser = pytest.mark.skipif(not HAS_RECOGNISER, reason="pocketsphinx is not installed")
LINES = (
    "the silver moon is in the sky",
    "a yellow dog was at the door",
    "some people like to sing at night",
    "and all the birds have flown away",
    "the water fell upon the stone",
)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Each line as Festival says it."""
    program = shutil.which("text2wave")
    if program is None:
        pytest.skip("Festival is not installed")
    folder = tmp_path_factory.mktemp("spoken")
    audios = []
    for index, line in enumerate(LINES[:3]):
        path = folder / f"{index}.wav"
        subprocess.run([program, "-o", path], input=line.encode(), check=True)
        audios.append(read_audio(path))
    return audios


def test_figures_by_hand():
    scores = np.array([[-1.0, -2, -3], [-2, -1, -3], [-np.inf, -1, -np.inf]])
    truth = np.array([0, 0, 2])
    assert sung_words.beaten(scores, truth).tolist() == [1, 0.5, 0]
    assert sung_words.identified(scores, truth).tolist() == [1, 0, 0]
    figures = sung_words.evaluate(scores, truth, -scores, np.random.default_rng(0))
    assert figures["identified"].value == pytest.approx(1 / 3)
    assert figures["rank"].value == pytest.approx(0.5)
    assert figures["chance"].value == pytest.approx(1 / 3)
    assert figures["identified"].items == 3


def test_equal_scores_identify_nothing():
    assert sung_words.identified(np.full((4, 5), -1.0), np.arange(4)).sum() == 0


def test_scores_that_know_nothing_are_at_chance():
    draw = np.random.default_rng(0)
    scores, control = draw.normal(size=(2, 400, 5))
    figures = sung_words.evaluate(scores, draw.integers(5, size=400), control, draw)
    for name in ("identified", "identified_control"):
        assert figures[name].low < figures["chance"].value < figures[name].high


def test_refuses_scores_of_nothing():
    with pytest.raises(DataError, match="two lines"):
        sung_words.validate(np.zeros((3, 1)), np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="each one of"):
        sung_words.validate(np.zeros((3, 2)), np.array([0, 1, 2]))


def test_words_are_those_of_dictionaries():
    assert sung_words.words_of("Don't -- 'twas\N{RIGHT SINGLE QUOTATION MARK}s END.") == [
        "don't",
        "twas's",
        "end",
    ]


@pytest.mark.skipif(HAS_RECOGNISER, reason="pocketsphinx is installed")
def test_says_what_is_missing():
    with pytest.raises(MissingDependencyError, match="pocketsphinx"):
        sung_words.syllables("la")


@needs_recogniser
def test_distractors_have_as_many_syllables():
    pool = [*LINES, "too short", "zzyzx qwrtp la la la la la la"]
    assert [sung_words.syllables(line) for line in LINES] == [8] * 5
    found = sung_words.distractors(LINES[0], pool, 4, np.random.default_rng(0))
    assert set(found) == set(LINES[1:])
    with pytest.raises(DataError, match="as have 4 other"):
        sung_words.distractors(LINES[0], pool, 5, np.random.default_rng(0))
    with pytest.raises(DataError, match="lacks qwrtp"):
        sung_words.syllables("the qwrtp")


@pytest.mark.slow
@needs_recogniser
def test_spoken_lines_are_identified(spoken):
    figures = sung_words.judge(spoken, LINES[:3], LINES, np.random.default_rng(0), others=4)
    assert figures["identified"].value == 1
    assert figures["rank_control"].value < 1


@pytest.mark.slow
@needs_recogniser
def test_a_line_too_long_for_the_audio_does_not_fit(spoken):
    short = Audio(samples=spoken[0].samples[:, :16000], sample_rate=spoken[0].sample_rate)
    assert sung_words.scores_of(short, [" and ".join(LINES)]).tolist() == [-np.inf]


@pytest.mark.slow
@needs_recogniser
def test_scores_do_not_depend_on_what_was_heard_before(spoken):
    first = sung_words.scores_of(spoken[0], LINES)
    sung_words.scores_of(spoken[1], LINES[:1])
    np.testing.assert_array_equal(sung_words.scores_of(spoken[0], LINES), first)
    assert np.isfinite(first).all()
    assert first.max() <= 0


@needs_recogniser
def test_silence_is_refused():
    silent = Audio(samples=np.zeros((1, 16000), np.float32), sample_rate=16000)
    with pytest.raises(DataError, match="silent"):
        sung_words.scores_of(silent, LINES)
