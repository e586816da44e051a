"""Playing a Jukebox: from labels, lyrics, a recording or saved codes down to audio (section 4).

    request -> Song (what is told), Beginning (what is known)
    prior -> codes of the top -> upsamplers -> codes of the lowest level -> decoder -> audio

A piece is made window by window and sounds as soon as a window of every level is there, in memory
that does not grow; a finished piece is its stream. What is not trained yet is done without: a model
without its last upsamplers plays from the lowest level that it reaches, and without a prior it is a
codec.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ritornello.config import to_dict
from ritornello.errors import CapabilityError, ConfigError
from ritornello.interfaces import Audio, Request
from ritornello.jukebox.code_transformer import LevelCodes, TokenState
from ritornello.jukebox.masked import MaskedState, MaskedUpsampler
from ritornello.jukebox.model import JukeboxModel
from ritornello.jukebox.prompt import Beginning, recorded_beginning
from ritornello.jukebox.sampling import Above, Draws, Tell, Voice, decoded
from ritornello.jukebox.saved import SavedTake, read_take, skipped_s, told_of
from ritornello.jukebox.song import Song, label_rows, song_of, with_and_without_labels
from ritornello.jukebox.upsampler import Upsampler
from ritornello.jukebox.windows import Tape, Window

logger = logging.getLogger(__name__)

DEFAULT_SECONDS = 30.0
PATIENCE_S = 10.0
"""A piece that will take longer without the compiled step is announced."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What only a Jukebox can be asked for.

    Attributes:
        temperatures: Spread of the draws of every level, lowest first; None for the model's own
            times the request's.
        precision: What steps are computed in.
        passes: In which masked upsamplers fill a window of every level below the top, in fp32;
            None for upsamplers that draw one code after the other.
        level: The lowest level to make codes of, and to decode: 0 is all the way down, higher ones
            are sketches that take a fraction of the time. None for the model's own
            (`JukeboxConfig.plays`), or the lowest that is trained, as it is for `from_codes`.
        song_s: Length of the whole song that the model is told; None for the piece's own.
        save: Folder to keep the codes of every window in; the same order goes on with them.
        from_codes: Folder of a take whose top codes are upsampled.
        continue_codes: Folder of a take that is gone on with.
    """

    temperatures: Sequence[float] | None = None
    precision: str = "fp32"
    passes: int | None = None
    level: int | None = None
    song_s: float | None = None
    save: str | None = None
    from_codes: str | None = None
    continue_codes: str | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.temperatures is not None:
            object.__setattr__(self, "temperatures", tuple(self.temperatures))
            if not all(0 < one <= 4 for one in self.temperatures):
                raise ConfigError(
                    f"temperatures are {self.temperatures}; expected 0 < temperature <= 4"
                )
        if self.song_s is not None and not 0 < self.song_s < math.inf:
            raise ConfigError(f"song_s is {self.song_s}; expected a positive number of seconds")
        if self.passes is not None and self.passes < 1:
            raise ConfigError(f"passes is {self.passes}; expected at least 1")
        if self.from_codes is not None and self.continue_codes is not None:
            raise ConfigError("got from_codes and continue_codes; expected one of them at most")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One piece, before its first sound.

    Attributes:
        level: The lowest level that is played.
        beginning: What is known of it.
        song: What is told of it.
        total: Codes of the top level; None for ever.
        time: Samples of new music; None for ever.
        voices: By level.
        upsamplers: By the level that they make.
        top: All codes of the top level; None when the prior makes them.
        meta: Of its audio.
    """

    level: int
    beginning: Beginning
    song: Song
    total: int | None
    time: int | None
    voices: Mapping[int, Voice]
    upsamplers: Mapping[int, Upsampler] | Mapping[int, MaskedUpsampler]
    top: LevelCodes | None
    meta: Mapping[str, Any]


