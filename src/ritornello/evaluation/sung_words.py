"""Which words are sung? Candidate lines, each forced upon the audio; the best fit wins.

A recogniser of speech (pocketsphinx, whose English model travels with it) is told what is said and
says how well the sounds fit, for each of several lines with equally many syllables. Of N lines, who
hears nothing gets 1 / N right. It was made for speech: what it makes of a real voice singing is the
ceiling, and is to be judged beside what a model sings.

Conventions
    line       English words as one line; case and punctuation do not count
    scores     float (items, lines): nats per second, relative to the sound that fits best at each
               moment; at most 0, -inf for lines that have more sounds than the audio has time
    truth      int (items,): which of its lines each item sings
    control    the same scores of another item's audio: whoever finds lines there likes some lines
               better whatever is sung

Metrics
    identified         share of items whose own line scores best; ties count as missed
    identified_control the same of the control, which is to be chance
    rank               mean share of the other lines that score less; 0.5 is chance
    chance             1 / lines
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import inf, log
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ritornello.audio.resample import resample
from ritornello.errors import DataError, MissingDependencyError
from ritornello.evaluation.intervals import Estimate, mean_interval, without_interval
from ritornello.interfaces import Audio

SAMPLE_RATE = 16_000
BEAM = 1e-300
"""Nothing is given up early: wrong lines must get their score too."""

NATS = 1024
"""The recogniser drops ten bits of its log likelihoods."""

LOUDEST = 0.7
VOWEL = re.compile(r"^[AEIOU]")

Scores = Float[np.ndarray, "items lines"]
Truth = Int[np.ndarray, " items"]


# ------------------------------------------------------------------ the recogniser


@lru_cache(maxsize=1)
def _recogniser() -> Any:
    """The English model without a grammar of its own; loaded once.

    Raises:
        MissingDependencyError: pocketsphinx is not installed.
    """
    try:
        import pocketsphinx
    except ImportError:
        raise MissingDependencyError(
            "hearing sung words", "pocketsphinx", 'pip install "ritornello[eval]"'
        ) from None
    return pocketsphinx.Decoder(
        lm=None,
        loglevel="FATAL",
        beam=BEAM,
        wbeam=BEAM,
        pbeam=BEAM,
        # Scores are relative to the best sound at each moment: of all sounds, not of those that
        # this line happens to have, or lines could not be compared.
        compallsen=True,
        # Its second pass may leave the line unfinished.
        bestpath=False,
    )


def words_of(line: str) -> list[str]:
    """The words of a line as dictionaries have them."""
    plain = line.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return [word.strip("'") for word in re.findall(r"[a-z']+", plain) if word.strip("'")]


@lru_cache(maxsize=2**16)
def _pronounced(word: str) -> str | None:
    """The sounds of a word; None for one that the dictionary lacks."""
    return _recogniser().lookup_word(word)


def unknown_words(line: str) -> list[str]:
    """Words of a line that the recogniser's dictionary lacks."""
    return [word for word in words_of(line) if _pronounced(word) is None]


def syllables(line: str) -> int:
    """How many a line has: vowels of its words' pronunciations.

    Raises:
        DataError: No words, or a word that the dictionary lacks.
    """
    _refuse(line)
    sounds = [sound for word in words_of(line) for sound in (_pronounced(word) or "").split()]
    return sum(bool(VOWEL.match(sound)) for sound in sounds)


def distractors(line: str, pool: Sequence[str], count: int, draw: np.random.Generator) -> list[str]:
    """Other lines of `pool` with as many syllables, drawn without replacement.

    Lines with unknown words are passed over.

    Raises:
        DataError: Fewer than `count` of them, or a line that cannot be scored.
    """
    wanted, own = syllables(line), words_of(line)
    others = {" ".join(words_of(one)) for one in pool} - {" ".join(own), ""}
    fit = [one for one in sorted(others) if not unknown_words(one) and syllables(one) == wanted]
    if len(fit) < count:
        raise DataError(
            f"{line!r} has {wanted} syllables, as have {len(fit)} other lines; expected {count} or "
            "more. Give more lines."
        )
    return [fit[index] for index in draw.choice(len(fit), size=count, replace=False).tolist()]


def _refuse(line: str) -> None:
    if not words_of(line):
        raise DataError(f"{line!r} has no English words; expected at least one")
    unknown = unknown_words(line)
    if unknown:
        raise DataError(
            f"the dictionary lacks {', '.join(unknown)} of {line!r}; choose lines of known words"
        )


# ------------------------------------------------------------------ scores


