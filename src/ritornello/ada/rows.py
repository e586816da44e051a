"""The rows of the paper's three tables: one function each, at the published sizes.

A row trains one network: an autoencoder or an unconditional WaveNet. What it learns from is audio
(`below` is empty) or the codes of other rows, so that the stacks of table 3 share their levels with
tables 1 and 2, and every network is trained once:

    1.1 ... 1.7    on audio
    2.1 ... 2.6    on the codes of 1.2
    3.1 = 1.1, 3.2, 3.3 on audio; 3.4 = 2.1; 3.5 on 1.7; 3.6 on 1.2 + 2.2; 3.7 on 1.2 + 2.4

Needs neither torch nor numpy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ritornello.ada.config import AdaConfig, PriorConfig, QuantiserConfig, StackConfig
from ritornello.ada.presets import (
    audio_amae,
    audio_vq,
    code_ada,
    table_3_1,
    table_3_2,
    table_3_3,
    table_3_4,
    table_3_5,
    table_3_6,
    table_3_7,
)
from ritornello.config import nearest
from ritornello.errors import ConfigError


def _alone(level: AdaConfig) -> StackConfig:
    """A stack of one autoencoder on audio."""
    return StackConfig(levels=(level,), prior=PriorConfig(symbols=level.quantiser.codes))


def _on_codes(level: AdaConfig) -> StackConfig:
    """A second-level autoencoder on the codes of row 1.2."""
    return StackConfig(levels=(audio_vq(), level), prior=PriorConfig(symbols=level.quantiser.codes))


def _one_hot(level: AdaConfig) -> AdaConfig:
    """The same with 256-dimensional one-hot input on the encoder's and the decoder's side."""
    return replace(level, encoder_input="one_hot", local_input="one_hot")


# ------------------------------------------------------------------ table 1


def table_1_1() -> StackConfig:
    """Large unconditional WaveNet on continuous input."""
    return table_3_1()


def table_1_2() -> StackConfig:
    """VQ-VAE, continuous input, hop 8: what all further experiments build on."""
    return _alone(audio_vq())


def table_1_3() -> StackConfig:
    """VQ-VAE, one-hot input, hop 8."""
    return _alone(_one_hot(audio_vq()))


def table_1_4() -> StackConfig:
    """AMAE, continuous input, hop 8."""
    return _alone(audio_amae())


def table_1_5() -> StackConfig:
    """AMAE, one-hot input, hop 8."""
    return _alone(_one_hot(audio_amae()))


def table_1_6() -> StackConfig:
    """AMAE with softmax and entropy, one-hot input, hop 8."""
    softmax = replace(audio_amae(), quantiser=QuantiserConfig(kind="softmax_amae"))
    return _alone(_one_hot(softmax))


def table_1_7() -> StackConfig:
    """VQ-VAE, continuous input, hop 64."""
    return _alone(audio_vq(hop=64))


# ------------------------------------------------------------------ table 2


def table_2_1() -> StackConfig:
    """Large unconditional WaveNet on the codes of 1.2."""
    return table_3_4()


def table_2_2() -> StackConfig:
    """VQ-VAE whose decoder sees 64 codes.

    Deviation: the paper trained it with population based training; here alpha and beta stay fixed
    and unused codes are revived.
    """
    return _on_codes(code_ada("vq", layers=4))


def table_2_3() -> StackConfig:
    """AMAE whose decoder sees 32 codes."""
    return _on_codes(code_ada("amae", layers=3))


def table_2_4() -> StackConfig:
    """AMAE whose decoder sees 64 codes."""
    return _on_codes(code_ada("amae", layers=4))


def table_2_5() -> StackConfig:
    """AMAE whose decoder sees 128 codes."""
    return _on_codes(code_ada("amae", layers=5))


def table_2_6() -> StackConfig:
    """AMAE whose decoder sees 256 codes."""
    return _on_codes(code_ada("amae", layers=6))


# ------------------------------------------------------------------ all rows


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        id: The paper's number.
        name: What it is, in the paper's words.
        stack: The whole model at the published sizes.
        below: Rows whose networks are the levels under the one that this row trains.
        same_as: The row that trains the same network, when another table has it already.
    """

    id: str
    name: str
    stack: Callable[[], StackConfig]
    below: tuple[str, ...] = ()
    same_as: str | None = None

    @property
    def is_prior(self) -> bool:
        """Whether it trains the unconditional WaveNet on top, not the highest autoencoder."""
        return len(self.below) == len(self.stack().levels)

    @property
    def component(self) -> str:
        """Folder of the network in a model: "prior", or "level1", "level2", ..."""
        return "prior" if self.is_prior else f"level{len(self.below) + 1}"


