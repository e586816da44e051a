"""The stage: one batch is learnt by heart, discriminators join, figures are of held-out music."""

from dataclasses import replace

import pytest
import torch

from ritornello.checkpoint import write_checksums
from ritornello.config import with_overrides
from ritornello.encodec.codec import load_codec
from ritornello.encodec.presets import nano
from ritornello.encodec.train_codec import EncodecStage
from ritornello.encodec.train_decoder import DecoderStage
from ritornello.errors import CheckpointError, ConfigError, DataError
from ritornello.training.distributed import World
from ritornello.training.step import new_state
from tests.encodec.codecs import noise


class Tones:
    """Excerpts of steady tones; `silent` of them are not heard."""

    def __init__(self, silent=0):
        self.silent = silent

    def draw(self, draw, count):
        time = torch.arange(800) / 1600
        hz = 60 + 400 * torch.rand(count, 1, 1, generator=draw)
        waves = 0.4 * torch.sin(2 * torch.pi * hz * time)
        waves[: self.silent] = 0
        return waves


def stage(*overrides, start=None, held_out=None):
    config = with_overrides(nano(), overrides)
    held_out = held_out or Tones()
    return EncodecStage(config.codec, config.training, Tones(), held_out, start=start)


def begun(one, steps):
    one.prepare()
    return new_state(one, 0, total_steps=steps, precision="fp32", world=World())


def take(one, state, batch, draw):
    losses = one.train_step(state, batch, draw)
    state.step += 1
    return {name: float(loss) for name, loss in losses.items()}


@pytest.mark.slow
def test_one_batch_is_learnt_by_heart():
    one = stage(
        "training.weights.adversarial_from=1",
        "training.learning_rate=0.005",
        "training.partial=0",
        "codec.steady_codebooks=0",  # samples are learnt by heart, phase and all
    )
    state, draw = begun(one, 80), torch.Generator().manual_seed(0)
    batch = one.batch(draw)
    told = [take(one, state, batch, draw) for _ in range(80)]
    assert told[-1]["time"] < 0.7 * told[0]["time"]
    assert told[-1]["magnitude"] < 0.6 * told[0]["magnitude"]


def test_discriminators_join_when_they_are_due_and_change_nothing_before():
    one = stage("training.weights.adversarial_from=0.5")
    state, draw = begun(one, 4), torch.Generator().manual_seed(0)
    batch = one.batch(draw)
    judges = state.modules["discriminators"].state_dict()
    before = {name: value.clone() for name, value in judges.items()}
    for step in range(4):
        told = take(one, state, batch, draw)
        assert ("adversarial" in told) == ("discriminators" in told) == (step >= 2)
        changed = any(not torch.equal(value, before[name]) for name, value in judges.items())
        assert changed == (step >= 2)


def test_the_codec_hears_of_the_discriminators():
    """With weight on them alone its gradient is theirs."""
    silent = ("time", "magnitude", "frequency", "commitment", "features")
    one = stage("training.weights.adversarial_from=0", *(f"training.weights.{n}=0" for n in silent))
    state, draw = begun(one, 2), torch.Generator().manual_seed(0)
    take(one, state, one.batch(draw), draw)  # places the codebooks; all was silent before
    assert take(one, state, one.batch(draw), draw)["norm"] > 0
    without = stage("training.discriminator_width=0", *(f"training.weights.{n}=0" for n in silent))
    state = begun(without, 2)
    assert "discriminators" not in state.modules
    take(without, state, without.batch(draw), draw)
    assert take(without, state, without.batch(draw), draw)["norm"] == 0


def test_silence_is_not_judged():
    one = stage(held_out=Tones(silent=10))
    one.prepare()
    assert len(one.scored) == 38
    with pytest.raises(DataError, match="all 48 held-out excerpts are silent"):
        stage(held_out=Tones(silent=48)).prepare()


def test_excerpts_are_whole_frames():
    one = stage("training.excerpt_s=0.49")
    assert one.batch(torch.Generator().manual_seed(0)).shape == (2, 1, 800)
    assert one.example(torch.Generator().manual_seed(0)).shape == (2, 1, 768)


def test_figures_of_every_level_and_what_is_heard(tmp_path):
    one = stage()
    state, draw = begun(one, 6), torch.Generator().manual_seed(0)
    for _ in range(6):
        take(one, state, one.batch(draw), draw)
    figures = one.evaluate(state)
    levels = [f"{name}{level}" for level in (0, 1) for name in ("perplexity", "codes_used")]
    assert list(figures) == ["convergence_db", "frequency", *levels]
    for level in (0, 1):
        assert 1 < figures[f"perplexity{level}"] <= 16
        assert 0 < figures[f"codes_used{level}"] <= 1
    heard = one.samples(state)
    assert heard["real"].samples.shape == heard["decoded"].samples.shape == (1, 3 * 800)
    one.export(state, tmp_path)
    write_checksums(tmp_path)
    again = stage(start=tmp_path).build(torch.Generator().manual_seed(5))["encodec"]
    loaded = load_codec(tmp_path, nano().codec).network
    wave = noise(320)
    torch.testing.assert_close(again(wave)[0], loaded(wave)[0])


@pytest.mark.parametrize("setting", ["batch=0", "excerpt_s=0", "discriminator_width=-1"])
def test_what_cannot_be_trained_is_refused(setting):
    with pytest.raises(ConfigError, match=setting.split("=")[0]):
        with_overrides(replace(nano()), [f"training.{setting}"])


def test_a_decoder_is_trained_on_and_codes_stay(tmp_path):
    first = stage()
    first.export(begun(first, 1), tmp_path)
    write_checksums(tmp_path)
    config = nano()
    one = DecoderStage(config.codec, config.training, Tones(), Tones(), start=tmp_path)
    state, draw = begun(one, 4), torch.Generator().manual_seed(0)
    before = {name: value.clone() for name, value in state.modules["encodec"].state_dict().items()}
    for _ in range(4):
        take(one, state, one.batch(draw), draw)
    after = state.modules["encodec"].state_dict()
    changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"decoder", "widen"}


def test_without_a_codec_there_is_no_decoder_to_train_on():
    config = nano()
    with pytest.raises(CheckpointError, match="--from"):
        begun(DecoderStage(config.codec, config.training, Tones(), Tones()), 1)
