"""Playing a StemGen: a mix and the name of a stem in, the stem out.

    mix, stem, options -> Piece: what is heard, what is known, where it plays
    windows -> decode -> tokens of the stem -> codec -> audio

A stem has the length of its mix to the sample, whatever that is, and is made window by window. A
finished stem is its stream.
"""

import copy
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ritornello.audio.features import silence_ratio
from ritornello.audio.io import with_channels
from ritornello.audio.resample import resample, resample_ring
from ritornello.data.stem_categories import resolve_category
from ritornello.encodec.codec import EncodecCodec
from ritornello.errors import AudioError, CapabilityError, ConfigError
from ritornello.interfaces import Audio, Request, System
from ritornello.shapes import Codes
from ritornello.stemgen.candidates import LEAST_S, adherence, best
from ritornello.stemgen.click import Click
from ritornello.stemgen.combiner import UNHEARD, Conditions
from ritornello.stemgen.config import DecodingConfig, StemGenConfig
from ritornello.stemgen.decoding import decode
from ritornello.stemgen.edits import (
    activity_frames,
    kept_frames,
    onsets_of,
    pasted,
    refuse_nothing_new,
)
from ritornello.stemgen.guard import Retry, problem_of, softened
from ritornello.stemgen.hearing import Source, piece_time
from ritornello.stemgen.model import NAME, StemGenModel
from ritornello.stemgen.network import StemTransformer
from ritornello.stemgen.options import StemGenOptions
from ritornello.stemgen.windows import (
    Window,
    blocks,
    closing,
    closing_frames,
    ring_wave,
    windows,
)
from ritornello.training.seeds import derived_seed, seeded_generator

logger = logging.getLogger(__name__)

Options = StemGenOptions
"""Under the name that every system's own options have."""


