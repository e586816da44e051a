"""Which notes a recording holds: transcription to pitches, begins and ends.

Conventions
    wave          float (channels, time) at any rate; the mean of the channels is heard
    activations   (frames, keys) in 0..1 at FRAME_RATE_HZ for the 88 keys from A0; frame i is the
                  moment i / FRAME_RATE_HZ
    Notes         sorted by begin, pitches as MIDI numbers

Two transcribers, and `Notes.transcriber` says which one heard the notes
    basic_pitch   the network of Bittner et al., "A Lightweight Instrument-Agnostic Model for
                  Polyphonic Note Transcription and Multipitch Estimation" (2022); its weights are
                  in weights/basic-pitch, it runs on onnxruntime (extra `eval`)
    salience      sums of harmonics over a constant-Q-like filterbank; numpy alone, markedly worse
                  (octave errors, inner voices of chords missed), for machines without the extra

Figures made from the notes of one must never be compared with figures made from the other's.

Metrics
    evaluate      note precision, recall and F-measure against a known score (begin within 50 ms)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ritornello.audio.features import SILENCE_DBFS
from ritornello.audio.resample import resample
from ritornello.errors import DataError, MissingDependencyError
from ritornello.evaluation.spectra import validate

RATE_HZ = 22050
HOP = 256
FRAME_RATE_HZ = RATE_HZ / HOP
LOWEST_PITCH, PITCHES = 21, 88
BASIC_PITCH, SALIENCE = "basic-pitch 0.4.0", "salience 1"
WEIGHTS = Path(__file__).parent / "weights" / "basic-pitch" / "nmp.onnx"

WINDOW_SAMPLES, WINDOW_FRAMES = 43844, 172
EDGE_FRAMES = 16  # the network's frames near a window's ends know too little of what is around
STEP_FRAMES = WINDOW_FRAMES - 2 * EDGE_FRAMES

# F 0.92 within 50 ms on rendered piano; higher thresholds do better there and lose soft attacks
ONSET_THRESHOLD = 0.6
FRAME_THRESHOLD = 0.3
BRIDGED_S = 0.12  # a note may fade for so long and come back
SHORTEST_S = 0.058
SHORTEST_SOFT_S = 0.128  # of a note whose begin was not heard; shorter ones are mostly resonance

SALIENCE_FFTS = ((48, 16384), (60, 8192), (109, 4096))  # pitches below -> window in samples
SALIENCE_STEP = 2  # frames
PARTIALS = 8
PARTIAL_DECAY = 0.75
VOICES = 8
ONSET_GAIN = 2.4  # rise that certainly is a begin: 1 / ONSET_GAIN of the loudest voice
LEAST_SALIENCE = 0.25  # relative to the loudest voice of the last second or so

Wave = Float[np.ndarray, "channels _time"]
Activations = Float[np.ndarray, "frames keys"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Notes:
    """The notes of one recording, sorted by begin.

    Attributes:
        start_s: Begins in seconds.
        end_s: Ends in seconds, later than the begins.
        pitch: MIDI numbers, 21 to 108.
        strength: Mean activation, 0 to 1: how sure the transcriber is, not how loud it is played.
        transcriber: Who heard them: BASIC_PITCH, SALIENCE, or any other name for a known score.
        duration_s: Length of the recording.
    """

    start_s: Float[np.ndarray, " notes"]
    end_s: Float[np.ndarray, " notes"]
    pitch: Int[np.ndarray, " notes"]
    strength: Float[np.ndarray, " notes"]
    transcriber: str
    duration_s: float

    def __len__(self) -> int:
        """Number of notes."""
        return len(self.pitch)


def transcribe(wave: Wave, sample_rate: int) -> Notes:
    """The notes by the better transcriber that this installation has.

    Raises:
        AudioError: Empty or not finite.
    """
    try:
        _session()
    except MissingDependencyError:
        return salience(wave, sample_rate)
    return basic_pitch(wave, sample_rate)


def basic_pitch(wave: Wave, sample_rate: int) -> Notes:
    """The notes that the network hears.

    Raises:
        AudioError: Empty or not finite.
        MissingDependencyError: No onnxruntime.
    """
    signal = _signal(wave, sample_rate)
    onsets, frames = network_activations(signal)
    return _notes(onsets, frames, signal, BASIC_PITCH)


def salience(wave: Wave, sample_rate: int) -> Notes:
    """The notes that stand out of sums of harmonics; a stopgap, see the module's docstring.

    Raises:
        AudioError: Empty or not finite.
    """
    signal = _signal(wave, sample_rate)
    onsets, frames = salience_activations(signal)
    return _notes(onsets, frames, signal, SALIENCE)


def _signal(wave: Wave, sample_rate: int) -> Float[np.ndarray, " time"]:
    """Mono float32 at RATE_HZ."""
    validate(wave)
    return resample(wave.mean(axis=0, keepdims=True), sample_rate, RATE_HZ)[0]


# --- from activations to notes ------------------------------------------------------------------


def _notes(onsets: Activations, frames: Activations, signal: np.ndarray, transcriber: str) -> Notes:
    """The notes of a recording, without those heard in its silences.

    Both transcribers judge each moment relative to its surroundings, so that they hear notes in the
    faintest noise; what lies below SILENCE_DBFS is silence here as everywhere.
    """
    events = note_events(onsets, frames)
    level_db = _level_db(signal, len(frames))
    audible = [event for event in events if level_db[event[0] : event[1]].max() > SILENCE_DBFS]
    start, end, key, strength = (
        np.array(column) for column in (zip(*audible, strict=True) if audible else ((),) * 4)
    )
    return Notes(
        start_s=start / FRAME_RATE_HZ,
        end_s=end / FRAME_RATE_HZ,
        pitch=key.astype(np.int64) + LOWEST_PITCH,
        strength=strength.astype(np.float64),
        transcriber=transcriber,
        duration_s=len(signal) / RATE_HZ,
    )


def note_events(onsets: Activations, frames: Activations) -> list[tuple[int, int, int, float]]:
    """Notes (start frame, end frame, key, strength) sorted by start.

    A note begins at a peak of its key's onset activation and lasts until the key's frame
    activation has faded for longer than BRIDGED_S, or until the key's next begin. A stretch of
    frame activation before any begin is a note too (a soft attack), if it is long enough.
    """
    shortest, shortest_soft = SHORTEST_S * FRAME_RATE_HZ, SHORTEST_SOFT_S * FRAME_RATE_HZ
    events = []
    for key in range(frames.shape[1]):
        sounding = _bridged(frames[:, key] >= FRAME_THRESHOLD, round(BRIDGED_S * FRAME_RATE_HZ))
        begins = _peaks(onsets[:, key], ONSET_THRESHOLD)
        for low, high in _runs(sounding):
            inside = begins[(begins >= low - 3) & (begins < high)].tolist()
            if (inside[0] if inside else high) - low >= shortest_soft:
                inside.insert(0, low)
            for start, end in zip(inside, [*inside[1:], high][: len(inside)], strict=True):
                if end - start >= shortest:
                    events.append((start, end, key, float(frames[start:end, key].mean())))
    return sorted(events)


def _peaks(values: np.ndarray, threshold: float) -> np.ndarray:
    """Frames of local maxima at or above `threshold`; a plateau counts once, at its begin."""
    before = np.concatenate([[-np.inf], values[:-1]])
    after = np.concatenate([values[1:], [-np.inf]])
    return np.flatnonzero((values > before) & (values >= after) & (values >= threshold))


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Stretches [low, high) in which the mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _bridged(mask: np.ndarray, longest: int) -> np.ndarray:
    """The mask with gaps of up to `longest` frames inside filled."""
    filled = mask.copy()
    for low, high in _runs(~mask):
        if low > 0 and high < len(mask) and high - low <= longest:
            filled[low:high] = True
    return filled


def _level_db(signal: np.ndarray, frames: int) -> Float[np.ndarray, " frames"]:
    """Level of each hop in dB re full scale (root mean square)."""
    padded = np.pad(signal, (0, max(0, frames * HOP - len(signal))))[: frames * HOP]
    power = np.square(padded.reshape(frames, HOP), dtype=np.float64).mean(axis=1)
    return 10 * np.log10(np.maximum(power, 1e-20))


# --- the network ----------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _session() -> Any:
    """The network, loaded once; one thread, so that the same sound gives the same bits."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "transcription by the basic-pitch network",
            "onnxruntime",
            'pip install "ritornello[eval]"',
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        WEIGHTS.read_bytes(), options, providers=["CPUExecutionProvider"]
    )


