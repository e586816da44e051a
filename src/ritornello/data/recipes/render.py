"""Plays a `Performance` on a sampled piano in a small room, into a FLAC file.

The piano is FluidSynth with a General MIDI sound font; the room is a synthetic stereo impulse
response, applied block by block, so that an hour of music needs no more memory than a minute. The
gain is fixed per sound font, never per file, so that soft pieces stay soft.
"""

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from ritornello.data.recipes.midi import SUSTAIN_PEDAL, Performance
from ritornello.errors import ConfigError, MissingDependencyError

CHANNELS = 2
SOUND_FONT_FOLDER = Path("/usr/share/sounds/sf2")
DEFAULT_SOUND_FONTS = ("MuseScore_General_Full.sf2", "default-GM.sf2", "FluidR3_GM.sf2")
# Chosen so that the densest fortissimo passages of human performances just reach the knee.
GAIN = {"MuseScore_General_Full": 1.1, "FluidR3_GM": 1.1}
DEFAULT_GAIN = 1.0
KNEE = 0.7  # below this amplitude the output is exactly linear
CEILING = 0.98
POLYPHONY = 128  # two voices per note: 64 ringing notes, the softest are taken first
BLOCK_S = 6.0
TAIL_S = 3.0
DRUM_BANK = 128
PITCH_BEND_RANGE_CENTS = 200.0
VELOCITY_RANGE = (1, 127)


@dataclass(frozen=True, kw_only=True)
class Room:
    """A small room around the piano.

    Attributes:
        decay_s: Time in which the reverberation falls by 60 dB at low frequencies.
        wet_db: Level of the reverberation against the direct sound.
        brightness_db: Gain far above 1 kHz, its negative far below: a tilt of all sound.
        seed: Draws the reflections.
    """

    decay_s: float
    wet_db: float
    brightness_db: float
    seed: int


def draw_room(draw: np.random.Generator) -> Room:
    """A room between a carpeted studio and a small hall."""
    return Room(
        decay_s=float(draw.uniform(0.35, 1.3)),
        wet_db=float(draw.uniform(-20.0, -11.0)),
        brightness_db=float(draw.uniform(-2.0, 2.0)),
        seed=int(draw.integers(2**31)),
    )


def impulse_response(room: Room, rate_hz: int) -> Float[np.ndarray, "2 time"]:
    """Stereo response of `room`: the direct sound first, then decaying independent noise.

    High frequencies decay faster than low ones, as they do in air and on carpets.
    """
    draw = np.random.default_rng(room.seed)
    time = int(room.decay_s * 0.9 * rate_hz)
    seconds = np.arange(time) / rate_hz
    noise = np.fft.rfft(draw.standard_normal((CHANNELS, time)))
    hertz = np.fft.rfftfreq(time, 1 / rate_hz)
    wet = np.zeros((CHANNELS, time))
    for low, high, decay in ((80, 800, 1.0), (800, 4000, 0.75), (4000, 14000, 0.45)):
        band = np.exp(-0.5 * (np.log2((hertz + 1) / np.sqrt(low * high)) / 1.3) ** 2)
        wet += np.fft.irfft(noise * band, time) * 10 ** (-3 * seconds / (decay * room.decay_s))
    onset = int(0.008 * rate_hz)  # the first wall is a metre and a half away
    wet[:, :onset] = 0.0
    wet *= 10 ** (room.wet_db / 20) / np.sqrt((wet**2).sum(axis=1, keepdims=True))
    wet[:, 0] = 1.0
    return _tilt(wet, room.brightness_db, rate_hz).astype(np.float32)


