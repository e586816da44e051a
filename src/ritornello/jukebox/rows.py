"""The rows of the paper's ablations of its autoencoders (section 5.3): one function each.

    8, 32, 128                       the levels as they are, by their hop
    8-no-restart, 32-, 128-          unused codes stay where they are
    8-eighth-book, 8-half-book       fewer codes: an eighth is the paper's 256 of 2048
    8-unquantised                    nothing between encoder and decoder
    128-no-spectral                  squared errors alone

A row trains one level of a scale; all three are autoencoders of the same audio, and none needs
another. Needs neither torch nor numpy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ritornello.config import nearest
from ritornello.errors import ConfigError
from ritornello.jukebox import prior_presets
from ritornello.jukebox.config import JukeboxConfig, TrainingConfig
from ritornello.jukebox.scales import Scale
from ritornello.jukebox.vqvae_config import CodebookConfig, VqVaeConfig

Change = Callable[[VqVaeConfig], VqVaeConfig]
"""What a row does to its level, which is the only one of the configuration."""


def as_it_is(level: VqVaeConfig) -> VqVaeConfig:
    """The level of the scale."""
    return level


def without_restart(level: VqVaeConfig) -> VqVaeConfig:
    """Unused codes are never placed anew; all still begin on queries."""
    return _with_codebook(level, replace(level.levels[0].codebook, revive_below=0.0))


def eighth_book(level: VqVaeConfig) -> VqVaeConfig:
    """An eighth of the codes: three bits less each."""
    return _with_fewer(level, 8)


def half_book(level: VqVaeConfig) -> VqVaeConfig:
    """Half the codes: one bit less each."""
    return _with_fewer(level, 2)


def without_spectral(level: VqVaeConfig) -> VqVaeConfig:
    """No loss on magnitudes, ours in nepers included."""
    return replace(level, loss=replace(level.loss, spectral=0.0, log_magnitude=0.0))


def _with_fewer(level: VqVaeConfig, times: int) -> VqVaeConfig:
    codebook = level.levels[0].codebook
    return _with_codebook(level, replace(codebook, codes=codebook.codes // times))


def _with_codebook(level: VqVaeConfig, codebook: CodebookConfig) -> VqVaeConfig:
    return replace(level, levels=(replace(level.levels[0], codebook=codebook),))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        id: Its hop and what is changed.
        name: What it is, in words.
        level: Which of the scale's, from 0, the lowest hop.
        change: What is done to it.
        is_quantised: Whether codes stand between encoder and decoder.
    """

    id: str
    name: str
    level: int
    change: Change = as_it_is
    is_quantised: bool = True

    def vqvae(self, scale: Scale) -> VqVaeConfig:
        """The row's level, alone."""
        alone = replace(scale.vqvae, levels=(scale.vqvae.levels[self.level],))
        return self.change(alone)

    def model(self, scale: Scale) -> JukeboxConfig:
        """A Jukebox of that level; it needs a prior to be written down, which is never trained."""
        vqvae = self.vqvae(scale)
        prior = replace(
            prior_presets.nano(),
            codes=vqvae.levels[0].codebook.codes,
            frame_rate_hz=vqvae.sample_rate / vqvae.levels[0].hop_samples,
        )
        return JukeboxConfig(
            vqvae=vqvae,
            prior=prior,
            upsamplers=(),
            hops=(0.125,),
            temperatures=(0.99,),
            training=TrainingConfig(
                vqvaes=(scale.training,),
                prior=scale.training,
                upsamplers=(),
                excerpt=scale.excerpt,
            ),
        )


_ROWS = (
    Row(id="8", name="hop 8", level=0),
    Row(id="32", name="hop 32", level=1),
    Row(id="128", name="hop 128", level=2),
    Row(id="8-no-restart", name="hop 8, no restart", level=0, change=without_restart),
    Row(id="32-no-restart", name="hop 32, no restart", level=1, change=without_restart),
    Row(id="128-no-restart", name="hop 128, no restart", level=2, change=without_restart),
    Row(id="8-eighth-book", name="hop 8, an eighth of the codes", level=0, change=eighth_book),
    Row(id="8-half-book", name="hop 8, half the codes", level=0, change=half_book),
    Row(id="8-unquantised", name="hop 8, no quantisation", level=0, is_quantised=False),
    Row(id="128-no-spectral", name="hop 128, no spectral loss", level=2, change=without_spectral),
)

ROWS = {row.id: row for row in _ROWS}


def find_row(id: str) -> Row:
    """The row with that name.

    Raises:
        ConfigError: There is none; names the nearest.
    """
    if id not in ROWS:
        raise ConfigError(f"there is no row {id!r}; {nearest(id, ROWS)}")
    return ROWS[id]
