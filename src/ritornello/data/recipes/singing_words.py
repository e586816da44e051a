"""Words as Festival's voice speaks them, taken apart by WORLD.

Festival (Debian: festival, festvox-us-slt-hts) speaks each word once and tells when each sound of
it begins and ends. WORLD (Morise, Yokomori and Ozawa 2016; package pyworld) divides the audio into
a spectral envelope, an aperiodicity and a pitch. The pitch is dropped: the song has its own.
"""

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Bool, Float

from ritornello.errors import DataError, MissingDependencyError

VOICE = "voice_cmu_us_slt_arctic_hts"
DEBIAN = "sudo apt install festival festvox-us-slt-hts"
RATE_HZ = 32000  # of this voice
FRAME_S = 0.005  # WORLD's hop
FFT_SIZE = 1024  # resolves voices down to 94 Hz; this one does not go below 130
BINS = FFT_SIZE // 2 + 1
PITCH_HZ = (120.0, 400.0)  # compass of the speaking voice
SILENCE = "pau"
VOICELESS = frozenset(("p", "t", "k", "f", "s", "sh", "th", "ch", "hh", "h"))
SONOROUS = frozenset(("l", "r", "m", "n", "ng", "w", "y"))
DIPHTHONGS = frozenset(("ay", "aw", "oy", "ey", "ow"))
LEAST_POWER = 1e-12
MARGIN_S = 0.05
LOUDEST_VOICED_DB = 3.0  # against the middle of the word's vowels
LOUDEST_VOICELESS_DB = -6.0
WORDS_KEPT = 1500  # about 150 kB each


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One phoneme of a spoken word.

    Attributes:
        name: Festival's (radio) name.
        start_s: From the beginning of the word.
        end_s: From the beginning of the word.
        vowel: Whether it is one.
        begins_syllable: Whether a syllable starts with it.
    """

    name: str
    start_s: float
    end_s: float
    vowel: bool
    begins_syllable: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Spoken:
    """A word as it was spoken, without the silence around it.

    Attributes:
        sounds: In order, without gaps.
        log_envelope: Logarithm of the power spectrum, every `FRAME_S`.
        aperiodicity: Share of noise in it, 0 to 1.
        voiced: Frames that have a pitch.
    """

    sounds: tuple[Sound, ...]
    log_envelope: Float[np.ndarray, "frames bins"]
    aperiodicity: Float[np.ndarray, "frames bins"]
    voiced: Bool[np.ndarray, " frames"]

    @property
    def syllables(self) -> list[tuple[Sound, ...]]:
        """Sounds of each syllable; one without a vowel belongs to the one before it."""
        groups: list[list[Sound]] = []
        for sound in self.sounds:
            if sound.begins_syllable or not groups:
                groups.append([])
            groups[-1].append(sound)
        whole: list[list[Sound]] = []
        for group in groups:
            if whole and not (_has_vowel(group) and _has_vowel(whole[-1])):
                whole[-1] += group
            else:
                whole.append(group)
        return [tuple(group) for group in whole]


def _has_vowel(sounds: Sequence[Sound]) -> bool:
    return any(sound.vowel for sound in sounds)


# ------------------------------------------------------------------ what must be installed


@lru_cache(maxsize=1)
def load_world() -> Any:
    """WORLD's functions (the compiled part of pyworld).

    The package itself imports pkg_resources only to tell its version, which new releases of
    setuptools no longer have; the compiled part is loaded without it.

    Raises:
        MissingDependencyError: pyworld is not installed.
    """
    package = importlib.util.find_spec("pyworld")
    places = None if package is None else package.submodule_search_locations
    found = None if places is None else PathFinder.find_spec("pyworld.pyworld", list(places))
    if found is None or found.loader is None:
        raise MissingDependencyError(
            "the songs recipe", "pyworld", "pip install 'ritornello[songs]'"
        )
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def find_festival() -> str:
    """Where the program is.

    Raises:
        MissingDependencyError: Festival or its voice is not installed.
    """
    program = shutil.which("festival")
    if program is None:
        raise MissingDependencyError("the songs recipe", "Festival with a voice", DEBIAN)
    return program


# ------------------------------------------------------------------ speaking


class Speaker:
    """Says words, each once: what was said before is remembered.

    Args:
        festival: The program.
        kept: Words that are remembered; the oldest are forgotten first.
    """

    def __init__(self, festival: str, kept: int = WORDS_KEPT) -> None:
        self._festival = festival
        self._kept = kept
        self._said: dict[str, Spoken | None] = {}

    def say(self, words: Iterable[str]) -> dict[str, Spoken | None]:
        """Each of the words; None for one that the voice finds no vowel in.

        Args:
            words: Lower-case letters, apostrophes and spaces.
        """
        asked = list(dict.fromkeys(words))
        new = [word for word in asked if word not in self._said]
        said = {word: self._said[word] for word in asked if word in self._said}
        if new:
            said |= self._speak(new)
        self._said |= said
        while len(self._said) > self._kept:
            del self._said[next(iter(self._said))]
        return said

    def _speak(self, words: list[str]) -> dict[str, Spoken | None]:
        """New words, all in one run of the program."""
        with tempfile.TemporaryDirectory(prefix="ritornello-voice-") as folder:
            script = Path(folder) / "say.scm"
            script.write_text(_script(words, Path(folder)), encoding="ascii")
            ran = subprocess.run(
                [self._festival, "-b", str(script)],
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            if VOICE in ran.stderr:
                raise MissingDependencyError("the songs recipe", "the voice slt", DEBIAN)
            sounds = _sounds(ran.stdout)
            return {
                word: _analysed(Path(folder) / f"{index}.wav", sounds.get(index, []), word)
                for index, word in enumerate(words)
            }


@lru_cache(maxsize=1)
def speaker() -> Speaker:
    """The one of this process, so that all its songs share what was said."""
    return Speaker(find_festival())


def _script(words: list[str], folder: Path) -> str:
    """A program in Festival's Scheme: a wave file per word, a line per sound."""
    for word in words:
        if not word or set(word) - set("abcdefghijklmnopqrstuvwxyz' "):
            raise DataError(f"the voice cannot say {word!r}; expected plain letters")
    lines = [
        f"({VOICE})",
        "(define (sound index item)",
        '  (format t "%d %s %f %s %s\\n" index (item.name item) (item.feat item "end")',
        '    (item.feat item "ph_vc") (item.feat item "R:SylStructure.pos_in_syl")))',
        "(define (speak index words path)",
        "  (let ((utt (utt.synth (eval (list 'Utterance 'Text words)))))",
        "    (utt.save.wave utt path 'riff)",
        "    (mapcar (lambda (item) (sound index item)) (utt.relation.items utt 'Segment))))",
    ]
    lines += [
        f'(speak {index} "{word}" "{folder / f"{index}.wav"}")' for index, word in enumerate(words)
    ]
    return "\n".join(lines) + "\n"


