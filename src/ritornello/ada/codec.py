"""The levels of a stack as a codec: audio <-> codes of any of them (sections 2 and 3).

    audio -> mu-law -> codes of level 1 -> ... -> codes of level k        encoders, all at once
    audio <- mu-law <- symbols          <- ... <- codes of level k        modulators, then sampling

Decoding is sampling: codes say what is heard, the local models fill in the rest, with numbers that
are a pure function of (seed, level, block). It goes from block to block in constant memory: the
modulator, which looks both ways, reads a block's codes with exact context, so that block by block
equals the whole; the local model carries its state on.

Axes: batch, frames (codes of a level), time (what lies below it, `hop` symbols per code).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ritornello.ada.config import StackConfig
from ritornello.ada.model import Ada, Prior
from ritornello.ada.recordings import MULAW_SYMBOLS, encode_long
from ritornello.ada.sampling import HeldBiases, Sampler, sampler_for
from ritornello.audio.mulaw import mulaw_decode, mulaw_encode
from ritornello.checkpoint import load_component, load_into, save_component
from ritornello.config import to_dict
from ritornello.errors import ConfigError
from ritornello.interfaces import TokenCodec
from ritornello.nn.quantize import tensors_to_save
from ritornello.shapes import Codes, Waveform
from ritornello.training.seeds import seeded_generator

Sequences = Int64[Tensor, "batch _steps"]

BLOCK_S = 0.25
"""Least length of a block; longer where the modulator looks further, or windows would be mostly
context."""

# ------------------------------------------------------------------ components on the disk


def level_name(index: int) -> str:
    """Component of level `index`, which counts from 0: "level1" is the one on audio."""
    return f"level{index + 1}"


def save_level(folder: Path, index: int, ada: Ada) -> None:
    """Write component `level1`, `level2`, ... in half precision; a codebook with counts of 1."""
    save_component(folder, level_name(index), tensors_to_save(ada), to_dict(ada.config), half=True)


def load_level(folder: Path, index: int, config: StackConfig) -> Ada:
    """Level `index` of the model in `folder`, in float32, not trainable."""
    ada = Ada(config.levels[index])
    load_into(ada, load_component(folder, level_name(index))[1])
    return ada.eval().requires_grad_(False)


def save_prior(folder: Path, prior: Prior) -> None:
    """Write component `prior` in half precision."""
    save_component(folder, "prior", prior, to_dict(prior.config), half=True)


def load_prior(folder: Path, config: StackConfig) -> Prior:
    """The prior of the model in `folder`, in float32, not trainable."""
    prior = Prior(config.prior)
    load_into(prior, load_component(folder, "prior")[1])
    return prior.eval().requires_grad_(False)


# ------------------------------------------------------------------ sampling one network in blocks


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How one network of a stack is drawn from.

    Attributes:
        seed: Of the piece.
        name: Of the network, "level1" or "prior": each has numbers of its own.
        temperature: Spread of the draws.
        top_p: Nucleus of the draws.
    """

    seed: int
    name: str
    temperature: float = 1.0
    top_p: float = 1.0

    def uniforms(self, block: int, batch: int, steps: int) -> Float32[np.ndarray, "batch steps"]:
        """The numbers of one block; the same for every row, so that none depends on the others."""
        draw = seeded_generator(self.seed, "ada", self.name, block)
        numbers = torch.rand(steps, generator=draw)
        return numbers.expand(batch, -1).contiguous().numpy()

    def sample(
        self,
        sampler: Sampler,
        state: object,
        block: int,
        *,
        shape: tuple[int, int],
        biases: HeldBiases | None = None,
        hop: int = 1,
    ) -> Sequences:
        """The symbols of one block, (batch, steps) = `shape`; moves `state` on."""
        drawn = sampler.sample(
            state,
            self.uniforms(block, *shape),
            biases=biases,
            hop=hop,
            temperature=self.temperature,
            top_p=self.top_p,
        )
        return torch.from_numpy(drawn)