def scores_of(audio: Audio, lines: Sequence[str]) -> Float[np.ndarray, " lines"]:
    """How well each line fits what is sung, in nats per second.

    Raises:
        DataError: No lines, or one that cannot be scored.
        MissingDependencyError: pocketsphinx is not installed.
    """
    if not lines:
        raise DataError("got no lines to score; expected at least one")
    for line in lines:
        _refuse(line)
    speech = _speech(audio)
    # The recogniser takes the mean of the features over from what it heard last; once through,
    # that is this audio, whatever came before.
    _score(speech, words_of(lines[0]))
    return np.array([_score(speech, words_of(line)) / audio.duration_s for line in lines])


def _speech(audio: Audio) -> bytes:
    """Mono, 16 kHz, 16 bits, at one level."""
    mono = audio.samples.mean(axis=0, keepdims=True)
    wave = resample(mono, audio.sample_rate, SAMPLE_RATE)[0]
    peak = float(np.abs(wave).max(initial=0.0))
    if not np.isfinite(peak) or peak == 0:
        raise DataError("the audio is silent or not finite; expected something sung")
    return (wave * (LOUDEST / peak * (2**15 - 1))).astype("<i2").tobytes()


def _score(speech: bytes, words: Sequence[str]) -> float:
    recogniser = _recogniser()
    recogniser.set_align_text(" ".join(words))
    recogniser.start_utt()
    recogniser.process_raw(speech, full_utt=True)
    recogniser.end_utt()
    found = recogniser.hyp()
    return -inf if found is None or found.score <= 0 else NATS * log(found.score)


# ------------------------------------------------------------------ figures


def validate(scores: Scores, truth: Truth) -> None:
    """Refuse what nothing can be identified by.

    Raises:
        DataError: No items, fewer than two lines, NaN, or truth that is no line.
    """
    items, lines = scores.shape
    if not items or lines < 2 or np.isnan(scores).any():
        raise DataError(
            f"got scores of {items} items and {lines} lines; expected one item and two lines or "
            "more, and no NaN"
        )
    if len(truth) != items or truth.min() < 0 or truth.max() >= lines:
        raise DataError(
            f"truth has {len(truth)} items, scores have {items}; expected as many, each one of "
            f"0 .. {lines - 1}"
        )


def beaten(scores: Scores, truth: Truth) -> Float[np.ndarray, " items"]:
    """Of every item the share of the other lines that score less than its own."""
    validate(scores, truth)
    own = scores[np.arange(len(truth)), truth]
    return (scores < own[:, None]).sum(axis=1) / (scores.shape[1] - 1)


def identified(scores: Scores, truth: Truth) -> Float[np.ndarray, " items"]:
    """Of every item 1 where its own line scores better than all others, else 0."""
    return (beaten(scores, truth) == 1).astype(np.float64)


def evaluate(
    scores: Scores, truth: Truth, control: Scores, draw: np.random.Generator
) -> dict[str, Estimate]:
    """All figures, with intervals over items.

    Args:
        scores: Of every item's audio.
        truth: Its own line among the lines.
        control: Of another item's audio, with the same lines.
        draw: Source of the intervals.

    Raises:
        DataError: As `validate`, of either.
    """
    items, lines = scores.shape
    return {
        "identified": mean_interval(identified(scores, truth), draw),
        "identified_control": mean_interval(identified(control, truth), draw),
        "rank": mean_interval(beaten(scores, truth), draw),
        "rank_control": mean_interval(beaten(control, truth), draw),
        "chance": without_interval(1 / lines, items),
    }


def judge(
    audios: Sequence[Audio],
    lines: Sequence[str],
    pool: Sequence[str],
    draw: np.random.Generator,
    others: int = 9,
) -> dict[str, Estimate]:
    """Of audio that was to sing one line each: is it the one that is heard?

    Args:
        audios: Two or more; a voice, or a mix.
        lines: What each was to sing.
        pool: Lines that distractors are drawn from; may hold `lines`.
        draw: Source of distractors and intervals.
        others: Distractors for every item.

    Raises:
        DataError: Fewer than two items, or as `distractors` and `scores_of`.
    """
    if len(audios) != len(lines) or len(audios) < 2:
        raise DataError(
            f"got {len(audios)} recordings and {len(lines)} lines; expected as many, two or more"
        )
    scores, control = [], []
    for item, line in enumerate(lines):
        candidates = [line, *distractors(line, pool, others, draw)]
        scores.append(scores_of(audios[item], candidates))
        control.append(scores_of(audios[item - 1], candidates))
    truth = np.zeros(len(lines), dtype=np.int64)
    return evaluate(np.stack(scores), truth, np.stack(control), draw)
