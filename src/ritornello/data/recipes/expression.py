"""Plays a score as a pianist might: rules for tempo, dynamics, timing, articulation and pedal.

The rules are those the performance literature agrees on, in the order in which they are applied:

    phrase arch        slower and softer at the ends of phrases (Todd 1985; Friberg 1995)
    final ritardando   the curve of Friberg & Sundberg 1999
    high loud          melodies grow louder upwards
    metrical accent    bars and beats are marked
    melody             louder and earlier than its chord (Goebl 2001)
    pedal              renewed with the harmony, just after it sounds

Their sizes are fitted to human performances on the piano (56 pieces, 6.6 hours, transcribed with
velocity and pedal): see the constants and `MANNERS`. How much of each a piece gets is drawn with
its generator, and kept as `Style`.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from ritornello.data.recipes.catalogue import slug
from ritornello.data.recipes.midi import Performance, Piece, to_seconds, without_silences

EXPRESSION_VERSION = 1

# Measured on the performances; (mean, standard deviation) over pieces where there are two.
LOUDNESS = (67.0, 8.0)  # mean velocity of a piece
CONTRAST = (16.0, 2.5)  # standard deviation of velocity within a piece
MELODY_LEAD_MS = (7.6, 4.0)  # the top note before the others of its chord
NOTE_SPREAD_MS = 10.0  # gives the measured 8 ms within a chord, 14 ms between melody and chord
MELODIC_ONSETS_PER_S = 5.2  # median over the performances
VELOCITY_LIMITS = (16.0, 118.0)

# Velocities inside a piece, before its contrast is scaled to the drawn one. The scaled result has
# the measured figures: the top note 10.5 above its chord, passages of 4 s with a standard deviation
# of 12, a correlation of velocity and pitch of 0.35.
PHRASE_LEVEL = 11.0
ARCH_LEVEL = 5.0
PITCH_LEVEL_PER_OCTAVE = 4.0
MELODY_LEVEL, BASS_LEVEL = 8.0, -2.0
BAR_ACCENT, BEAT_ACCENT = 4.0, 1.5
NOTE_LEVEL = 4.5

ENGRAVER_DEFAULT_TEMPO = 1.0  # seconds per quarter that a score without a tempo mark is given
GRID_QUARTERS = 0.125  # resolution of the tempo curve


@dataclass(frozen=True, kw_only=True)
class Manner:
    """The playing of a repertoire: tempo arch (log), pedal share, touch as a share of legato."""

    arch: float
    pedal: float
    legato: float


# Pedal shares as measured: Bach, Handel, Scarlatti 0.2; Haydn, Beethoven 0.5; later music 0.8.
MANNERS = {
    "baroque": Manner(arch=0.05, pedal=0.2, legato=0.85),
    "classical": Manner(arch=0.08, pedal=0.5, legato=0.92),
    "romantic": Manner(arch=0.13, pedal=0.8, legato=1.0),
    "dance": Manner(arch=0.03, pedal=0.4, legato=0.85),
}
_COMPOSERS = {
    "baroque": "bach handel scarlatti rameau froberger fischer couperin purcell telemann benda",
    "classical": "mozart haydn beethoven clementi kuhlau czerny andre pleyel wanhal hummel",
    "dance": "joplin turpin hunter scott lamb sousa strauss minkus adam",
}


@dataclass(frozen=True, kw_only=True)
class Style:
    """What was drawn for one rendering of one score.

    Attributes:
        manner: Key of `MANNERS`.
        speed: Factor on the score's tempo.
        arch: Depth of the tempo arch of a phrase, natural logarithm of speed.
        drift: Standard deviation of the slow wandering of tempo, natural logarithm.
        final: Speed of the last note relative to the tempo before the final ritardando.
        loudness: Mean velocity.
        contrast: Standard deviation of velocity.
        lead_ms: How early the melody is.
        pedal: Share of harmonies that are pedalled.
        legato: Share of its written length that a note is held.
    """

    manner: str
    speed: float
    arch: float
    drift: float
    final: float
    loudness: float
    contrast: float
    lead_ms: float
    pedal: float
    legato: float


def manner_of(composer: str) -> str:
    """The manner a composer is played in; who is not listed is played as a romantic."""
    words = set(slug(composer).split("-"))
    return next((name for name, who in _COMPOSERS.items() if words & set(who.split())), "romantic")


def draw_style(piece: Piece, composer: str, draw: np.random.Generator) -> Style:
    """A style for one rendering of `piece`."""
    name = manner_of(composer)
    manner = MANNERS[name]
    return Style(
        manner=name,
        speed=_missing_tempo(piece) * float(np.exp(np.clip(draw.normal(0, 0.07), -0.15, 0.15))),
        arch=manner.arch * float(np.exp(draw.normal(0, 0.25))),
        drift=float(draw.uniform(0.012, 0.03)),
        final=float(draw.uniform(0.45, 0.75)),
        loudness=float(np.clip(draw.normal(*LOUDNESS), 48, 86)),
        contrast=float(np.clip(draw.normal(*CONTRAST), 10, 22)),
        lead_ms=float(np.clip(draw.normal(*MELODY_LEAD_MS), 0, 18)),
        pedal=float(np.clip(draw.normal(manner.pedal, 0.12), 0, 1)),
        legato=float(np.clip(draw.normal(manner.legato, 0.05), 0.7, 1.05)),
    )


def _missing_tempo(piece: Piece) -> float:
    """Speed for scores that carry the engraver's default of 60 quarters a minute, else 1.

    Such scores are on average half again too slow; half the distance (in logarithms) to the usual
    rate of onsets corrects the average and keeps slow movements slower than fast ones.
    """
    if len(piece.tempo) > 1 or abs(piece.tempo[0, 1] - ENGRAVER_DEFAULT_TEMPO) > 1e-3:
        return 1.0
    onsets = np.unique(piece.onset)
    rate = len(onsets) / max(1.0, onsets[-1] - onsets[0])
    return float(np.clip(np.sqrt(MELODIC_ONSETS_PER_S / rate), 1.0, 1.5))


def perform(piece: Piece, composer: str, draw: np.random.Generator) -> tuple[Performance, Style]:
    """`piece` as played in a drawn style, and that style."""
    style = draw_style(piece, composer, draw)
    score = Analysis(piece, style.speed)
    seconds = _tempo_curve(score, style, draw)
    velocity = _dynamics(score, style, draw)
    onset = seconds(piece.onset) + _asynchrony(score, style, draw)
    # The first note may be early too; nothing starts before zero.
    onset -= min(0.0, float(onset.min()))
    offset = _releases(score, onset, seconds, style, draw)
    order = np.lexsort((piece.pitch, onset))
    performance = Performance(
        onset=onset[order],
        offset=offset[order],
        pitch=piece.pitch[order],
        velocity=velocity[order],
        pedal=_pedal(score, seconds, style, draw),
    )
    return without_silences(performance, longest_s=4.0), style


class Analysis:
    """What the rules need to know of a score: bars, beats, phrases, and the role of each note."""

    def __init__(self, piece: Piece, speed: float) -> None:
        """Analyse `piece`, to be played `speed` times as fast as written."""
        self.piece = piece
        self.end = float(piece.offset.max())
        self.seconds_per_quarter = (
            to_seconds(np.array([self.end]), piece.tempo)[0] / self.end / speed
        )
        self.moments, self.moment = np.unique(piece.onset, return_inverse=True)
        self.bars, self.beats = _metre_lines(piece, self.end)
        self.melody, self.bass = _outer_voices(piece)
        self.phrases = _phrases(self)

    def position_in_phrase(
        self, quarters: Float[np.ndarray, " events"]
    ) -> tuple[Int[np.ndarray, " events"], Float[np.ndarray, " events"]]:
        """The phrase of each score position, and how far into it, 0 to 1."""
        row = np.clip(
            np.searchsorted(self.phrases, quarters, side="right") - 1, 0, len(self.phrases) - 2
        )
        length = self.phrases[row + 1] - self.phrases[row]
        return row, np.clip((quarters - self.phrases[row]) / length, 0.0, 1.0)


def _metre_lines(
    piece: Piece, end: float
) -> tuple[Float[np.ndarray, " bars"], Float[np.ndarray, " beats"]]:
    """Positions of all bar lines and of all beats, the bar lines included."""
    bars: list[float] = []
    beats: list[float] = []
    ends = np.append(piece.metre[1:, 0], end + 1e-6)
    for (start, bar, beat), stop in zip(piece.metre, ends, strict=True):
        start += _pickup(piece, start, stop, bar, beat)
        bars += np.arange(start, stop, bar).tolist()
        beats += np.arange(start, stop, beat).tolist()
    return np.array(bars or [0.0]), np.array(beats or [0.0])


def _pickup(piece: Piece, start: float, stop: float, bar: float, beat: float) -> float:
    """Quarters before the first bar line: where long notes and low notes start most often."""
    inside = (piece.onset >= start) & (piece.onset < stop)
    onset = piece.onset[inside] - start
    weight = np.minimum(piece.offset[inside] - piece.onset[inside], bar)
    weight = weight + 0.5 * (piece.pitch[inside] < np.median(piece.pitch))
    phases = np.arange(0.0, bar - 1e-9, beat)
    strength = [
        weight[np.abs((onset - phase + bar / 2) % bar - bar / 2) < 0.02].sum() for phase in phases
    ]
    best = int(np.argmax(strength))
    return float(phases[best]) if strength[best] > 1.3 * strength[0] else 0.0


def _outer_voices(piece: Piece) -> tuple[Bool[np.ndarray, " notes"], Bool[np.ndarray, " notes"]]:
    """Which notes are the highest, and which the lowest, of all that sound when they start."""
    count = len(piece.onset)
    highest, lowest = np.zeros(count, bool), np.zeros(count, bool)
    sounding: list[int] = []
    start = 0
    while start < count:
        stop = int(np.searchsorted(piece.onset, piece.onset[start], side="right"))
        now = piece.onset[start] + 1e-6
        sounding = [note for note in sounding if piece.offset[note] > now]
        sounding += range(start, stop)
        pitches = piece.pitch[sounding]
        highest[start:stop] = piece.pitch[start:stop] == pitches.max()
        lowest[start:stop] = (piece.pitch[start:stop] == pitches.min()) & ~highest[start:stop]
        start = stop
    return highest, lowest


def _phrases(score: Analysis, *, usual_s: float = 8.0) -> Float[np.ndarray, " boundaries"]:
    """Bar lines between phrases of 1, 2, 4 or 8 bars, moved by a bar to where the melody rests."""
    bars = score.bars
    if len(bars) < 3:
        return np.array([0.0, score.end])
    bar_s = float(np.median(np.diff(bars))) * score.seconds_per_quarter
    usual = int(2 ** np.clip(np.round(np.log2(usual_s / bar_s)), 0, 3))
    onsets = score.piece.onset[score.melody]
    after = np.searchsorted(onsets, bars - 1e-6)
    # How long the melody has had nothing new when the bar begins, in quarters.
    rest = np.where(after > 0, bars - onsets[np.maximum(after - 1, 0)], 0.0)
    lines, at = [0], 0
    while at + usual + 1 < len(bars):
        choices = [at + usual + move for move in (0, -1, 1) if move == 0 or usual >= 4]
        best = max(choices, key=lambda line: rest[line] + 0.75 * (line == at + usual))
        lines.append(best)
        at = best
    positions = np.append(bars[lines], score.end)
    positions[0] = 0.0
    return np.unique(positions)


class Clock:
    """Seconds of score positions under a tempo curve."""

    def __init__(
        self, quarters: Float[np.ndarray, " grid"], seconds: Float[np.ndarray, " grid"]
    ) -> None:
        """A clock that reads `seconds` at `quarters`, linear in between."""
        self.quarters, self.seconds = quarters, seconds

    def __call__(self, quarters: Float[np.ndarray, " events"]) -> Float[np.ndarray, " events"]:
        """Seconds of each position."""
        return np.interp(quarters, self.quarters, self.seconds)


def _tempo_curve(score: Analysis, style: Style, draw: np.random.Generator) -> Clock:
    """The clock of the performance: written tempo, arches, drift and final ritardando."""
    grid = np.arange(0.0, score.end + 2 * GRID_QUARTERS, GRID_QUARTERS)
    written = np.diff(to_seconds(grid, score.piece.tempo))
    middle = grid[:-1] + GRID_QUARTERS / 2
    row, inside = score.position_in_phrase(middle)
    depth = style.arch * np.exp(draw.normal(0, 0.4, len(score.phrases)))
    # A parabola with mean zero, fastest a little after the middle, and a held last moment.
    log_speed = depth[row] * (1 / 3 - (1.8 * (inside - 0.55)) ** 2)
    log_speed -= 0.8 * depth[row] * inside**12
    log_speed += (
        style.drift
        * _wander(len(score.beats), 0.7, draw)[
            np.clip(np.searchsorted(score.beats, middle, side="right") - 1, 0, None)
        ]
    )
    speed = style.speed * np.exp(log_speed) * _final_ritardando(score, middle, style.final)
    return Clock(grid, np.concatenate([[0.0], np.cumsum(written / speed)]))


def _final_ritardando(
    score: Analysis, quarters: Float[np.ndarray, " grid"], final: float, *, curvature: float = 3.0
) -> Float[np.ndarray, " grid"]:
    """Relative speed, from 1 down to `final` at the last onset (Friberg & Sundberg 1999, Eq. 1)."""
    last = float(score.moments[-1])
    length = min(0.15 * last, 4.0 / score.seconds_per_quarter)
    if length <= 0:
        return np.ones_like(quarters)
    through = np.clip((quarters - (last - length)) / length, 0.0, 1.0)
    return (1 + (final**curvature - 1) * through) ** (1 / curvature)


def _wander(count: int, memory: float, draw: np.random.Generator) -> Float[np.ndarray, " steps"]:
    """A first-order autoregressive walk of unit variance."""
    walk = np.empty(count)
    noise = draw.standard_normal(count)
    walk[0] = noise[0]
    for step in range(1, count):
        walk[step] = memory * walk[step - 1] + np.sqrt(1 - memory**2) * noise[step]
    return walk


def _dynamics(
    score: Analysis, style: Style, draw: np.random.Generator
) -> Float[np.ndarray, " notes"]:
    """Velocities with the drawn mean and contrast."""
    piece = score.piece
    written = piece.velocity - piece.velocity.mean()
    row, inside = score.position_in_phrase(piece.onset)
    # Where the score has dynamics of its own, the drawn ones step back.
    own = min(1.0, float(written.std()) / PHRASE_LEVEL)
    phrase_level = PHRASE_LEVEL * np.sqrt(1 - own**2)
    level = written + phrase_level * _wander(len(score.phrases), 0.5, draw)[row]
    level += ARCH_LEVEL * (1 / 3 - (2 * (inside - 0.6)) ** 2)
    level += _high_loud(score)
    level += BAR_ACCENT * _on(piece.onset, score.bars) + BEAT_ACCENT * _on(piece.onset, score.beats)
    level += _voicing(score, draw)
    level += draw.normal(0, NOTE_LEVEL, len(level))
    scale = style.contrast / max(float(level.std()), 1e-6)
    level = style.loudness + (level - level.mean()) * float(np.clip(scale, 0.5, 1.6))
    return np.clip(level, *VELOCITY_LIMITS)


def _high_loud(score: Analysis) -> Float[np.ndarray, " notes"]:
    """Level that follows the melody's height, for the melody and what accompanies it."""
    onsets = score.piece.onset[score.melody]
    pitches = score.piece.pitch[score.melody].astype(float)
    smooth = np.convolve(np.pad(pitches, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    height = np.interp(score.piece.onset, onsets, smooth - smooth.mean()) / 12
    return PITCH_LEVEL_PER_OCTAVE * np.clip(height, -1.5, 1.5)


def _voicing(score: Analysis, draw: np.random.Generator) -> Float[np.ndarray, " notes"]:
    """Melody above, bass a little below the inner voices; every phrase has its own balance."""
    row, _ = score.position_in_phrase(score.piece.onset)
    balance = np.exp(draw.normal(0, 0.3, len(score.phrases)))[row]
    return np.where(score.melody, MELODY_LEVEL * balance, 0.0) + BASS_LEVEL * score.bass


def _on(
    onset: Float[np.ndarray, " notes"], lines: Float[np.ndarray, " lines"]
) -> Bool[np.ndarray, " notes"]:
    """Which onsets fall on one of the sorted `lines`."""
    after = np.clip(np.searchsorted(lines, onset), 1, max(1, len(lines) - 1))
    near = np.minimum(
        np.abs(onset - lines[after - 1]), np.abs(onset - lines[np.minimum(after, len(lines) - 1)])
    )
    return near < 0.02


def _asynchrony(
    score: Analysis, style: Style, draw: np.random.Generator
) -> Float[np.ndarray, " notes"]:
    """Seconds by which each note misses its moment: common to a chord, early melody, own error."""
    together = draw.normal(0, 0.3 * NOTE_SPREAD_MS, len(score.moments))[score.moment]
    alone = draw.normal(0, NOTE_SPREAD_MS, len(score.moment))
    members = np.bincount(score.moment)[score.moment]
    lead = np.where(score.melody & (members > 1), style.lead_ms, 0.0)
    late = together + np.clip(alone, -25, 25) - lead
    return (late + _arpeggio(score, style, draw)) / 1000


def _arpeggio(
    score: Analysis, style: Style, draw: np.random.Generator
) -> Float[np.ndarray, " notes"]:
    """Milliseconds for the wide chords that are broken upwards, arriving on the melody."""
    delay = np.zeros(len(score.moment))
    chance = 2.0 * style.arch  # who bends time also breaks chords
    firsts = np.searchsorted(score.moment, np.arange(len(score.moments) + 1))
    for start, stop in pairwise(firsts):
        wide = stop - start >= 4 and np.diff(score.piece.pitch[start:stop]).max() <= 12
        if wide and np.ptp(score.piece.pitch[start:stop]) > 19 and draw.random() < chance:
            step = draw.uniform(12, 30)
            delay[start:stop] = step * (np.arange(stop - start) - (stop - start - 1))
    return delay


def _releases(
    score: Analysis,
    onset: Float[np.ndarray, " notes"],
    seconds: Clock,
    style: Style,
    draw: np.random.Generator,
) -> Float[np.ndarray, " notes"]:
    """Key releases: the melody tied into its next note, the rest held `legato` of its length."""
    piece = score.piece
    length = seconds(piece.offset) - seconds(piece.onset)
    share = np.clip(draw.normal(style.legato, 0.06, len(length)), 0.4, 1.1)
    tied = np.where(score.melody, draw.uniform(0.0, 0.05, len(length)) * (style.legato > 0.9), 0.0)
    offset = onset + np.maximum(0.04, length * share + tied)
    for key in np.unique(piece.pitch):
        (at,) = np.nonzero(piece.pitch == key)
        gap = 0.15 * np.minimum(0.3, np.diff(onset[at]))  # the key must come up to be struck again
        offset[at[:-1]] = np.minimum(offset[at[:-1]], onset[at[1:]] - gap)
    return np.maximum(offset, onset + 0.02)


def _harmonies(score: Analysis, *, longest_s: float = 3.0) -> list[tuple[float, float, bool]]:
    """(start, end, clean) of the spans one pedal can hold, from beat to beat.

    A span ends where the bass moves to another pitch class, where two clashing sets of notes would
    ring together, or after `longest_s`. It is clean when few of its notes are a step apart.
    """
    piece = score.piece
    edges = np.unique(np.concatenate([[0.0], score.beats, [score.end]]))
    firsts = np.searchsorted(piece.onset, edges - 1e-6)
    spans: list[tuple[float, float, bool]] = []
    begun, classes, low = 0.0, set[int](), -1
    for beat in range(len(edges) - 1):
        notes = piece.pitch[firsts[beat] : firsts[beat + 1]]
        new = {int(pitch) % 12 for pitch in notes}
        bass = int(notes.min()) if len(notes) else low
        moved = low >= 0 and bass < 60 and bass % 12 != low % 12 and bass - low < 7
        too_long = (edges[beat] - begun) * score.seconds_per_quarter >= longest_s
        if classes and (too_long or (new and (moved or _clashes(classes | new) > 2))):
            spans.append((begun, float(edges[beat]), _clashes(classes) <= 2))
            begun, classes, low = float(edges[beat]), set(), -1
        classes |= new
        low = bass if low < 0 else min(low, bass)
    spans.append((begun, score.end, _clashes(classes) <= 2))
    return spans


def _clashes(classes: set[int]) -> int:
    """Pairs of pitch classes a semitone apart, and half as many a whole tone apart."""
    semitones = sum((pitch + 1) % 12 in classes for pitch in classes)
    tones = sum((pitch + 2) % 12 in classes for pitch in classes)
    return semitones + tones // 2


def _pedal(
    score: Analysis, seconds: Clock, style: Style, draw: np.random.Generator
) -> Float[np.ndarray, "events 2"]:
    """Syncopated pedalling: up as a harmony is struck, down again once the hands hold it."""
    rows: list[tuple[float, float]] = []
    for start, end, clean in _harmonies(score):
        begin, stop = seconds(np.array([start, end]))
        chance = style.pedal * (1.1 if clean else 0.6)
        if stop - begin < 0.25 or draw.random() >= chance:
            continue
        down = begin + min(0.12, 0.3 * (stop - begin)) * draw.uniform(0.6, 1.2)
        up = max(down + 0.05, stop + draw.normal(-0.005, 0.02))
        if rows and down <= rows[-1][0]:
            continue
        rows += [(down, 127.0), (up, 0.0)]
    return np.array(rows).reshape(-1, 2)