class Jukebox(JukeboxModel):
    """A model that plays."""

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"continue", "labels", "lyrics", "form", "stream", "reconstruct"}
    )

    # -------------------------------------------------------------- a piece

    def generate(self, request: Request, options: Options | None = None) -> Audio:
        """A piece of exactly the length asked for, after what it begins with.

        Without `seconds` it is as long as the form, or as the codes that are upsampled, or lasts
        `DEFAULT_SECONDS`.
        """
        if request.seconds is None and not (options and options.from_codes):
            request = replace(request, seconds=self._form_s(request) or DEFAULT_SECONDS)
        blocks = list(self.stream(request, options))
        samples = np.concatenate([block.samples for block in blocks], 1)
        return replace(blocks[0], samples=samples)

    def _form_s(self, request: Request) -> float:
        """Length of the form once through; 0 without one."""
        usual_s = self.config.prior.context_s
        return sum(usual_s if part.seconds is None else part.seconds for part in request.form)

    def stream(self, request: Request, options: Options | None = None) -> Iterator[Audio]:
        """The same piece block by block: what it begins with, then new music, endless if asked.

        Raises:
            CapabilityError: For what this model cannot do, or when its prior is not trained.
            AudioError: A prompt shorter than one code of the topmost level.
            ConfigError: An unknown label or level, lyrics too long, a take that does not fit.
        """
        options = options or Options()
        unable = request.needs() - self.capabilities
        if unable:
            raise CapabilityError(
                f"jukebox cannot do {', '.join(sorted(unable))}; it can do "
                f"{', '.join(sorted(self.capabilities))}"
            )
        piece = self.piece(request, options)
        self._announce(piece, request.seconds)
        return self._blocks(piece)

    def piece(self, request: Request, options: Options) -> Piece:
        """All that decides a piece; nothing is drawn yet."""
        level = self._played_level(options)
        beginning, top = self._beginning(request, options, level)
        request, taken_over = self._as_the_take(request, options)
        known = beginning.at(self.top).shape[1]
        seconds = request.seconds
        time = None if seconds is None else max(1, round(seconds * self.sample_rate))
        total = None if time is None else known + -(-time // self.hop_samples(self.top))
        if top is not None:
            there = top.shape[1]
            total = there if total is None else min(total, there)
            whole = total * self.hop_samples(self.top)
            top, time = top[:, :total], whole if time is None else min(time, whole)
        song = song_of(
            request,
            self.config,
            known=known,
            skipped_s=beginning.skipped_s,
            total=total,
            told_s=options.song_s,
        )
        levels = range(level, self.top + (top is None))
        steppers = {one: self.stepper(one, options.precision, options.passes) for one in levels}
        meta = {
            "seed": request.seed,
            "kernel": "+".join(sorted({stepper.path for stepper in steppers.values()})) or "none",
            "precision": options.precision,
            "level": level,
        }
        if song.form is not None:
            prior = self.config.prior
            meta["form"] = song.form.timetable(prior.frame_rate_hz)
        if taken_over:
            meta["taken_over"] = taken_over
        after = round(beginning.skipped_s * self.sample_rate) + known * self.hop_samples(self.top)
        draws = self._draws(request, options, after)
        store = self._store(request, options, beginning, top, meta)
        voices = {
            one: Voice(stepper=stepper, context=self.context(one), draws=draws[one], store=store)
            for one, stepper in steppers.items()
        }
        return Piece(
            level=level,
            beginning=beginning,
            song=song,
            total=total,
            time=time,
            voices=voices,
            upsamplers=self._upsamplers(options),
            top=top,
            meta=meta,
        )

    def _blocks(self, piece: Piece) -> Iterator[Audio]:
        """What is known, then `piece.time` samples (None: for ever) of new music."""
        codec, beginning = self.codec_at(piece.level), piece.beginning
        known = beginning.at(self.top).shape[1] * self.hop_samples(self.top)
        time, skip = piece.time, 0
        if beginning.wave is not None:
            yield Audio(samples=beginning.wave, sample_rate=self.sample_rate, meta=dict(piece.meta))
            skip = known // codec.hop_samples
        elif time is not None:
            time += known
        made = 0
        for wave in decoded(codec, self.codes(piece), skip):
            kept = wave.numpy() if time is None else wave.numpy()[:, : time - made]
            yield Audio(samples=kept, sample_rate=self.sample_rate, meta=dict(piece.meta))
            made += kept.shape[1]
            if made == time:
                return

    def codes(self, piece: Piece) -> Iterator[LevelCodes]:
        """Codes of the lowest level of a piece: the prior's, sent down through the upsamplers."""
        beginning, total = piece.beginning, piece.total
        if piece.top is not None:
            codes: Iterator[LevelCodes] = iter([piece.top])
        else:
            voice, form = piece.voices[self.top], piece.song.form
            keep = voice.context.codes + (form.frames if form else 0)
            codes = voice.play(self._tell_prior(piece), beginning.at(self.top), total, keep)
        for level in reversed(range(piece.level, self.top)):
            ratio = self.ratio(level)
            total = None if total is None else total * ratio
            above = Above(codes, ratio)
            tell = self._tell_upsampler(piece.upsamplers[level], above, piece.song)
            codes = piece.voices[level].play(tell, beginning.at(level), total)
        return codes

    def _tell_prior(self, piece: Piece) -> Tell:
        """What the prior is told before a window."""
        is_guided = piece.voices[self.top].draws.guidance is not None

        def tell(window: Window, tape: Tape) -> TokenState:
            told = piece.song.conditions(window, tape)
            return self.prior.begin(with_and_without_labels(told) if is_guided else told)

        return tell

    def _tell_upsampler(
        self, upsampler: Upsampler | MaskedUpsampler, above: Above, song: Song
    ) -> Tell:
        """What an upsampler is told before a window."""

        def tell(window: Window, tape: Tape) -> TokenState | MaskedState:
            return upsampler.begin(above.behind(window), song.labels)

        return tell

    # -------------------------------------------------------------- what decides it

    def _played_level(self, options: Options) -> int:
        """The lowest level to play, which must be reached."""
        lowest = self.lowest_by(self._upsamplers(options))
        if options.level is None:
            if lowest > self.config.plays:
                logger.warning(
                    "the levels below %d are not trained yet; playing from level %d",
                    lowest,
                    lowest,
                )
            # Who brings codes of the top down wants them further down.
            return lowest if options.from_codes else max(lowest, self.config.plays)
        self.check_level(options.level)
        if options.level < lowest:
            raise ConfigError(
                f"level is {options.level}; this model is trained down to level {lowest}"
            )
        return options.level

    def _upsamplers(
        self, options: Options
    ) -> Mapping[int, Upsampler] | Mapping[int, MaskedUpsampler]:
        """The kind that is asked for.

        Raises:
            CapabilityError: The model has none that work in passes.
        """
        if options.passes is None:
            return self.upsamplers
        if self.lowest_by(self.masked) == self.top:
            raise CapabilityError(
                f"this model has no masked upsampler of level {self.top - 1}, so it cannot fill "
                "windows in passes; leave out --passes, or train a model with preset 'masked'"
            )
        return self.masked

    def _beginning(
        self, request: Request, options: Options, level: int
    ) -> tuple[Beginning, LevelCodes | None]:
        """What the piece begins with, and all its top codes when they are given."""
        folder = options.from_codes or options.continue_codes
        if folder is None:
            if request.prompt is None:
                return Beginning(codes={}), None
            codecs = [self.codec_at(one) for one in range(level, self.top + 1)]
            return recorded_beginning(request.prompt, codecs, level, self._heard(level)), None
        if request.prompt is not None:
            raise ConfigError("got a recording and codes to go on with; expected one of them")
        take = Path(folder).expanduser()
        codes = read_take(take, self.codebook_sizes, self.codebooks)
        if self.top not in codes:
            raise ConfigError(f"{take} has no codes of level {self.top} yet; expected a window")
        if skipped_s(take):
            logger.warning(
                "%s goes on from a recording and keeps only the codes of its end: the first %.3g s "
                "are missing in this piece. To have all of it, give the audio file that was made "
                "with the take to --continue.",
                take,
                skipped_s(take),
            )
        if options.from_codes is not None:
            return Beginning(codes={}, skipped_s=skipped_s(take)), codes[self.top]
        known = {one: whole for one, whole in codes.items() if one >= level}
        for one in reversed(range(level, self.top)):  # windows lie on codes of the level above
            if one in known:
                ratio = self.ratio(one)
                most = known[one + 1].shape[1] * ratio if one + 1 in known else 0
                known[one] = known[one][:, : min(most, known[one].shape[1] // ratio * ratio)]
        return Beginning(codes=known, skipped_s=skipped_s(take)), None

    def _as_the_take(self, request: Request, options: Options) -> tuple[Request, dict[str, Any]]:
        """The request with what the take that it begins with was told, and that alone.

        Labels that are asked for replace all of the take's; lyrics are taken over to go on with,
        as upsamplers are told none. A form is not: only the request says what comes next.
        """
        folder = options.from_codes or options.continue_codes
        if folder is None:
            return request, {}
        told = told_of(Path(folder).expanduser())
        taken_over: dict[str, Any] = {}
        if told.labels and not request.labels:
            try:
                label_rows(self.config, told.labels)
                taken_over["labels"] = dict(told.labels)
            except (CapabilityError, ConfigError) as error:
                logger.warning("the labels of %s are left out: %s", folder, error)
        if options.continue_codes is not None:
            if told.lyrics is not None and request.lyrics is None:
                if self.config.prior.lyrics is None:
                    logger.warning("the lyrics of %s are left out: this model has none", folder)
                else:
                    taken_over["lyrics"] = told.lyrics
            if told.form and not request.form:
                logger.warning(
                    "the form of %s is not gone on with; give the sections that follow as --form",
                    folder,
                )
        return replace(request, **taken_over), taken_over

    def _heard(self, level: int) -> int:
        """Codes of the top that the networks from `level` up look back on."""
        hop_top = self.hop_samples(self.top)
        decoder = self.codec_at(level)
        heard = [decoder.decoder_frames * decoder.hop_samples]
        for one in range(level, self.top + 1):
            context = self.context(one)
            heard.append((context.codes - context.hop) * self.hop_samples(one))
        return max(1, -(-max(heard) // hop_top))

    def _draws(self, request: Request, options: Options, after: int) -> list[Draws]:
        """How each level is drawn from, lowest first, `after` samples; labels guide the top."""
        own = self.config.temperatures
        temperatures = options.temperatures or [request.temperature * one for one in own]
        if len(temperatures) != len(own):
            raise ConfigError(
                f"got {len(temperatures)} temperatures; expected {len(own)}, one for each level "
                "from 0"
            )
        if request.guidance is not None:
            if not self.config.prior.labels.dropout:
                raise CapabilityError(
                    "this model never heard music without labels (prior.labels.dropout is 0), so "
                    "it cannot be guided by them"
                )
            if not request.labels:
                raise ConfigError("guidance pulls towards labels; ask for some, or leave it out")
        return [
            Draws(
                seed=request.seed,
                level=level,
                temperature=temperature,
                top_p=request.top_p,
                guidance=request.guidance if level == self.top else None,
                after=after,
            )
            for level, temperature in enumerate(temperatures)
        ]

    # -------------------------------------------------------------- saving

    def _store(
        self,
        request: Request,
        options: Options,
        beginning: Beginning,
        top: LevelCodes | None,
        meta: Mapping[str, Any],
    ) -> SavedTake | None:
        """Where the windows of a piece are kept; None for nowhere."""
        if options.save is None:
            return None
        asked = to_dict(replace(request, prompt=None, mix=None))
        own = to_dict(replace(options, save=None, from_codes=None, continue_codes=None))
        made_of = {
            "model": self.digest,
            "codebooks": self.codebooks,
            "request": {name: asked[name] for name in asked if name not in ("prompt", "mix")},
            "options": own,
            "kernel": meta["kernel"],
            "skipped_s": beginning.skipped_s,
        }
        begins = dict(beginning.codes) if top is None else {self.top: top}
        folder = Path(options.save).expanduser()
        return SavedTake.open(folder, made_of, begins, self.codebook_sizes)

    # -------------------------------------------------------------- how long it takes

    def _announce(self, piece: Piece, seconds: float | None) -> None:
        """Say beforehand that the plain way will take long, and what would help."""
        plain = [level for level, voice in piece.voices.items() if voice.stepper.path == "torch"]
        times = sum(self.plain_seconds_per_second(level) for level in plain)
        takes_s = times * (seconds or DEFAULT_SECONDS)
        if takes_s > PATIENCE_S:
            logger.warning(
                "without the compiled transformer step, %.0f s of music take about %s (%.1f s for "
                "each second). A C compiler and `pip install --force-reinstall --no-deps "
                "ritornello` make it many times as fast; so does a sketch of the top level, "
                "`--level %d`.",
                seconds or DEFAULT_SECONDS,
                f"{takes_s / 60:.0f} min" if takes_s > 90 else f"{takes_s:.0f} s",
                times,
                self.top,
            )