def _sounds(told: str) -> dict[int, list[Sound]]:
    """Sounds of each word from the program's lines, silences among them."""
    sounds: dict[int, list[Sound]] = {}
    for line in told.splitlines():
        index, name, end, vowel, place = line.split()
        before = sounds.setdefault(int(index), [])
        before.append(
            Sound(
                name=name,
                start_s=before[-1].end_s if before else 0.0,
                end_s=float(end),
                vowel=vowel == "+",
                begins_syllable=place == "0",
            )
        )
    return sounds


# ------------------------------------------------------------------ taking apart


def _analysed(path: Path, sounds: list[Sound], word: str) -> Spoken | None:
    """The word in the wave file, or None where the voice said nothing that can be sung."""
    first = next((i for i, sound in enumerate(sounds) if sound.name != SILENCE), None)
    if first is None or not path.is_file() or not any(sound.vowel for sound in sounds):
        return None
    wave, rate_hz = soundfile.read(path, dtype="float64")
    if rate_hz != RATE_HZ:
        raise DataError(f"the voice speaks at {rate_hz} Hz; expected {RATE_HZ} ({word!r})")
    last = max(i for i, sound in enumerate(sounds) if sound.name != SILENCE)
    # WORLD needs a little of the silence around the word, and takes its time for all of it.
    cut_s = max(0.0, sounds[first].start_s - MARGIN_S)
    wave = wave[round(cut_s * RATE_HZ) : round((sounds[last].end_s + MARGIN_S) * RATE_HZ)]
    within = [_earlier(sound, cut_s) for sound in sounds[first : last + 1]]
    envelope, aperiodicity, voiced = _world_frames(wave, within)
    begin_s = within[0].start_s
    begin, end = round(begin_s / FRAME_S), round(within[-1].end_s / FRAME_S)
    log_envelope = _even(np.log(envelope + LEAST_POWER), voiced, within)
    return Spoken(
        sounds=tuple(_earlier(sound, begin_s) for sound in within),
        log_envelope=log_envelope[begin:end].astype(np.float16),
        aperiodicity=aperiodicity[begin:end].astype(np.float16),
        voiced=voiced[begin:end],
    )


