"""Playing an ADA stack: from the top down, block by block, for as long as wanted (section 2).

    prior -> codes of level k -> ... -> codes of level 1 -> mu-law symbols -> audio
             each level: modulator over a block's codes, then its local model, symbol by symbol

Levels are generators that pull on one another: a block of audio asks level 1 for symbols, which
asks level 2 for as many codes as it needs and as its modulator looks ahead, and so on to the prior.
Blocks have fixed sizes, and numbers belong to (seed, level, block). So a stream is made in constant
memory, and a finished piece is the stream's beginning, bit for bit.

A prompt becomes codes of every level; each network hears its own before it goes on. What is written
is the prompt itself, at the model's rate, and then the new music.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64

from ritornello.ada.codec import (
    BLOCK_S,
    AdaCodec,
    Draws,
    LevelPlayer,
    Sequences,
    hop_samples,
    level_name,
    load_level,
    load_prior,
    play_down,
    players_of,
    save_level,
    save_prior,
)
from ritornello.ada.config import StackConfig
from ritornello.ada.model import Ada, Prior
from ritornello.ada.recordings import MULAW_SYMBOLS
from ritornello.ada.sampling import PRECISIONS, Sampler, plain_step_s, sampler_for
from ritornello.audio.io import with_channels
from ritornello.audio.mulaw import mulaw_decode, mulaw_encode
from ritornello.audio.resample import resample
from ritornello.checkpoint import saved_config, whole_folder, write_checksums, write_config
from ritornello.config import to_dict
from ritornello.errors import AudioError, CapabilityError, ConfigError
from ritornello.interfaces import Audio, Request, System

logger = logging.getLogger(__name__)

DEFAULT_SECONDS = 30.0
PATIENCE_S = 10.0
"""A piece that will take longer without the compiled step is announced."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What only an ADA can be asked for.

    Attributes:
        temperatures: Spread of the draws of every network, level 1 first and the prior last; None
            for the model's own times the request's.
        precision: "fp32", or "int8": faster, other music from the same seed.
    """

    temperatures: Sequence[float] | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.temperatures is not None:
            object.__setattr__(self, "temperatures", tuple(self.temperatures))
            if not self.temperatures:
                raise ConfigError("temperatures are (); expected one for every network, or None")
            for temperature in self.temperatures:
                if not 0 < temperature <= 4:
                    raise ConfigError(
                        f"temperatures are {self.temperatures}; expected 0 < temperature <= 4"
                    )
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is {self.precision!r}; expected one of {PRECISIONS}")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A recording as the networks of a stack hear it.

    Attributes:
        audio: At the model's rate, mono.
        symbols: Mu-law symbols, then codes of every level, all of the end of it; they end together.
    """

    audio: Float[np.ndarray, "1 time"]
    symbols: list[Int64[torch.Tensor, "1 _steps"]]


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """A stack ready to sample from, in one precision.

    Attributes:
        players: The levels, lowest first.
        prior: The top.
        prior_block: Symbols that the prior makes at a time.
        precision: What their steps are computed in.
    """

    players: tuple[LevelPlayer, ...]
    prior: Sampler
    prior_block: int
    precision: str


