"""The GAN's stage: what its batches hold, who learns when, and music without controls."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.data.corpus import Corpus
from ritornello.musika import train, train_gan
from ritornello.musika.controls import ControlScale, fit_scale
from ritornello.musika.presets import nano
from ritornello.musika.train_gan import UNFITTED, GanStage, fitted_scales
from ritornello.training.distributed import World
from ritornello.training.seeds import seeded_generator
from ritornello.training.step import new_state, take_step

CONFIG = nano()


def make(trained, start=None):
    corpus = Corpus.load(trained.run.cache / "manifest.jsonl")
    blocks = train.chain(trained.options, CONFIG, corpus, trained.run, None)[0].crops.blocks
    stage = GanStage(CONFIG, blocks, trained.model, trained.run.cache, start)
    stage.prepare()
    return stage


@pytest.fixture(scope="module")
def stage(trained):
    return make(trained)


def fresh(stage, precision="fp32", total_steps=1000):
    return new_state(stage, 0, total_steps=total_steps, precision=precision, world=World())


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def is_changed(module, before):
    now = module.state_dict()
    return any(not torch.equal(now[name], tensor) for name, tensor in before.items())


def test_batches_are_windows_with_conditions(stage):
    latents, conditions = stage.batch(seeded_generator(0, "x"))
    assert latents.shape == (8, CONFIG.latent_dim, 32)
    assert conditions.shape == (8, 4, 32)
    assert 0 <= conditions.min() <= conditions.max() <= 1
    assert torch.equal(stage.batch(seeded_generator(0, "x"))[0], latents)
    assert [t.shape for t in stage.example(seeded_generator(0, "x"))] == [
        latents.shape,
        conditions.shape,
    ]


def test_some_conditions_are_hidden(stage):
    present = torch.cat([stage.batch(seeded_generator(n, "x"))[1][:, 1::2, 0] for n in range(30)])
    hidden = 1 - float(present.mean())
    expected = 1 - (1 - CONFIG.gan.condition_dropout) ** 2
    assert hidden == pytest.approx(expected, abs=0.1)


def test_scales_are_the_percentiles_of_the_training_music(stage):
    assert list(stage.scales) == ["density", "loudness"]
    assert stage.scales["loudness"].low < stage.scales["loudness"].high < 0


def test_a_step_teaches_both_players(stage):
    state = fresh(stage)
    before = {name: weights(module) for name, module in state.modules.items()}
    losses = take_step(stage, state, 0, stage.batch)
    players = {"critic", "adversarial", "certainty", "penalty_scale", "penalty"}
    assert losses.keys() == players | {"listener", "disobedience"}
    assert all(is_changed(state.modules[name], old) for name, old in before.items())
    assert losses["penalty"] > 0


def test_the_penalty_is_lazy_and_keeps_its_last_value(stage):
    state = fresh(stage)
    penalties = [take_step(stage, state, 0, stage.batch)["penalty"] for _ in range(6)]
    assert CONFIG.gan.penalty_every == 4
    assert len(set(penalties[:4])) == 1
    assert penalties[4] != penalties[3]
    assert penalties[5] == penalties[4]


def test_the_penalty_scale_moves_with_certainty(stage):
    state = fresh(stage)
    scales = [take_step(stage, state, 0, stage.batch)["penalty_scale"] for _ in range(2)]
    assert scales == pytest.approx([1 - 1e-3, 1 - 2e-3])
    assert float(state.extra["penalty_scale"]) == scales[-1]


def test_steps_are_trained_in_bfloat16(stage):
    losses = take_step(stage, fresh(stage, "bf16"), 0, stage.batch)
    assert all(np.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("swapped", [False, True])
def test_the_critic_learns_to_tell_noise_from_music(stage, swapped):
    # Both ways round: a critic that prefers one by chance cannot pass.
    state = fresh(stage, total_steps=100)
    draw = seeded_generator(0, "noise")
    certain = 0.0
    for step in range(40):
        music, conditions = stage.batch(seeded_generator(step, "x"))
        pair = [music, torch.randn(music.shape, generator=draw)]
        real, fake = reversed(pair) if swapped else pair
        certain = float(stage._teach_critic(state, real, fake, conditions)["certainty"])
        state.step += 1
    assert certain > 0.5


def test_a_trained_generator_waits_for_its_critic(trained, monkeypatch):
    monkeypatch.setattr(train_gan, "CRITIC_LEAD_STEPS", 2)
    stage = make(trained, start=trained.model)
    state = fresh(stage)
    before = {name: weights(module) for name, module in state.modules.items()}
    for _ in range(2):
        assert "adversarial" not in take_step(stage, state, 0, stage.batch)
    assert not is_changed(state.modules["generator"], before["generator"])
    assert is_changed(state.modules["critic"], before["critic"])
    assert "adversarial" in take_step(stage, state, 0, stage.batch)
    assert is_changed(state.modules["generator"], before["generator"])


def test_figures_say_how_far_generated_windows_are(stage, monkeypatch):
    monkeypatch.setattr(train_gan, "EVALUATED", 24)
    state = fresh(stage)
    with torch.no_grad():
        figures = stage.evaluate(state)
        assert figures == stage.evaluate(state)
    assert figures["frechet"] > figures["frechet_null"] >= 0
    assert figures["variety"] > 0
    assert all(f"follows_{name}{who}" in figures for name in stage.scales for who in ("", "_null"))


def test_without_a_weight_nobody_listens(stage, monkeypatch):
    monkeypatch.setattr(stage, "gan", replace(CONFIG.gan, control_weight=0.0))
    state = fresh(stage)
    assert "listener" not in state.modules
    assert "disobedience" not in take_step(stage, state, 0, stage.batch)


def test_samples_are_three_seeds_and_the_real_thing(stage, monkeypatch):
    monkeypatch.setattr(train_gan, "HEARD_S", 0.8)
    with torch.no_grad():
        sounds = stage.samples(fresh(stage))
    assert sounds.keys() == {"seed-0", "seed-1", "seed-2", "held-out"}
    assert all(sound.samples.shape[0] == 2 for sound in sounds.values())
    assert not np.array_equal(sounds["seed-0"].samples, sounds["seed-1"].samples)


def test_music_without_a_control_keeps_it_harmless(caplog):
    curve = np.linspace(1, 5, 200, dtype=np.float32)
    raw = np.stack([np.full(200, np.nan, np.float32), np.full(200, 3, np.float32), curve])
    scales = fitted_scales(("tempo", "density", "loudness"), raw)
    assert scales["tempo"] == scales["density"] == UNFITTED
    assert scales["loudness"] == fit_scale("loudness", [curve])
    assert isinstance(scales["loudness"], ControlScale)
    assert "'tempo' cannot be measured" in caplog.text
    assert "'density' is always 3" in caplog.text
