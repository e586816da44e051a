"""Ways to spoil audio by a known amount, to see which metric hears what.

Conventions
    wave          float (channels, time) in [-1, 1]; every channel is treated alike
    sample_rate   samples per second
    amount        in the unit of each function; 'milder' says in which direction it does less
    draw          the random generator of those that need one, always passed in

    noise         white noise, dB of music over noise; milder upwards, none at infinity
    low_pass      edge in Hz; milder upwards, none from half the sample rate on
    wobble        depth of a slow vibrato in cents; milder downwards, none at 0
    shuffle       seconds of the pieces in random order; milder upwards, none above half the clip
    gain          dB; none at 0
    narrow        how far the stereo image is folded to mono, 0 to 1; none at 0
    reverb        decay time in seconds; milder downwards, none at 0
    hum           mains hum, dB of music over hum; milder upwards, none at infinity

All are pure: the same arguments give the same samples, in the shape and type that went in, and the
same `draw` spoils by more in the same way (the same noise, louder). Levels are not held to [-1, 1].
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import AudioError, ConfigError, MissingDependencyError
from ritornello.evaluation.spectra import validate

LOW_PASS_ORDER = 8
WOBBLE_HZ = 3.0
CROSS_FADE_S = 0.01
HUM_HZ, HUM_PARTIALS = 50.0, 4

Wave = Float[np.ndarray, "channels time"]


def noise(wave: Wave, sample_rate: int, snr_db: float, draw: np.random.Generator) -> Wave:
    """White noise added, `snr_db` below the wave's mean power, independent in each channel.

    Raises:
        AudioError: Nothing to hear in `wave`, or not finite.
        ConfigError: `snr_db` is NaN or minus infinity.
    """
    return _with_added(wave, draw.standard_normal(wave.shape), snr_db)


def hum(wave: Wave, sample_rate: int, snr_db: float) -> Wave:
    """Mains hum added, `snr_db` below the wave's mean power: 50 Hz and its first overtones.

    Raises:
        AudioError: Nothing to hear in `wave`, or not finite.
        ConfigError: `snr_db` is NaN or minus infinity.
    """
    seconds = np.arange(wave.shape[-1]) / sample_rate
    partials = [k for k in range(1, HUM_PARTIALS + 1) if k * HUM_HZ < sample_rate / 2]
    tone = sum(np.sin(2 * np.pi * k * HUM_HZ * seconds) / k for k in partials)
    return _with_added(wave, np.broadcast_to(tone, wave.shape), snr_db)


def _with_added(wave: Wave, other: Wave, snr_db: float) -> Wave:
    """`wave` and `other`, scaled so that the ratio of their powers is exactly `snr_db`."""
    validate(wave)
    if np.isnan(snr_db) or snr_db == -np.inf:
        raise ConfigError(f"the ratio is {snr_db} dB; expected a number, or infinity for nothing")
    power = float(np.mean(np.square(wave, dtype=np.float64)))
    if power == 0:
        raise AudioError("the clip is silent: no ratio to its level can be kept")
    scale = np.sqrt(power / np.mean(np.square(other))) * 10 ** (-snr_db / 20)
    return (wave + scale * other).astype(wave.dtype)


def low_pass(wave: Wave, sample_rate: int, edge_hz: float) -> Wave:
    """Only what is below `edge_hz`, where it is 6 dB down; 96 dB per octave, without delay.

    A Butterworth filter run forwards and backwards.

    Raises:
        ConfigError: `edge_hz` is not above 0.
    """
    _require_scipy()
    from scipy.signal import butter, sosfiltfilt

    validate(wave)
    if not edge_hz > 0:
        raise ConfigError(f"the edge is {edge_hz} Hz; expected more than 0")
    if edge_hz >= sample_rate / 2:
        return wave.copy()
    sections = butter(LOW_PASS_ORDER, edge_hz, fs=sample_rate, output="sos")
    pad = min(wave.shape[-1] - 1, round(3 * sample_rate / edge_hz) + 3 * LOW_PASS_ORDER)
    return sosfiltfilt(sections, wave, axis=-1, padlen=pad).astype(wave.dtype)


def wobble(wave: Wave, sample_rate: int, depth_cents: float) -> Wave:
    """Pitch that swings by `depth_cents` up and down, WOBBLE_HZ times a second, like a worn tape.

    Read at `t + delay(t)`, whose speed is `2^(depth / 1200)` at its highest, by cubic splines.

    Raises:
        ConfigError: `depth_cents` below 0 or not finite.
    """
    _require_scipy()
    from scipy.interpolate import CubicSpline

    validate(wave)
    if not 0 <= depth_cents < np.inf:
        raise ConfigError(f"the depth is {depth_cents} cents; expected 0 or more")
    if depth_cents == 0 or wave.shape[-1] < 2:
        return wave.copy()
    time = np.arange(wave.shape[-1])
    radians = 2 * np.pi * WOBBLE_HZ / sample_rate
    delay = (2 ** (depth_cents / 1200) - 1) / radians * np.sin(radians * time)
    places = np.clip(time + delay, 0, len(time) - 1)
    return CubicSpline(time, wave, axis=-1)(places).astype(wave.dtype)


def shuffle(wave: Wave, sample_rate: int, piece_s: float, draw: np.random.Generator) -> Wave:
    """Pieces of `piece_s` in random order, each faded into the next over CROSS_FADE_S.

    The sound of every moment stays what it was; what follows what does not. The last piece, if it
    is shorter, stays where it is.

    Raises:
        ConfigError: `piece_s` is shorter than two cross-fades.
    """
    validate(wave)
    if not piece_s >= 2 * CROSS_FADE_S:
        raise ConfigError(f"pieces of {piece_s} s; expected {2 * CROSS_FADE_S} s or more")
    length, time = round(min(piece_s, wave.shape[-1] / sample_rate) * sample_rate), wave.shape[-1]
    order = piece_order(time // max(1, length), draw)
    starts = [*(order * length), len(order) * length]
    half = max(1, round(CROSS_FADE_S * sample_rate / 2))
    rise = np.sin(np.pi / 4 * (1 + (np.arange(-half, half) + 0.5) / half)) ** 2
    shuffled = np.zeros(wave.shape)
    for index, start in enumerate(starts):
        # Each piece with half a cross-fade more on both sides, where neighbours share the level.
        stop = start + length if index < len(order) else time
        place, sound = index * length, np.arange(start - half, stop + half)
        window = np.ones(len(sound))
        if index > 0:
            window[: 2 * half] = rise
        if index < len(starts) - 1:
            window[-2 * half :] *= rise[::-1]
        target = np.arange(place - half, place + stop - start + half)
        inside = (target >= 0) & (target < time)
        piece = wave[:, np.clip(sound, 0, time - 1)] * window
        shuffled[:, target[inside]] += piece[:, inside]
    return shuffled.astype(wave.dtype)


def piece_order(pieces: int, draw: np.random.Generator) -> Int[np.ndarray, " pieces"]:
    """Which piece stands where: a random order."""
    return draw.permutation(pieces)


def gain(wave: Wave, sample_rate: int, gain_db: float) -> Wave:
    """The wave louder or softer by `gain_db`.

    Raises:
        ConfigError: `gain_db` is not finite.
    """
    validate(wave)
    if not np.isfinite(gain_db):
        raise ConfigError(f"the gain is {gain_db} dB; expected a finite number")
    return (wave * 10 ** (gain_db / 20)).astype(wave.dtype)


def narrow(wave: Wave, sample_rate: int, part: float) -> Wave:
    """Channels drawn towards their mean: 0 leaves them, 1 makes them equal.

    Raises:
        ConfigError: `part` outside 0 to 1.
    """
    validate(wave)
    if not 0 <= part <= 1:
        raise ConfigError(f"the part is {part}; expected 0 to 1")
    middle = wave.mean(axis=0, keepdims=True)
    return (wave + part * (middle - wave)).astype(wave.dtype)


def reverb(wave: Wave, sample_rate: int, decay_s: float, draw: np.random.Generator) -> Wave:
    """The wave with an equally strong diffuse reverberation that falls by 60 dB in `decay_s`.

    The room is white noise under an exponential, the same for all channels, from one sample after
    the sound on. The energy of its response is that of the direct sound, whatever the decay.

    Raises:
        ConfigError: `decay_s` below 0 or not finite.
    """
    _require_scipy()
    from scipy.signal import fftconvolve

    validate(wave)
    if not 0 <= decay_s < np.inf:
        raise ConfigError(f"the decay is {decay_s} s; expected 0 or more")
    length = min(round(decay_s * sample_rate), wave.shape[-1] - 1)
    if length < 1:
        return wave.copy()
    # Drawn for the whole clip, so that a longer decay is the same room, longer.
    room = draw.standard_normal(wave.shape[-1] - 1)[:length]
    room *= 10 ** (-3 * np.arange(length) / (decay_s * sample_rate))
    room /= np.linalg.norm(room)
    response = np.concatenate([[1.0], room])[None]
    return fftconvolve(wave, response, axes=-1)[:, : wave.shape[-1]].astype(wave.dtype)


SEEDED: dict[str, Callable[[Wave, int, float, np.random.Generator], Wave]] = {
    "noise": noise,
    "shuffle": shuffle,
    "reverb": reverb,
}
FIXED: dict[str, Callable[[Wave, int, float], Wave]] = {
    "low_pass": low_pass,
    "wobble": wobble,
    "gain": gain,
    "narrow": narrow,
    "hum": hum,
}


def degraded(
    name: str, wave: Wave, sample_rate: int, amount: float, draw: np.random.Generator
) -> Wave:
    """The wave spoilt by the degradation called `name`; `draw` is used where it needs one.

    Raises:
        ConfigError: No degradation of that name, or an amount out of its range.
    """
    if name in SEEDED:
        return SEEDED[name](wave, sample_rate, amount, draw)
    if name in FIXED:
        return FIXED[name](wave, sample_rate, amount)
    raise ConfigError(f"no degradation {name!r}; expected {', '.join([*SEEDED, *FIXED])}")


def _require_scipy() -> None:
    """Say what is missing before an import fails.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    if find_spec("scipy") is None:
        hint = 'pip install "ritornello[eval]"'
        raise MissingDependencyError("damaging audio by known amounts", "scipy", hint)