class AdaStack(System):
    """A trained stack: autoencoders from the audio up, and the prior above them.

    Without levels it is a plain WaveNet on audio. Without a prior, which is trained last, it makes
    no music yet, but its levels are a codec.

    Args:
        config: Of all of it.
        levels: From the audio up.
        prior: The top; None when it has not been trained.
    """

    name: ClassVar[str] = "ada"
    capabilities: ClassVar[frozenset[str]] = frozenset({"continue", "stream", "reconstruct"})
    channels = 1

    def __init__(self, config: StackConfig, levels: Sequence[Ada], prior: Prior | None) -> None:
        self.config, self.levels, self._prior = config, tuple(levels), prior
        self.sample_rate = config.sample_rate
        self.hop_samples = hop_samples(self.levels)
        self._players: dict[str, tuple[LevelPlayer, ...]] = {}
        self._instruments: dict[str, Instruments] = {}

    @classmethod
    def load(cls, folder: Path) -> "AdaStack":
        """The model saved in `folder`, in float32; levels may be all it has."""
        config = saved_config(folder, cls.name, StackConfig)
        depth = len(config.levels)
        if not depth or (folder / "prior").is_dir():
            prior = load_prior(folder, config)
        else:  # Levels are trained bottom up, so those there are the lowest.
            prior = None
            depth = max(1, sum((folder / level_name(index)).is_dir() for index in range(depth)))
        levels = [load_level(folder, index, config) for index in range(depth)]
        return cls(config, levels, prior)

    @property
    def prior(self) -> Prior:
        """The top.

        Raises:
            CapabilityError: It has not been trained.
        """
        if self._prior is None:
            raise CapabilityError(
                "this model has levels but no prior yet, so it makes no music: train one on its "
                "codes with `ritornello train ada --from-codec MODEL ...`. It can reconstruct, "
                "encode and decode."
            )
        return self._prior

    def save(self, folder: Path) -> None:
        """Write the model, weights in half precision."""
        with whole_folder(folder) as place:
            write_config(place, self.name, to_dict(self.config))
            for index, ada in enumerate(self.levels):
                save_level(place, index, ada)
            if self._prior is not None:
                save_prior(place, self._prior)
            write_checksums(place)

    # -------------------------------------------------------------- the codec

    @property
    def codec(self) -> AdaCodec | None:
        """All levels as a codec; None for a plain WaveNet."""
        return self.codec_at(len(self.levels)) if self.levels else None

    def codec_at(self, level: int) -> AdaCodec:
        """Levels 1 .. `level` as a codec.

        Raises:
            CapabilityError: The model is a plain WaveNet.
            ConfigError: It has no such level.
        """
        depth = len(self.levels)
        if not depth:
            raise CapabilityError("this model is a WaveNet on audio; it has no levels, so no codec")
        if not 1 <= level <= depth:
            there = ", ".join(map(str, range(1, depth + 1)))
            raise ConfigError(f"level is {level}; this model has {there} (1 is nearest to audio)")
        return AdaCodec(
            self.levels[:level],
            self.sample_rate,
            players=self.players("fp32")[:level],
            temperatures=self.config.temperatures[:level] or None,
        )

    def reconstruct(self, audio: Audio, level: int | None = None) -> Audio:
        """`audio`, mixed to mono, through levels 1 .. `level` (None: all) and back.

        What the codes do not say is drawn anew, always with the same numbers.
        """
        codec = self.codec_at(len(self.levels) if level is None else level)
        self._announce(codec.players[0].sampler, audio.duration_s)
        wave = torch.from_numpy(self._mono(audio))[None]
        again = codec.decode(codec.encode(wave), wave.shape[-1])
        return Audio(samples=again[0].numpy(), sample_rate=self.sample_rate)

    def _mono(self, audio: Audio) -> Float[np.ndarray, "1 time"]:
        """`audio` at the model's rate."""
        mono = with_channels(audio.samples, self.channels)
        return resample(mono, audio.sample_rate, self.sample_rate)

    # -------------------------------------------------------------- a piece

    def generate(self, request: Request, options: Options | None = None) -> Audio:
        """A piece of exactly the length asked for, after the prompt if there is one.

        Without `seconds` it lasts `DEFAULT_SECONDS`.
        """
        if request.seconds is None:
            request = replace(request, seconds=DEFAULT_SECONDS)
        blocks = list(self.stream(request, options))
        samples = np.concatenate([block.samples for block in blocks], 1)
        return replace(blocks[0], samples=samples)

    def stream(self, request: Request, options: Options | None = None) -> Iterator[Audio]:
        """The same piece block by block: the prompt first, then new music, endless if asked.

        Raises:
            CapabilityError: For what this model cannot do, or when its prior is not trained.
            AudioError: A prompt shorter than one code of the topmost level.
            ConfigError: As many temperatures as there are networks were expected.
        """
        options = options or Options()
        unable = request.needs() - self.capabilities
        if unable:
            raise CapabilityError(
                f"ada cannot do {', '.join(sorted(unable))}; it can do "
                f"{', '.join(sorted(self.capabilities))}"
            )
        instruments = self.instruments(options.precision)
        draws = self._draws(request, options)
        prompt = self.prompt(request.prompt) if request.prompt else None
        time = None
        if request.seconds is not None:
            time = max(1, round(request.seconds * self.sample_rate))
        self._announce(instruments.prior, request.seconds)
        return self._blocks(instruments, draws, prompt, time)

    def _blocks(
        self, instruments: Instruments, draws: list[Draws], prompt: Prompt | None, time: int | None
    ) -> Iterator[Audio]:
        """The prompt, then `time` samples (None: for ever) of new music."""
        meta = {
            "seed": draws[-1].seed,
            "kernel": instruments.prior.path,
            "precision": instruments.precision,
        }
        if prompt is not None:
            yield Audio(samples=prompt.audio, sample_rate=self.sample_rate, meta=meta)
        made = 0
        for symbols in self.symbols(instruments, draws, prompt):
            wave = mulaw_decode(symbols, MULAW_SYMBOLS).numpy()
            kept = wave if time is None else wave[:, : time - made]
            yield Audio(samples=kept, sample_rate=self.sample_rate, meta=meta)
            made += kept.shape[1]
            if made == time:
                return

    def symbols(
        self, instruments: Instruments, draws: Sequence[Draws], prompt: Prompt | None
    ) -> Iterator[Sequences]:
        """Mu-law symbols without end: the prior's codes, sent down through every level."""
        known = prompt.symbols if prompt else []
        codes = self._prior_codes(instruments, draws[-1], known[-1] if known else None)
        pasts = None
        if known:
            pairs = zip(instruments.players, known, known[1:], strict=False)
            pasts = [player.relevant(above, below) for player, below, above in pairs]
        return play_down(instruments.players, codes, draws[:-1], pasts)

    def _prior_codes(
        self, instruments: Instruments, draws: Draws, past: Sequences | None
    ) -> Iterator[Sequences]:
        """What the prior draws, block by block, after what it has heard."""
        state = instruments.prior.initial_state(1)
        if past is not None:
            heard = past[:, -self.prior.stack.receptive_field :]
            instruments.prior.logits(state, heard.numpy())
        for block in count():
            yield draws.sample(instruments.prior, state, block, shape=(1, instruments.prior_block))

    def players(self, precision: str) -> tuple[LevelPlayer, ...]:
        """Players of all levels in `precision`, lowest first; made once."""
        if precision not in self._players:
            self._players[precision] = players_of(self.levels, self.sample_rate, precision)
        return self._players[precision]

    def instruments(self, precision: str) -> Instruments:
        """Samplers of all networks in `precision`; made once."""
        if precision not in self._instruments:
            rate_hz = self.sample_rate / self.hop_samples
            self._instruments[precision] = Instruments(
                players=self.players(precision),
                prior=sampler_for(self.prior, precision),
                prior_block=max(1, round(BLOCK_S * rate_hz)),
                precision=precision,
            )
        return self._instruments[precision]

    def _draws(self, request: Request, options: Options) -> list[Draws]:
        """How each network is drawn from, level 1 first, the prior last."""
        names = [*map(level_name, range(len(self.levels))), "prior"]
        own = self.config.temperatures or (1.0,) * len(names)
        temperatures = options.temperatures or [request.temperature * one for one in own]
        if len(temperatures) != len(names):
            raise ConfigError(
                f"got {len(temperatures)} temperatures; expected {len(names)}: one for each of "
                f"{', '.join(names)}"
            )
        return [
            Draws(seed=request.seed, name=name, temperature=temperature, top_p=request.top_p)
            for name, temperature in zip(names, temperatures, strict=True)
        ]

    # -------------------------------------------------------------- prompts

    def prompt(self, audio: Audio) -> Prompt:
        """A recording of any rate, mono or stereo, as the networks hear it.

        Codes lie on a grid that ends where the recording ends; what is beyond every network's
        receptive field is not encoded.

        Raises:
            AudioError: It is shorter than one code of the topmost level.
        """
        mono = self._mono(audio)
        frames = min(mono.shape[1] // self.hop_samples, self._heard_frames())
        if not frames:
            raise AudioError(
                f"the prompt lasts {1000 * mono.shape[1] / self.sample_rate:.3g} ms; expected at "
                f"least {1000 * self.hop_samples / self.sample_rate:.3g} ms, one code of the "
                "topmost level"
            )
        end = torch.from_numpy(mono[None, :, -frames * self.hop_samples :].copy())
        symbols = self.codec.symbols(end) if self.codec else [mulaw_encode(end[0], MULAW_SYMBOLS)]
        return Prompt(audio=mono, symbols=symbols)

    def _heard_frames(self) -> int:
        """Symbols of the prior that the end of a prompt has, for every network to hear enough."""
        heard, hop = 0, 1
        for player in self.players("fp32"):
            hop *= player.ada.config.hop
            heard = max(heard, player.past_frames * hop)
        context = self.codec.context_frames if self.codec else 0
        return context + max(self.prior.stack.receptive_field, -(-heard // self.hop_samples))

    # -------------------------------------------------------------- how long it takes

    def _announce(self, sampler: Sampler, seconds: float | None) -> None:
        """Say beforehand that the plain way will take long, and what would help."""
        if sampler.path != "torch":
            return
        times = self.plain_seconds_per_second()
        takes_s = times * (seconds or DEFAULT_SECONDS)
        if takes_s > PATIENCE_S:
            logger.warning(
                "without the compiled WaveNet step, %.0f s of music take about %s (%.1f s for each "
                "second). A C compiler and `pip install --force-reinstall --no-deps ritornello` "
                "make it 8 to 40 times as fast, the more so the smaller the networks.",
                seconds or DEFAULT_SECONDS,
                f"{takes_s / 60:.0f} min" if takes_s > 90 else f"{takes_s:.0f} s",
                times,
            )

    def plain_seconds_per_second(self) -> float:
        """Forecast of the seconds that the plain sampler needs for a second of audio."""
        rate_hz, total_s = float(self.sample_rate), 0.0
        for ada in self.levels:
            total_s += rate_hz * plain_step_s(ada.local)
            rate_hz /= ada.config.hop
        return total_s + (rate_hz * plain_step_s(self._prior) if self._prior else 0.0)