def modulator_reach(ada: Ada) -> int:
    """Codes on either side that a bias depends on."""
    return ada.modulator.stack.receptive_field // 2


def windows(
    source: Iterator[Sequences], past: Sequences, block: int, reach: int
) -> Iterator[tuple[Sequences, int, int]]:
    """Blocks of `block` codes with `reach` codes of context on both sides.

    Args:
        source: Codes in pieces of any size; may be endless.
        past: Codes before the first of `source`, all of which the first window gets.
        block: Codes per block; fewer in the last one.
        reach: Context; less of it where the codes begin or end.

    Yields:
        Codes of the window, and where in it the block starts and stops.
    """
    held, start = past, past.shape[1]
    for codes in source:
        held = torch.cat([held, codes], 1)
        while held.shape[1] >= start + block + reach:
            yield held[:, : start + block + reach], start, start + block
            done = max(0, start + block - reach)
            held, start = held[:, done:], start + block - done
    while start < held.shape[1]:
        stop = min(start + block, held.shape[1])
        yield held[:, : stop + reach], start, stop
        done = max(0, stop - reach)
        held, start = held[:, done:], stop - done


@dataclass(frozen=True, kw_only=True)
class LevelPlayer:
    """One level, downwards: from its codes to the symbols below it.

    Attributes:
        ada: The level.
        sampler: Of its local model.
        block: Codes per block.
    """

    ada: Ada
    sampler: Sampler
    block: int

    def play(
        self,
        codes: Iterator[Sequences],
        draws: Draws,
        past: tuple[Sequences, Sequences] | None = None,
        batch: int = 1,
    ) -> Iterator[Sequences]:
        """Symbols of `codes`, a block at a time; ends when `codes` do.

        Args:
            codes: Pieces of any size.
            draws: What to sample with.
            past: Codes that came before, and the symbols that go with them: the local model hears
                these first. None at the beginning of a piece.
            batch: Rows.
        """
        nothing = torch.zeros(batch, 0, dtype=torch.int64)
        past_codes, past_symbols = past or (nothing, nothing)
        reach, hop = modulator_reach(self.ada), self.ada.config.hop
        state = self.sampler.initial_state(batch)
        blocks = windows(codes, past_codes, self.block, reach)
        for number, (window, start, stop) in enumerate(blocks):
            biases = self.biases(window)
            if number == 0 and past_symbols.shape[1]:
                known = biases[:, start - past_symbols.shape[1] // hop : start]
                self.sampler.logits(state, past_symbols.numpy(), biases=known, hop=hop)
            yield draws.sample(
                self.sampler,
                state,
                number,
                shape=(batch, (stop - start) * hop),
                biases=biases[:, start:stop],
                hop=hop,
            )

    @torch.inference_mode()
    def biases(self, codes: Sequences) -> HeldBiases:
        """What codes say to every layer of the local model."""
        return torch.stack(self.ada.biases(codes), 2).float().cpu().numpy()

    @property
    def heard_frames(self) -> int:
        """Codes whose symbols the local model can look back on."""
        return -(-self.ada.local.stack.receptive_field // self.ada.config.hop)

    @property
    def past_frames(self) -> int:
        """Codes of a past that make a difference: those heard, and what their biases depend on."""
        return self.heard_frames + modulator_reach(self.ada)

    def relevant(self, codes: Sequences, symbols: Sequences) -> tuple[Sequences, Sequences]:
        """The part of a past that makes a difference: its last codes, and its last symbols."""
        heard = self.heard_frames * self.ada.config.hop
        return codes[:, -self.past_frames :], symbols[:, -heard:]


def players_of(
    levels: Sequence[Ada], sample_rate: int, precision: str = "fp32"
) -> tuple[LevelPlayer, ...]:
    """A player for every level, lowest first."""
    players, rate_hz = [], float(sample_rate)
    for ada in levels:
        rate_hz /= ada.config.hop
        block = max(modulator_reach(ada), round(BLOCK_S * rate_hz), 1)
        sampler = sampler_for(ada.local, precision)
        players.append(LevelPlayer(ada=ada, sampler=sampler, block=block))
    return tuple(players)


def play_down(
    players: Sequence[LevelPlayer],
    codes: Iterator[Sequences],
    draws: Sequence[Draws],
    pasts: Sequence[tuple[Sequences, Sequences] | None] | None = None,
    batch: int = 1,
) -> Iterator[Sequences]:
    """Mu-law symbols from codes of the topmost player, through all below it, lazily.

    Args:
        players: Lowest first.
        codes: Of the topmost level, in pieces of any size.
        draws: One per player.
        pasts: One per player (`LevelPlayer.play`).
        batch: Rows.
    """
    for index in reversed(range(len(players))):
        past = pasts[index] if pasts else None
        codes = players[index].play(codes, draws[index], past, batch)
    return codes


# ------------------------------------------------------------------ the codec


class AdaCodec(TokenCodec):
    """Levels 1 .. k of a stack: a `TokenCodec` with one codebook.

    Args:
        levels: From the audio up.
        sample_rate: Of the audio, which is mono.
        players: Of the levels; made when absent.
        seed: What decoding draws with.
        temperatures: Spread of the draws, one per level; 1 when absent.
    """

    channels = 1
    codebooks = 1

    def __init__(
        self,
        levels: Sequence[Ada],
        sample_rate: int,
        *,
        players: Sequence[LevelPlayer] | None = None,
        seed: int = 0,
        temperatures: Sequence[float] | None = None,
    ) -> None:
        if not levels:
            raise ConfigError("got no levels; expected at least one to make codes of audio")
        if temperatures is not None and len(temperatures) != len(levels):
            raise ConfigError(f"got {len(temperatures)} temperatures for {len(levels)} levels")
        self.levels, self.sample_rate, self.seed = tuple(levels), sample_rate, seed
        self.temperatures = tuple(temperatures or (1.0 for _ in levels))
        self.players = tuple(players or players_of(levels, sample_rate))
        self.hop_samples = hop_samples(levels)
        self.codebook_size = levels[-1].config.quantiser.codes
        self.context_frames = encoder_context(levels)

    def encode(self, wave: Waveform) -> Codes:
        """Codes of the topmost level; silence fills up the last frame."""
        self.check_wave(wave)
        return self.symbols(wave)[-1][:, None]

    def symbols(self, wave: Waveform) -> list[Sequences]:
        """Mu-law symbols, then codes of every level, of mono waveforms."""
        missing = -wave.shape[2] % self.hop_samples
        silence = torch.nn.functional.pad(wave[:, 0], (0, missing))
        found = [mulaw_encode(silence, MULAW_SYMBOLS)]
        for ada in self.levels:
            found.append(torch.stack([encode_long(ada, row) for row in found[-1]]))
        return found

    def decode(self, codes: Codes, length: int | None = None) -> Waveform:
        """Audio drawn from codes, always with the same numbers; `length` samples of it."""
        length, batch = self.check_codes(codes, length), codes.shape[0]
        draws = [
            Draws(seed=self.seed, name=level_name(index), temperature=temperature)
            for index, temperature in enumerate(self.temperatures)
        ]
        blocks = play_down(self.players, iter([codes[:, 0]]), draws, batch=batch)
        waves = [mulaw_decode(symbols, MULAW_SYMBOLS) for symbols in blocks]
        return torch.cat(waves, 1)[:, None, :length]


def hop_samples(levels: Sequence[Ada]) -> int:
    """Samples per code of the topmost level."""
    hop = 1
    for ada in levels:
        hop *= ada.config.hop
    return hop


def encoder_context(levels: Sequence[Ada]) -> int:
    """Codes of the topmost level on either side whose audio one of them depends on."""
    context = 0
    for ada in levels:
        reach = ada.encoder.stack.receptive_field // 2
        context = -(-(context + reach) // ada.config.hop)
    return context