def network_activations(signal: Float[np.ndarray, " time"]) -> tuple[Activations, Activations]:
    """Onset and frame activations of mono sound at RATE_HZ, window by window.

    Windows advance by whole frames and give only their middles, so that the joint is exact: frame
    i comes from the samples around i * HOP whichever window it falls into.
    """
    session = _session()
    onset_name, frame_name = (f"StatefulPartitionedCall:{output}" for output in (2, 1))
    total = -(-len(signal) // HOP)
    onsets, frames = [], []
    for window in _windows(signal, total):
        fed = {session.get_inputs()[0].name: window[None, :, None]}
        onset, frame = session.run([onset_name, frame_name], fed)
        onsets.append(onset[0, EDGE_FRAMES : EDGE_FRAMES + STEP_FRAMES])
        frames.append(frame[0, EDGE_FRAMES : EDGE_FRAMES + STEP_FRAMES])
    return np.concatenate(onsets)[:total], np.concatenate(frames)[:total]


def _windows(signal: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    """Windows whose middles cover all frames; silence before the begin and after the end."""
    for first in range(0, frames, STEP_FRAMES):
        begin = (first - EDGE_FRAMES) * HOP
        window = signal[max(0, begin) : begin + WINDOW_SAMPLES]
        before = max(0, -begin)
        yield np.pad(window, (before, WINDOW_SAMPLES - before - len(window)))


# --- the stopgap ----------------------------------------------------------------------------------


def salience_activations(signal: Float[np.ndarray, " time"]) -> tuple[Activations, Activations]:
    """Onset and frame activations of mono sound at RATE_HZ from sums of harmonics.

    Per frame the pitch with the largest sum of partials is taken and its partials are removed, up
    to VOICES times (iterative estimation, after Klapuri 2006). Low pitches are analysed with longer
    windows, as in a constant-Q transform; below about 50 Hz semitones still run together.
    """
    total = -(-len(signal) // HOP)
    bands = _semitone_bands(signal, total)
    coarse = _voices(np.sqrt(bands))
    usual = np.maximum(_recent_maximum(coarse.max(axis=1), round(0.5 * _COARSE_RATE_HZ)), 1e-9)
    relative = np.clip(coarse / usual[:, None], 0, 1)
    frames = np.where(relative >= LEAST_SALIENCE, np.sqrt(relative), 0)
    rise = np.clip(relative - np.pad(relative, ((2, 0), (0, 0)))[:-2], 0, 1)
    onsets = np.where(frames > 0, np.clip(ONSET_GAIN * rise, 0, 1), 0)
    return _repeated(onsets, total), _repeated(frames, total)


_COARSE_RATE_HZ = FRAME_RATE_HZ / SALIENCE_STEP


def _repeated(values: np.ndarray, frames: int) -> np.ndarray:
    """Coarse frames at FRAME_RATE_HZ; each stands for its moment and the frame before it."""
    fine = np.repeat(values, SALIENCE_STEP, axis=0)
    return np.concatenate([fine[1:], fine[-1:]])[:frames]


def _recent_maximum(values: np.ndarray, reach: int) -> np.ndarray:
    """Largest value within `reach` frames on both sides."""
    padded = np.pad(values, reach)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)


def _semitone_bands(signal: np.ndarray, frames: int) -> Float[np.ndarray, "coarse bands"]:
    """Power in each semitone from A0 up to half the rate, per coarse frame; block by block."""
    coarse = -(-frames // SALIENCE_STEP)
    pitches = np.arange(LOWEST_PITCH, LOWEST_PITCH + _BANDS)
    longest = max(size for _, size in SALIENCE_FFTS)
    step = HOP * SALIENCE_STEP
    padded = np.pad(signal, (longest // 2, longest // 2 + coarse * step))
    bands = np.zeros((coarse, _BANDS))
    low = 0
    for below, size in (*SALIENCE_FFTS[:-1], (1000, SALIENCE_FFTS[-1][1])):
        chosen = (pitches >= low) & (pitches < below)
        weights = _band_weights(pitches[chosen], size)
        taper = np.hanning(size + 1)[:-1]
        starts = np.arange(coarse) * step + (longest - size) // 2
        for block in np.array_split(starts, max(1, coarse // 128)):
            cut = padded[block[:, None] + np.arange(size)] * taper
            power = np.abs(np.fft.rfft(cut, axis=1) / (taper.sum() / 2)) ** 2
            first = int(np.searchsorted(starts, block[0]))
            bands[first : first + len(block), chosen] = power @ weights
        low = below
    return bands


_BANDS = 116  # semitones from A0 to just below half of RATE_HZ


def _band_weights(pitches: np.ndarray, size: int) -> Float[np.ndarray, "bins bands"]:
    """Weights of the bins in each semitone's power: 1 within a quarter tone or half a bin."""
    bins = np.arange(size // 2 + 1)[:, None] * RATE_HZ / size
    centre = 440 * 2 ** ((pitches - 69) / 12)
    reach = np.maximum(centre * (2 ** (0.5 / 12) - 1), 0.6 * RATE_HZ / size)
    return np.clip(1.5 - np.abs(bins - centre) / reach, 0, 1)


def _voices(amplitude: Float[np.ndarray, "coarse bands"]) -> Float[np.ndarray, "coarse keys"]:
    """Salience of the pitches that win in turn, each after the last one's partials are gone."""
    offsets = np.round(12 * np.log2(np.arange(1, PARTIALS + 1))).astype(int)
    decay = PARTIAL_DECAY ** np.arange(PARTIALS)
    rest = np.pad(amplitude, ((0, 0), (0, int(offsets[-1]))))
    rows = np.arange(len(rest))
    found = np.zeros((len(rest), PITCHES))
    for _ in range(VOICES):
        sums = sum(
            weight * rest[:, shift : shift + PITCHES]
            for weight, shift in zip(decay, offsets, strict=True)
        )
        # a pitch needs its own first partial: an octave below shares only the even ones
        sums = np.minimum(np.asarray(sums), 4 * rest[:, :PITCHES])
        best = sums.argmax(axis=1)
        found[rows, best] = np.maximum(found[rows, best], sums[rows, best])
        own = rest[rows, best].copy()
        for weight, shift in zip(decay, offsets, strict=True):
            rest[rows, best + shift] = np.maximum(rest[rows, best + shift] - weight * own, 0)
    return found


# --- judging a transcription ----------------------------------------------------------------------


def evaluate(heard: Notes, score: Notes, tolerance_s: float = 0.05) -> dict[str, float]:
    """Agreement of heard notes with a known score, by begin and pitch (ends are not judged).

    Args:
        heard: The transcription.
        score: What was played.
        tolerance_s: How far a begin may lie from the score's.

    Returns:
        note_precision, note_recall and note_f, each 0 to 1; every note is matched once at most.

    Raises:
        DataError: The score is empty.
    """
    if len(score) == 0:
        raise DataError("got a score without notes; expected at least one to compare with")
    hits = sum(
        _matched(
            heard.start_s[heard.pitch == pitch], score.start_s[score.pitch == pitch], tolerance_s
        )
        for pitch in np.unique(score.pitch)
    )
    return {
        "note_precision": hits / max(1, len(heard)),
        "note_recall": hits / len(score),
        "note_f": 2 * hits / (len(heard) + len(score)),
    }


def _matched(heard_s: np.ndarray, score_s: np.ndarray, tolerance_s: float) -> int:
    """Most pairs of begins within the tolerance; both rising, so the earliest fit is the best."""
    hits = first = 0
    for moment in score_s:
        while first < len(heard_s) and heard_s[first] < moment - tolerance_s:
            first += 1
        if first < len(heard_s) and heard_s[first] <= moment + tolerance_s:
            hits, first = hits + 1, first + 1
    return hits