_ROWS = (
    Row(id="1.1", name="WaveNet", stack=table_1_1),
    Row(id="1.2", name="VQ-VAE, continuous, hop 8", stack=table_1_2),
    Row(id="1.3", name="VQ-VAE, one-hot, hop 8", stack=table_1_3),
    Row(id="1.4", name="AMAE, continuous, hop 8", stack=table_1_4),
    Row(id="1.5", name="AMAE, one-hot, hop 8", stack=table_1_5),
    Row(id="1.6", name="AMAE with softmax, one-hot, hop 8", stack=table_1_6),
    Row(id="1.7", name="VQ-VAE, continuous, hop 64", stack=table_1_7),
    Row(id="2.1", name="WaveNet", stack=table_2_1, below=("1.2",)),
    Row(id="2.2", name="VQ-VAE, decoder RF 64", stack=table_2_2, below=("1.2",)),
    Row(id="2.3", name="AMAE, decoder RF 32", stack=table_2_3, below=("1.2",)),
    Row(id="2.4", name="AMAE, decoder RF 64", stack=table_2_4, below=("1.2",)),
    Row(id="2.5", name="AMAE, decoder RF 128", stack=table_2_5, below=("1.2",)),
    Row(id="2.6", name="AMAE, decoder RF 256", stack=table_2_6, below=("1.2",)),
    Row(id="3.1", name="Large WaveNet", stack=table_3_1, same_as="1.1"),
    Row(id="3.2", name="Very large WaveNet", stack=table_3_2),
    Row(id="3.3", name="Thin WaveNet with large RF", stack=table_3_3),
    Row(
        id="3.4",
        name="hop-8 VQ-VAE + large WaveNet",
        stack=table_3_4,
        below=("1.2",),
        same_as="2.1",
    ),
    Row(id="3.5", name="hop-64 VQ-VAE + large WaveNet", stack=table_3_5, below=("1.7",)),
    Row(id="3.6", name="VQ-VAE + VQ-VAE + large WaveNet", stack=table_3_6, below=("1.2", "2.2")),
    Row(id="3.7", name="VQ-VAE + AMAE + large WaveNet", stack=table_3_7, below=("1.2", "2.4")),
)

ROWS = {row.id: row for row in _ROWS}
TABLES = {number: tuple(id for id in ROWS if id.startswith(f"{number}.")) for number in (1, 2, 3)}


def find_row(id: str) -> Row:
    """The row with that number.

    Raises:
        ConfigError: There is none; names the nearest.
    """
    if id not in ROWS:
        raise ConfigError(f"there is no row {id!r}; {nearest(id, ROWS)}")
    return ROWS[id]


def trained(id: str) -> Row:
    """The row whose network stands in row `id`: itself, or the one that it shares."""
    row = find_row(id)
    return row if row.same_as is None else find_row(row.same_as)


def with_below(ids: tuple[str, ...]) -> tuple[str, ...]:
    """The rows to train for `ids`, each after those it stands on, none twice."""
    wanted: dict[str, None] = {}
    for id in ids:
        row = trained(id)
        for below in row.below:
            wanted |= dict.fromkeys(with_below((below,)))
        wanted[row.id] = None
    return tuple(wanted)
