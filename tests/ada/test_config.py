"""Sizes and receptive fields are the paper's; what does not fit is refused."""

from dataclasses import replace

import pytest

from ritornello.ada.config import AdaConfig, QuantiserConfig, StackConfig, WaveNetConfig
from ritornello.ada.presets import TABLE_3, code_ada, large_wavenet, table_3_6
from ritornello.errors import ConfigError

# Table 3; stacks of dilations 1 .. 2^n fall short of the paper's round figures by one per
# repetition and tap.
FIELDS = {
    "3.1": (6139, 383.7),
    "3.2": (12277, 767.3),
    "3.3": (49147, 3071.7),
    "3.4": (6139 * 8, 3069.5),
    "3.5": (6139 * 64, 24556.0),
    "3.6": (6139 * 64, 24556.0),
    "3.7": (6139 * 64, 24556.0),
}
PAPER_MS = {"3.1": 384, "3.2": 768, "3.3": 3072, "3.4": 3072} | dict.fromkeys(
    ("3.5", "3.6", "3.7"), 24576
)


@pytest.mark.parametrize("row", TABLE_3)
def test_receptive_fields_of_table_3(row):
    config = TABLE_3[row]()
    samples, milliseconds = FIELDS[row]
    assert config.receptive_field_samples == samples
    assert config.receptive_field_ms == pytest.approx(milliseconds, abs=0.1)
    assert config.receptive_field_ms == pytest.approx(PAPER_MS[row], rel=2e-3)


@pytest.mark.parametrize(("layers", "field"), [(3, 29), (4, 61), (5, 125), (6, 253)])
def test_decoders_on_codes_see_what_table_2_says(layers, field):
    assert code_ada("amae", layers).local.receptive_field == field


def test_blocks_of_appendix_a():
    ada = AdaConfig()
    assert len(ada.local.dilations) == 32
    assert ada.local.receptive_field == pytest.approx(1024, rel=5e-3)
    assert len(ada.encoder.dilations) == len(ada.modulator.dilations) == 16
    # 512 steps to either side, 32 ms of audio
    assert sum(ada.encoder.dilations) == pytest.approx(512, rel=5e-3)
    assert len(large_wavenet().dilations) == 30


def test_alphabets_must_meet():
    lower, upper = table_3_6().levels
    with pytest.raises(ConfigError, match=r"levels\[1\].symbols is 64"):
        StackConfig(levels=(lower, replace(upper, symbols=64)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: QuantiserConfig(kind="fsq"), "quantiser.kind"),
        (lambda: QuantiserConfig(alpha=0.0), "alpha"),
        (lambda: QuantiserConfig(codes=65_537), "2 to 65536"),
        (lambda: AdaConfig(hop=0), "hop"),
        (lambda: AdaConfig(encoder_input="raw"), "encoder_input"),
        (lambda: replace(large_wavenet(), layers=0), "layers"),
        (
            lambda: AdaConfig(
                encoder=WaveNetConfig(
                    repetitions=1, layers=1, filter_size=2, residual=1, inner=1, skip=1
                )
            ),
            "an odd number",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