def _earlier(sound: Sound, seconds: float) -> Sound:
    """The sound on a clock that starts `seconds` later."""
    return replace(sound, start_s=sound.start_s - seconds, end_s=sound.end_s - seconds)


def _world_frames(
    wave: Float[np.ndarray, " time"], sounds: list[Sound]
) -> tuple[
    Float[np.ndarray, "frames bins"], Float[np.ndarray, "frames bins"], Bool[np.ndarray, " frames"]
]:
    """Envelope, aperiodicity and voicing of the whole file.

    Which frames are voiced is known from the sounds better than from the audio: vowels and
    sonorants are, voiceless consonants are not, and for the others the audio decides.
    """
    world = load_world()
    low, high = PITCH_HZ
    pitch, seconds = world.harvest(wave, RATE_HZ, low, high, FRAME_S * 1000)
    heard = pitch > 0
    steady = np.zeros_like(heard)
    voiced = heard.copy()
    for sound in sounds:
        inside = (seconds >= sound.start_s) & (seconds < sound.end_s)
        if sound.vowel or sound.name in SONOROUS:
            voiced |= inside
            steady |= inside & heard
        elif sound.name in VOICELESS:
            voiced &= ~inside
    steady = steady if steady.any() else heard
    if not steady.any():
        pitch, steady = np.full_like(pitch, 180.0), np.ones_like(heard)
    pitch = np.where(voiced, np.interp(seconds, seconds[steady], pitch[steady]), 0.0)
    envelope = world.cheaptrick(wave, pitch, seconds, RATE_HZ, f0_floor=100.0, fft_size=FFT_SIZE)
    # No second opinion on voicing (threshold 0): frames given a pitch have one.
    aperiodicity = world.d4c(wave, pitch, seconds, RATE_HZ, threshold=0.0, fft_size=FFT_SIZE)
    return envelope, aperiodicity, voiced


def _even(
    log_envelope: Float[np.ndarray, "frames bins"],
    voiced: Bool[np.ndarray, " frames"],
    sounds: list[Sound],
) -> Float[np.ndarray, "frames bins"]:
    """The envelope with the word's vowels at power 1 and nothing much louder than they are.

    Where a vowel meets a stop, this voice swells by 10 to 20 dB: sung, that would be a bang.
    """
    heard = np.log(np.exp(log_envelope).mean(axis=1))
    at_s = np.arange(len(heard)) * FRAME_S
    vowels = np.zeros(len(heard), bool)
    for sound in sounds:
        if sound.vowel:
            vowels |= (at_s >= sound.start_s) & (at_s < sound.end_s)
    power = heard - np.median(heard[vowels] if vowels.any() else heard)
    loudest_db = np.where(voiced, LOUDEST_VOICED_DB, LOUDEST_VOICELESS_DB)
    wanted = np.minimum(power, np.log(10) / 10 * loudest_db)
    return log_envelope + (wanted - heard)[:, None]
