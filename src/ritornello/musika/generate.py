"""Playing a Musika model: pieces of any length, by chunk, from any point.

    seed, form, controls -> Route -> coordinates of chunk k -> Generator -> latents of chunk k
                                     latents of k-1, k, k+1 -> codec     -> audio of chunk k

Every chunk of latents is a pure function of its place, and every chunk of audio a pure function of
its latents and a little context on both sides. So nothing is cross-faded, a stream can begin
anywhere and needs the same memory after an hour as after a chunk. Whoever asks, a chunk is computed
alone, in tensors of one fixed shape, so that stream, `piece[t0:t1]` and `generate` have the same
bits. A whole piece is made by several threads, each with chunks of its own. A batch of chunks would
be no faster on a CPU; its last bits would differ, and phases, carried from frame to frame, can make
much of last bits.

Axes: batch, dim, frames (latent steps); channels, time (samples).
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.audio.io import with_channels
from ritornello.audio.resample import resample
from ritornello.checkpoint import (
    load_component,
    load_into,
    save_component,
    saved_config,
    whole_folder,
    write_checksums,
    write_config,
)
from ritornello.config import from_dict, to_dict
from ritornello.errors import CapabilityError, CheckpointError, ConfigError
from ritornello.interfaces import MAX_SECONDS, Audio, Request, System
from ritornello.musika.codec import MusikaCodec
from ritornello.musika.config import MusikaConfig
from ritornello.musika.controls import (
    ControlScale,
    Points,
    Typical,
    asked_conditions,
    check_request,
    drawn_controls,
)
from ritornello.musika.coordinates import Route, chunk_coordinates, chunk_noise, keyed_draws
from ritornello.musika.families import build_generator
from ritornello.musika.form import PiecePlan, Place, plan_piece
from ritornello.musika.model import CoordinateGenerator
from ritornello.shapes import Latents

DEFAULT_SECONDS = 30.0
JOINT_REACH = 2
"""Latents on either side of a joint between chunks that are softened."""
WORKERS = 2
"""Chunks that `generate` makes at a time; they change nothing but the time it takes."""

Recent = dict[int, Float[Tensor, "1 dim chunk_frames"]]
"""Latents by chunk: what a stream still needs of the chunks it has made."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What only Musika can be asked for.

    Attributes:
        to_seed: Seed whose style the piece arrives at when it ends.
        seek_s: Where in the piece to begin; the piece itself stays the same.
    """

    to_seed: int | None = None
    seek_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.to_seed is not None and self.to_seed < 0:
            raise ConfigError(f"to_seed is {self.to_seed}; expected a whole number >= 0")
        if not 0 <= self.seek_s <= MAX_SECONDS:
            raise ConfigError(f"seek_s is {self.seek_s}; expected seconds, 0 to {MAX_SECONDS:g}")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """An endless piece, of which any part can be had at any time: `piece[t0:t1]`.

    Attributes:
        generator: Makes latents of a chunk from its coordinates.
        codec: Makes audio of a chunk from latents.
        config: The model's configuration.
        route: The way through the coordinate system.
        controls: Curves the music is asked to follow.
        time: Samples it was asked to last, None for ever; beyond them it goes on all the same.
    """

    generator: CoordinateGenerator
    codec: MusikaCodec
    config: MusikaConfig
    route: Route
    controls: Mapping[str, Points] = field(default_factory=dict)
    time: int | None = None

    @property
    def chunk_samples(self) -> int:
        """Audio samples of one chunk."""
        return self.config.gan.chunk_frames * self.codec.hop_samples

    def __getitem__(self, seconds: slice) -> Audio:
        """The part from `seconds.start` to `seconds.stop`, the same bits that a stream has."""
        if seconds.step is not None or seconds.stop is None:
            raise ConfigError(f"piece[{seconds}]: expected piece[t0:t1] in seconds")
        rate = self.codec.sample_rate
        start, stop = round((seconds.start or 0.0) * rate), round(seconds.stop * rate)
        if not 0 <= start < stop:
            raise ConfigError(
                f"piece[{seconds.start}:{seconds.stop}]: expected 0 <= t0 < t1, a sample apart"
            )
        return self.audio(torch.cat(list(self.stream(start, stop)), dim=-1))

    def audio(self, wave: Float[Tensor, "channels time"]) -> Audio:
        """A part of this piece as audio, with what the piece is."""
        timetable = self.route.plan.timetable(self.config.chunk_s)
        meta = {"seed": self.route.seed} | ({"form": timetable} if timetable else {})
        samples = wave.to(torch.float32).cpu().numpy()
        return Audio(samples=samples, sample_rate=self.codec.sample_rate, meta=meta)

    # -------------------------------------------------------------- one chunk at a time

    def stream(self, start: int, stop: int | None) -> Iterator[Float[Tensor, "channels _"]]:
        """Samples `start` to `stop` (None: for ever), one block per chunk."""
        recent: Recent = {}
        chunk = start // self.chunk_samples
        while stop is None or chunk * self.chunk_samples < stop:
            window, recent = self.window(chunk, recent)
            yield self._cut(self._decode(window), chunk, start, stop)
            chunk += 1

    def latents(self, chunk: int) -> Latents:
        """Latents of one chunk (batch of one), whatever was made before."""
        like = next(self.generator.parameters())
        coordinates = chunk_coordinates(self.route, chunk, self.config.gan, self._conditions(chunk))
        noise = chunk_noise(self.route, chunk, self.generator.noise_shapes(1))
        with torch.inference_mode():
            return self.generator(coordinates.to(like), [one.to(like) for one in noise])

    def _decode(self, window: Latents) -> Float[Tensor, "channels time"]:
        """Audio of the chunk in the middle of `window`."""
        with torch.inference_mode():
            return self.codec.decode_window(window)[0]

    # -------------------------------------------------------------- several chunks at a time

    def parallel(
        self, start: int, stop: int, workers: int = WORKERS
    ) -> Float[Tensor, "channels time"]:
        """Samples `start` to `stop`, `workers` chunks at a time: the same bits as `stream`."""
        first, last = start // self.chunk_samples, ceil(stop / self.chunk_samples)
        heard = range(first - self._reach, last + self._reach)
        with ThreadPoolExecutor(workers) as pool:
            latents = dict(zip(heard, pool.map(self.latents, heard), strict=True))
            windows = [self.window(chunk, latents)[0] for chunk in range(first, last)]
            blocks = [
                self._cut(block, first + index, start, stop)
                for index, block in enumerate(pool.map(self._decode, windows))
            ]
        return torch.cat(blocks, dim=-1)

    # -------------------------------------------------------------- what a chunk is made from

    def window(self, chunk: int, recent: Recent) -> tuple[Latents, Recent]:
        """The latents that chunk `chunk` is decoded from, and those worth keeping for the next."""
        reach = range(chunk - self._reach, chunk + self._reach + 1)
        recent = {k: recent[k] if k in recent else self.latents(k) for k in reach}
        frames, context = self.config.gan.chunk_frames, self.codec.context_latents
        begin = self._reach * frames - context
        track = torch.cat(list(recent.values()), dim=-1)
        if self.config.family == "light":
            track = soften_joints(track, frames)
        return track[:, :, begin : begin + frames + 2 * context], recent

    def _conditions(self, chunk: int) -> Float[Tensor, "1 condition_channels chunk_frames"]:
        """What the controls ask for during a chunk."""
        steps = chunk * self.config.gan.chunk_frames + np.arange(self.config.gan.chunk_frames) + 0.5
        times_s = steps * self.codec.hop_samples / self.codec.sample_rate
        return asked_conditions(self.controls, self.config.gan.controls, times_s)

    @property
    def _reach(self) -> int:
        """Neighbours on either side that the decoder hears."""
        return ceil(self.codec.context_latents / self.config.gan.chunk_frames)

    def _cut(
        self, block: Float[Tensor, "channels time"], chunk: int, start: int, stop: int | None
    ) -> Float[Tensor, "channels kept"]:
        """The part of a chunk's audio that lies between `start` and `stop`."""
        begin = chunk * self.chunk_samples
        end = block.shape[1] if stop is None else min(block.shape[1], stop - begin)
        return block[:, max(0, start - begin) : end]