@dataclass(kw_only=True)
class Piece:
    """A stem in the making.

    Attributes:
        heard: The mix; None for none.
        given: The stem that is edited; None for none.
        time: Samples of the stem.
        category: Its row among the model's stems.
        activity: What every frame is told.
        codes: All tokens, the mask where they are to be made; filled window by window.
        kept: Frames of the given stem that stay.
        decoding: How tokens are drawn.
        options: What was asked for.
        seed: Of the draws.
        retries: Windows that were made anew, as it happens.
    """

    heard: Source | None
    given: Source | None
    time: int
    category: int
    activity: Int64[Tensor, " frames"]
    codes: Codes
    kept: Tensor
    decoding: DecodingConfig
    options: StemGenOptions
    seed: int
    retries: list[Retry] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Of the stem."""
        return self.codes.shape[-1]


class StemGen(StemGenModel, System):
    """A model that listens and answers.

    Args:
        config: Of all of it.
        codec: What stems and mixes are told in.
        network: What answers; None when it has not been trained.
    """

    name: ClassVar[str] = NAME
    capabilities: ClassVar[frozenset[str]] = frozenset({"accompany", "reconstruct"})

    def __init__(
        self, config: StemGenConfig, codec: EncodecCodec, network: StemTransformer | None
    ) -> None:
        super().__init__(config, codec, network)
        self.sample_rate, self.channels = codec.sample_rate, codec.channels
        self.decoding = config.decoding

    @classmethod
    def load(cls, folder: Path) -> "StemGen":
        """The model saved in `folder`, ready to play."""
        return cast(StemGen, super().load(folder))

    def with_decoding(self, decoding: DecodingConfig) -> "StemGen":
        """The same model, decoding otherwise when nothing else is asked for."""
        other = copy.copy(self)
        other.decoding = decoding
        return other

    # -------------------------------------------------------------- a stem

    def generate(self, request: Request, options: StemGenOptions | None = None) -> Audio:
        """The stem, as long as its mix; of several candidates the one that follows it best.

        Raises:
            CapabilityError: For what this model cannot do, or when it is not trained yet.
            ConfigError: No or an unknown stem, options that make no sense.
            AudioError: A silent mix, or one shorter than a second.
            MissingDependencyError: Candidates are to be compared without mir_eval.
        """
        options = options or StemGenOptions()
        if options.candidates == 1:
            return self._whole(self.piece(request, options))
        first = self.piece(request, options)
        if first.heard is None or first.time < LEAST_S * self.sample_rate:
            raise ConfigError(
                f"candidates are ranked by how they follow a mix of {LEAST_S:g} s or more; expected"
                " one, or 1 candidate"
            )
        mix = Audio(samples=first.heard.plain(0, first.time), sample_rate=self.sample_rate)
        takes, scores = [], []
        for number in range(options.candidates):
            seed = derived_seed(request.seed, "candidate", number) if number else request.seed
            takes.append(self._whole(replace_seed(self.piece(request, options), seed)))
            scores.append(adherence(mix, takes[-1], self.config.stems[first.category]))
        chosen = best(scores)
        logger.info("candidate %d of %d follows the mix best", chosen + 1, len(takes))
        meta = {**takes[chosen].meta, "candidates": scores, "candidate": chosen + 1}
        return replace(takes[chosen], meta=meta)

    def stream(self, request: Request, options: StemGenOptions | None = None) -> Iterator[Audio]:
        """The same stem as it is made, window by window; a loop comes whole.

        Raises:
            ConfigError: As `generate`, and for candidates, which have to be whole to be compared.
        """
        options = options or StemGenOptions()
        if options.candidates > 1:
            raise ConfigError("candidates cannot be compared in a stream; generate the whole stem")
        return self._blocks(self.piece(request, options))

    def reconstruct(self, audio: Audio) -> Audio:
        """`audio` through the codec and back, mono and at its rate."""
        mono = resample(with_channels(audio.samples, 1), audio.sample_rate, self.sample_rate)
        wave = torch.from_numpy(mono)[None]
        made = self.codec.decode(self.codec.encode(wave), wave.shape[-1])
        return Audio(samples=made[0].numpy(), sample_rate=self.sample_rate)

    def piece(self, request: Request, options: StemGenOptions) -> Piece:
        """All that decides a stem; nothing is drawn yet."""
        network, mask = self.network, self.network.mask
        assert not network.training
        unable = request.needs() - self.capabilities
        if unable:
            raise CapabilityError(
                f"stemgen cannot do {', '.join(sorted(unable))}; it can do "
                f"{', '.join(sorted(self.capabilities))}"
            )
        category = self.config.stems.index(self.stem_named(request.stem))
        longest = request.mix if request.mix is not None else options.stem_in
        time = piece_time(longest, request.seconds, self.sample_rate, options.loop)
        heard = self._heard(request, options, time)
        given = None
        if options.stem_in is not None:
            given = self._given(options.stem_in, time, options.loop)
        frames = Source(audio=None, codec=self.codec, time=time, loop=options.loop).frames
        rate_hz = self.codec.frame_rate_hz
        codes = torch.full((1, self.codec.codebooks, frames), mask)
        kept = torch.zeros(frames, dtype=torch.bool)
        if given is not None and options.stem_in is not None:
            onsets_s = onsets_of(options.stem_in) if options.keep_onsets else []
            draw = seeded_generator(request.seed, "edit")
            kept = kept_frames(options, frames, rate_hz, onsets_s, draw)
            refuse_nothing_new(kept, options, time / self.sample_rate)
            codes[..., kept] = given.codes(0, frames)[..., kept]
        return Piece(
            heard=heard,
            given=given,
            time=time,
            category=category,
            activity=activity_frames(options.activity, frames, rate_hz),
            codes=codes,
            kept=kept,
            decoding=options.decoding(self.decoding, request),
            options=options,
            seed=request.seed,
        )

    def stem_named(self, name: str | None) -> str:
        """The model's stem that is meant.

        Raises:
            ConfigError: None is, or one that it does not know; the nearest names are told.
        """
        if name is None:
            raise ConfigError(
                f"which stem is wanted? expected one of {', '.join(self.config.stems)} (--stem)"
            )
        return resolve_category(name, self.config.stems)

    # -------------------------------------------------------------- what is heard and known

    def _heard(self, request: Request, options: StemGenOptions, time: int) -> Source | None:
        """The mix, with its click.

        Raises:
            AudioError: Nothing can be heard of it.
        """
        click = None
        if options.bpm is not None:
            click = Click(
                bpm=options.bpm, beats_per_bar=options.beats_per_bar, sample_rate=self.sample_rate
            )
        if request.mix is None and click is None:
            return None
        heard = Source(
            audio=request.mix, codec=self.codec, time=time, loop=options.loop, click=click
        )
        if heard.is_silent():
            raise AudioError("the mix is silent: there is nothing to listen to; give another mix")
        return heard

    def _given(self, stem: Audio, time: int, loop: bool) -> Source:
        """The stem to edit.

        Raises:
            AudioError: It is not as long as the mix.
        """
        theirs = stem.samples.shape[1] * self.sample_rate / stem.sample_rate
        if abs(theirs - time) > self.codec.hop_samples:
            raise AudioError(
                f"the stem to edit lasts {stem.duration_s:.3f} s, the mix "
                f"{time / self.sample_rate:.3f} s; expected the same length"
            )
        return Source(audio=stem, codec=self.codec, time=time, loop=loop)

    # -------------------------------------------------------------- made

    def _whole(self, piece: Piece) -> Audio:
        """All of a stem, and what is to be told of it."""
        made = list(self._blocks(piece))
        samples = np.concatenate([block.samples for block in made], 1)
        return Audio(samples=samples, sample_rate=self.sample_rate, meta=self._meta(piece))

    def _blocks(self, piece: Piece) -> Iterator[Audio]:
        """Audio as it is made."""
        done = 0
        waves = self._loop(piece) if piece.options.loop else self._waves(piece)
        for wave in waves:
            samples = self._edited(piece, wave, done)
            done += samples.shape[1]
            yield Audio(samples=samples, sample_rate=self.sample_rate, meta=self._meta(piece))

    def _waves(self, piece: Piece) -> Iterator[Float[np.ndarray, "1 _time"]]:
        made = blocks(self.codec, piece.codes, self._finished(piece), piece.time)
        return (wave.numpy() for wave in made)

    def _loop(self, piece: Piece) -> Iterator[Float[np.ndarray, "1 time"]]:
        """A loop: made as any stem, then around its end once more, with both sides known."""
        for _ in self._finished(piece):
            pass
        frames = piece.frames
        window = closing(frames, *self._window_frames())
        places = closing_frames(window, frames)
        anew = places[~piece.kept[places]]
        if len(anew):
            piece.codes[..., anew] = self.network.mask
            self._fill(piece, window, "closing")
        wave = ring_wave(self.codec, piece.codes).numpy()
        yield resample_ring(wave, piece.time)

    def _finished(self, piece: Piece) -> Iterator[int]:
        """Fill window after window; how many frames are there."""
        for number, window in enumerate(windows(piece.frames, *self._window_frames())):
            self._fill(piece, window, number)
            yield window.stop

    def _window_frames(self) -> tuple[int, int]:
        """Length of windows and of what they share."""
        overlap = round(self.decoding.overlap_s * self.codec.frame_rate_hz)
        return self.config.frames, min(overlap, self.config.frames - 1)

    def _fill(self, piece: Piece, window: Window, number: int | str) -> None:
        """Make the masked tokens of a window; once more with less guidance if that went wrong."""
        places = window.places(piece.frames)
        known = piece.codes[..., places]
        is_new = (known == self.network.mask).any(1)[0]
        if not is_new.any():
            return
        conditions, decoding = self._conditions(piece, window), piece.decoding
        is_half = piece.options.precision == "bf16"
        for attempt in range(piece.options.retries + 1):
            draw = seeded_generator(piece.seed, "window", number, attempt)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_half):
                codes = decode(self.network, conditions, known, decoding, draw)
            piece.codes[..., places] = codes
            problem = self._problem(piece, window, codes, is_new)
            if problem is None:
                return
            if attempt < piece.options.retries:
                decoding = softened(decoding)
                self._tell(piece, window, problem, decoding)
            else:
                logger.warning("the stem is still %s there; it is kept as it is", problem)

    def _conditions(self, piece: Piece, window: Window) -> Conditions:
        """What is told in a window."""
        shape = (1, self.codec.codebooks, window.stop - window.start)
        context = torch.full(shape, UNHEARD)
        if piece.heard is not None:
            context = piece.heard.codes(window.start, window.stop)
        return Conditions(
            context=context,
            category=torch.tensor([piece.category]),
            activity=piece.activity[window.places(piece.frames)][None],
        )

    def _problem(self, piece: Piece, window: Window, codes: Codes, is_new: Tensor) -> str | None:
        """What is wrong with the tokens of a window, if anything is.

        A stem may be silent where its mix is.
        """
        hop, rate = self.codec.hop_samples, self.sample_rate
        activity = piece.activity[window.places(piece.frames)].numpy()
        wave = self.codec.decode(codes)[0, 0].numpy()
        problem = problem_of(wave, activity, is_new.numpy(), hop, rate)
        if problem == "silent" and piece.heard is not None:
            stop = window.stop * hop if piece.options.loop else min(window.stop * hop, piece.time)
            if silence_ratio(piece.heard.span(window.start * hop, stop), rate) == 1:
                return None
        return problem

    def _tell(self, piece: Piece, window: Window, problem: str, decoding: DecodingConfig) -> None:
        """Say that a window is made anew, and keep it for the record."""
        rate_hz = self.codec.frame_rate_hz
        retry = Retry(
            start_s=window.start / rate_hz,
            stop_s=window.stop / rate_hz,
            problem=problem,
            guidance=decoding.guidance.context,
        )
        piece.retries.append(retry)
        logger.warning(
            "the stem from %.1f s to %.1f s came out %s; making it anew with guidance %g",
            retry.start_s,
            retry.stop_s,
            problem,
            retry.guidance,
        )

    def _edited(
        self, piece: Piece, wave: Float[np.ndarray, "1 time"], start: int
    ) -> Float[np.ndarray, "1 time"]:
        """Outside the range of an edit the given audio itself, not what the codec makes of it."""
        if piece.given is None or piece.options.edit is None:
            return wave
        given = piece.given.plain(start, start + wave.shape[1])
        return pasted(wave, given, start, piece.options.edit, self.sample_rate)

    def _meta(self, piece: Piece) -> dict[str, Any]:
        """What a stem's file says of it."""
        meta: dict[str, Any] = {
            "seed": piece.seed,
            "stem": self.config.stems[piece.category],
            "precision": piece.options.precision,
        }
        if piece.retries:
            meta["retries"] = [asdict(retry) for retry in piece.retries]
        return meta


def replace_seed(piece: Piece, seed: int) -> Piece:
    """A piece that has not begun, with other draws."""
    return replace(piece, seed=seed, retries=[])