def _tilt(
    response: Float[np.ndarray, "2 time"], gain_db: float, rate_hz: int
) -> Float[np.ndarray, "2 time"]:
    """`response` with minimum-phase gain growing smoothly from -gain_db to gain_db around 1 kHz."""
    fft_size = 1 << (response.shape[1] + 4096).bit_length()
    hertz = np.fft.rfftfreq(fft_size, 1 / rate_hz)
    octaves = np.log2(np.maximum(hertz, 20.0) / 1000.0)
    log_gain = np.log(10) / 20 * gain_db * np.tanh(octaves / 2)
    cepstrum = np.fft.irfft(log_gain, fft_size)
    fold = np.zeros(fft_size)
    fold[0] = fold[fft_size // 2] = 1.0
    fold[1 : fft_size // 2] = 2.0
    filter_spectrum = np.exp(np.fft.rfft(cepstrum * fold))
    tilted = np.fft.irfft(np.fft.rfft(response, fft_size) * filter_spectrum, fft_size)
    return tilted[:, : response.shape[1]]


class BlockConvolver:
    """Convolves a stream with a fixed response, exactly, block by block (overlap-add)."""

    def __init__(self, response: Float[np.ndarray, "2 time"], block_samples: int) -> None:
        """Prepare for blocks of at most `block_samples`."""
        self.fft_size = _fast_size(block_samples + response.shape[1] - 1)
        self.spectrum = np.fft.rfft(response, self.fft_size)
        self.tail = np.zeros((CHANNELS, self.fft_size), np.float32)

    def __call__(self, block: Float[np.ndarray, "2 time"]) -> Float[np.ndarray, "2 time"]:
        """The next block of the convolved stream, of the same length."""
        time = block.shape[1]
        wet = np.fft.irfft(np.fft.rfft(block, self.fft_size) * self.spectrum, self.fft_size)
        wet = (wet + self.tail).astype(np.float32)
        self.tail[:, : self.fft_size - time] = wet[:, time:]
        self.tail[:, self.fft_size - time :] = 0.0
        return wet[:, :time]


def _fast_size(least: int) -> int:
    """The smallest size >= `least` of the form 2^a, 3 * 2^a or 5 * 2^a."""
    sizes = [factor << shift for factor in (1, 3, 5) for shift in range(32)]
    return min(size for size in sizes if size >= least)


def below_ceiling(wave: Float[np.ndarray, "2 time"]) -> Float[np.ndarray, "2 time"]:
    """`wave` itself below the knee; above it, bent smoothly so that it never reaches 1."""
    loud = np.abs(wave) > KNEE
    if not loud.any():
        return wave
    room = CEILING - KNEE
    bent = np.sign(wave) * (KNEE + room * np.tanh((np.abs(wave) - KNEE) / room))
    return np.where(loud, bent, wave).astype(np.float32)


def find_sound_font(asked: Path | None) -> Path:
    """The asked sound font, or the first of the known ones that is installed.

    Raises:
        ConfigError: `asked` is no file.
        MissingDependencyError: None was asked for and none is installed.
    """
    if asked is not None:
        if not asked.is_file():
            raise ConfigError(f"--soundfont {asked} is not a file; expected a .sf2 sound font")
        return asked
    for name in DEFAULT_SOUND_FONTS:
        if (SOUND_FONT_FOLDER / name).is_file():
            return (SOUND_FONT_FOLDER / name).resolve()
    raise MissingDependencyError(
        "playing MIDI",
        "a General MIDI sound font",
        "sudo apt install musescore-general-soundfont-lossless (or fluid-soundfont-gm), "
        "or pass --soundfont FILE.sf2",
    )


def load_fluidsynth() -> Any:
    """The pyfluidsynth module, with the library behind it.

    Raises:
        MissingDependencyError: pyfluidsynth or libfluidsynth is not installed.
    """
    try:
        # It prints where it found its library; stdout is for results.
        with contextlib.redirect_stdout(sys.stderr):
            import fluidsynth
    except ImportError as error:  # also raised when pyfluidsynth does not find the C library
        raise MissingDependencyError(
            "playing MIDI",
            "FluidSynth (pyfluidsynth and Debian's libfluidsynth3)",
            "sudo apt install libfluidsynth3 && pip install 'ritornello[data]'",
        ) from error
    return fluidsynth


class Instrument:
    """One sampled instrument. Make a new one per piece: nothing of the last piece may ring on."""

    def __init__(
        self,
        sound_font: Path,
        rate_hz: int,
        *,
        program: int = 0,
        bank: int = 0,
        tuning_cents: float = 0.0,
    ) -> None:
        """Load one program of `sound_font`.

        Args:
            sound_font: A General MIDI sound font.
            rate_hz: Sample rate of the sound.
            program: General MIDI program, counted from 0.
            bank: 0, or `DRUM_BANK` for drum kits.
            tuning_cents: Distance of the whole instrument from A = 440 Hz.

        Raises:
            ConfigError: The file is no sound font or lacks the program.
        """
        fluidsynth = load_fluidsynth()
        self._synth = fluidsynth.Synth(
            gain=GAIN.get(sound_font.stem, DEFAULT_GAIN),
            samplerate=float(rate_hz),
            channels=16,
            **{
                # Only the samples of one program are read: the whole font is half a gigabyte.
                "synth.dynamic-sample-loading": 1,
                "synth.lock-memory": 0,
                "synth.polyphony": POLYPHONY,
                "synth.reverb.active": 0,
                "synth.chorus.active": 0,
            },
        )
        font = self._synth.sfload(str(sound_font))
        if font < 0 or self._synth.program_select(0, font, bank, program) != 0:
            self._synth.delete()
            raise ConfigError(
                f"{sound_font} has no program {program} in bank {bank}; "
                "expected a General MIDI sound font"
            )
        self._synth.pitch_bend(0, round(8192 * tuning_cents / PITCH_BEND_RANGE_CENTS))
        self._write = fluidsynth.cfunc(
            "fluid_synth_write_float",
            ctypes.c_int,
            ("synth", ctypes.c_void_p, 1),
            ("frames", ctypes.c_int, 1),
            ("left", ctypes.c_void_p, 1),
            ("left_offset", ctypes.c_int, 1),
            ("left_step", ctypes.c_int, 1),
            ("right", ctypes.c_void_p, 1),
            ("right_offset", ctypes.c_int, 1),
            ("right_step", ctypes.c_int, 1),
        )

    def act(self, kind: int, number: int, value: int) -> None:
        """Do one action of `actions`."""
        if kind == PRESS:
            self._synth.noteon(0, number, value)
        elif kind == RELEASE:
            self._synth.noteoff(0, number)
        else:
            self._synth.cc(0, number, value)

    def sound(self, into: Float[np.ndarray, "2 time"]) -> None:
        """Fill `into`, a float32 array with contiguous channels, with the next samples."""
        left, right = into[0], into[1]
        self._write(
            self._synth.synth, into.shape[1], left.ctypes.data, 0, 1, right.ctypes.data, 0, 1
        )

    def close(self) -> None:
        """Free the synthesiser."""
        self._synth.delete()


class Piano(Instrument):
    """The grand piano."""

    def __init__(self, sound_font: Path, rate_hz: int, tuning_cents: float = 0.0) -> None:
        """Load the grand piano of `sound_font`, detuned as a whole by `tuning_cents`."""
        super().__init__(sound_font, rate_hz, tuning_cents=tuning_cents)


RELEASE, PEDAL, PRESS = 0, 1, 2  # the order of simultaneous actions


def actions(performance: Performance, rate_hz: int) -> list[tuple[int, int, int, int]]:
    """(sample, kind, key or controller, value) in playing order."""
    low, high = VELOCITY_RANGE
    velocity = np.clip(np.round(performance.velocity), low, high).astype(int)
    press = np.round(performance.onset * rate_hz).astype(int)
    # A key is up before it can go down again; at least one sample keeps the order of events.
    release = np.maximum(press + 1, np.round(performance.offset * rate_hz).astype(int))
    events = [
        (int(at), PRESS, int(key), int(speed))
        for at, key, speed in zip(press, performance.pitch, velocity, strict=True)
    ]
    events += [
        (int(at), RELEASE, int(key), 0) for at, key in zip(release, performance.pitch, strict=True)
    ]
    events += [
        (round(float(at) * rate_hz), PEDAL, SUSTAIN_PEDAL, round(float(value)))
        for at, value in performance.pedal
    ]
    return sorted(events)


def dry_blocks(
    performance: Performance, piano: Instrument, rate_hz: int
) -> Iterator[Float[np.ndarray, "2 time"]]:
    """The piano alone, in blocks of `BLOCK_S`, until the last note has rung out."""
    events = actions(performance, rate_hz)
    total = round((performance.duration_s + TAIL_S) * rate_hz)
    block_samples = int(BLOCK_S * rate_hz)
    next_event = 0
    for start in range(0, total, block_samples):
        block = np.zeros((CHANNELS, min(block_samples, total - start)), np.float32)
        at = 0
        while next_event < len(events) and events[next_event][0] < start + block.shape[1]:
            sample, kind, number, value = events[next_event]
            if sample - start > at:
                piano.sound(block[:, at : sample - start])
                at = sample - start
            piano.act(kind, number, value)
            next_event += 1
        if at < block.shape[1]:
            piano.sound(block[:, at:])
        yield block


def render(
    performance: Performance,
    path: Path,
    *,
    sound_font: Path,
    rate_hz: int,
    room: Room,
    tuning_cents: float = 0.0,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Write the performance to `path` as 16-bit stereo FLAC; the file is the caller's to rename.

    Args:
        performance: What to play.
        path: File to write.
        sound_font: A General MIDI sound font.
        rate_hz: Sample rate of the file.
        room: The room around the piano.
        tuning_cents: The whole piano's distance from A = 440 Hz.
        stopped: Asked between blocks; true ends the rendering with KeyboardInterrupt.

    Returns:
        "seconds", "peak" (before the ceiling, so above 1 tells how often it was needed) and
        "rms_db" (dB below full scale).
    """
    piano = Piano(sound_font, rate_hz, tuning_cents)
    convolve = BlockConvolver(impulse_response(room, rate_hz), int(BLOCK_S * rate_hz))
    peak, energy, samples = 0.0, 0.0, 0
    try:
        with soundfile.SoundFile(
            path, "w", rate_hz, CHANNELS, "PCM_16", format="FLAC", compression_level=0.5
        ) as file:
            for dry in dry_blocks(performance, piano, rate_hz):
                if stopped():
                    raise KeyboardInterrupt
                wave = convolve(dry)
                peak = max(peak, float(np.abs(wave).max()))
                energy += float(np.vdot(wave, wave))
                samples += wave.shape[1]
                file.write(below_ceiling(wave).T)
    finally:
        piano.close()
    rms = np.sqrt(energy / (CHANNELS * samples))
    return {
        "seconds": round(samples / rate_hz, 3),
        "peak": round(peak, 4),
        "rms_db": round(float(20 * np.log10(max(rms, 1e-9))), 2),
    }