def soften_joints(
    track: Float[Tensor, "batch dim frames"], chunk_frames: int
) -> Float[Tensor, "batch dim frames"]:
    """Latents with the step between neighbouring chunks softened, JOINT_REACH latents to a side.

    Deviation: the reference leaves it to the critic to learn its seams away, in a hundred times as
    many steps as the light presets have. Repeated [1 2 1] / 4 means touch a tenth of a second on
    either side of a joint and depend on the latents there alone.
    """
    soft = track.clone()
    for joint in range(chunk_frames, track.shape[-1], chunk_frames):
        first, last = joint - JOINT_REACH, joint + JOINT_REACH
        for _ in range(JOINT_REACH):
            near = soft[..., first - 1 : last + 1].clone()
            soft[..., first:last] = (near[..., :-2] + 2 * near[..., 1:-1] + near[..., 2:]) / 4
    return soft


def save_generator(
    folder: Path,
    generator: CoordinateGenerator,
    scales: Mapping[str, ControlScale],
    stereo_spread: float = 0.0,
    typical: Typical = (),
) -> None:
    """Write component `generator` in half precision, with what belongs to the music it learnt.

    Args:
        folder: Model folder.
        generator: The generator.
        scales: What 0 and 1 of its controls mean.
        stereo_spread: How the channels of that music differ in phase (`stereo.py`).
        typical: How that music is, in its controls.
    """
    settings = {
        "control_scales": {name: to_dict(scale) for name, scale in scales.items()},
        "stereo_spread": stereo_spread,
        "typical_controls": typical,
    }
    save_component(folder, "generator", generator, settings, half=True)


def load_scales(settings: Mapping[str, Any], controls: Sequence[str]) -> dict[str, ControlScale]:
    """The scales in the settings of component `generator`, in the order of `controls`."""
    saved = settings.get("control_scales", {})
    if sorted(saved) != sorted(controls):
        raise CheckpointError(
            f"the generator has scales for the controls {sorted(saved)}; the model's config has "
            f"{sorted(controls)}"
        )
    return {name: from_dict(ControlScale, saved[name]) for name in controls}


def load_typical(settings: Mapping[str, Any], controls: Sequence[str]) -> Typical:
    """The typical controls in the settings of component `generator`; () in models without."""
    rows = tuple(tuple(row) for row in settings.get("typical_controls", ()))
    if any(len(row) != len(controls) for row in rows):
        raise CheckpointError(
            f"typical_controls of the generator do not have {len(controls)} values a row, one for "
            f"each of {', '.join(controls)}"
        )
    return rows


class Musika(System):
    """A trained Musika model: two autoencoder levels and a generator on latent coordinates."""

    name: ClassVar[str] = "musika"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"controls", "form", "stream", "reconstruct"}
    )

    def __init__(
        self,
        config: MusikaConfig,
        codec: MusikaCodec,
        generator: CoordinateGenerator,
        control_scales: Mapping[str, ControlScale],
        typical: Typical = (),
    ) -> None:
        self.config = config
        self.codec = codec
        self.generator = generator
        self.control_scales = dict(control_scales)
        self.typical = typical
        self.sample_rate = config.sample_rate
        self.channels = config.channels

    @classmethod
    def load(cls, folder: Path) -> "Musika":
        """The model saved in `folder`, in float32."""
        config = saved_config(folder, cls.name, MusikaConfig)
        generator = build_generator(config)
        settings, tensors = load_component(folder, "generator")
        load_into(generator, tensors)
        scales = load_scales(settings, config.gan.controls)
        codec = MusikaCodec.load(folder, config, settings.get("stereo_spread", 0.0))
        typical = load_typical(settings, config.gan.controls)
        return cls(config, codec, generator.eval().requires_grad_(False), scales, typical)

    def save(self, folder: Path) -> None:
        """Write the model, weights in half precision."""
        with whole_folder(folder) as place:
            write_config(place, self.name, to_dict(self.config))
            self.codec.save(place)
            spread, scales = self.codec.stereo_spread, self.control_scales
            save_generator(place, self.generator, scales, spread, self.typical)
            write_checksums(place)

    def piece(self, request: Request, options: Options | None = None) -> Piece:
        """The piece a request describes, to be entered anywhere.

        Raises:
            CapabilityError: For what this model cannot do.
            ConfigError: For controls it does not have, or a morph of an endless piece.
        """
        options = options or Options()
        unable = request.needs() - self.capabilities
        if unable:
            raise CapabilityError(
                f"musika cannot do {', '.join(sorted(unable))}; it can do "
                f"{', '.join(sorted(self.capabilities))}"
            )
        check_request(request.controls, self.config.gan.controls)
        plan = self.plan(request)
        length_s = request.seconds
        if length_s is None and plan.chunks is not None:
            length_s = plan.chunks * self.config.chunk_s
        route = Route(
            seed=request.seed,
            plan=plan,
            temperature=request.temperature,
            to_seed=options.to_seed,
            morph_chunks=None if length_s is None else ceil(length_s / self.config.chunk_s),
        )
        return Piece(
            generator=self.generator,
            codec=self.codec,
            config=self.config,
            route=route,
            controls=request.controls or self._drawn_controls(request.seed),
            time=None if length_s is None else max(1, round(length_s * self.sample_rate)),
        )

    def _drawn_controls(self, seed: int) -> dict[str, Points]:
        """What a piece that asks for nothing is like, constant over all of it."""
        draws = keyed_draws(seed, "controls", Place("", 0))
        return drawn_controls(self.typical, self.config.gan.controls, draws)

    def plan(self, request: Request) -> PiecePlan:
        """The request's form on this model's grid; its `timetable` tells the lengths as rounded."""
        return plan_piece(
            request.form,
            request.seconds,
            chunk_s=self.config.chunk_s,
            chunks_per_anchor=self.config.gan.chunks_per_anchor,
        )

    def generate(self, request: Request, options: Options | None = None) -> Audio:
        """The piece from `options.seek_s` to its end, of exactly the length asked for.

        Without `seconds` it lasts as long as its form, or `DEFAULT_SECONDS`.
        """
        if request.seconds is None and not request.form:
            request = replace(request, seconds=DEFAULT_SECONDS)
        piece = self.piece(request, options)
        assert piece.time is not None, "a piece with seconds or a form ends"
        # More threads inside a chunk and more chunks at a time would fight for the same cores.
        workers = WORKERS if torch.get_num_threads() == 1 else 1
        return piece.audio(piece.parallel(_start(piece, options), piece.time, workers))

    def stream(self, request: Request, options: Options | None = None) -> Iterator[Audio]:
        """The same piece, one chunk after the other in constant memory.

        Without `seconds` it lasts as long as its form, or for ever.
        """
        piece = self.piece(request, options)
        return map(piece.audio, piece.stream(_start(piece, options), piece.time))

    @torch.inference_mode()
    def reconstruct(self, audio: Audio) -> Audio:
        """`audio` through the codec and back, at the codec's rate and number of channels."""
        samples = resample(audio.samples, audio.sample_rate, self.sample_rate)
        wave = torch.from_numpy(with_channels(samples, self.channels)).unsqueeze(0)
        wave = wave.to(next(self.generator.parameters()))
        again = self.codec.decode(self.codec.encode(wave), wave.shape[-1])
        return Audio(samples=again[0].float().cpu().numpy(), sample_rate=self.sample_rate)


def _start(piece: Piece, options: Options | None) -> int:
    """The sample at which to begin."""
    seek_s = options.seek_s if options else 0.0
    start = round(seek_s * piece.codec.sample_rate)
    if piece.time is not None and start >= piece.time:
        length_s = piece.time / piece.codec.sample_rate
        raise ConfigError(f"seek_s is {seek_s:g}; expected less than the piece's {length_s:g} s")
    return start
