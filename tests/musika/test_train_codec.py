"""The codec's stages: what each trains and leaves alone, and that it learns."""

import pytest
import torch

from ritornello.checkpoint import read_tensors
from ritornello.data.corpus import Corpus
from ritornello.musika import train
from ritornello.musika.presets import nano
from ritornello.musika.recordings import AudioBlocks
from ritornello.musika.train_codec import (
    GAIN_DB,
    Level1Stage,
    Level2Stage,
    SharpenStage,
    inner_frames,
    stage_optim,
)
from ritornello.training.distributed import World
from ritornello.training.seeds import seeded_generator
from ritornello.training.step import new_state, take_step

CONFIG = nano()


@pytest.fixture(scope="module")
def stages(trained):
    """The codec stages on the trained run's caches and model."""
    corpus = Corpus.load(trained.run.cache / "manifest.jsonl")
    chain = train.chain(trained.options, CONFIG, corpus, trained.run, None)
    stages = {stage.name: stage for stage in chain}
    for name in ("level1", "level2", "sharpen"):
        stages[name].prepare()
    return stages


def fresh(stage, precision="fp32", total_steps=100):
    return new_state(stage, 0, total_steps=total_steps, precision=precision, world=World())


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def is_changed(module, before):
    now = module.state_dict()
    return any(not torch.equal(now[name], tensor) for name, tensor in before.items())


def test_the_chain_goes_from_the_bottom_up(stages):
    assert list(stages) == ["level1", "level2", "sharpen", "gan"]


@pytest.mark.parametrize("name", ["level1", "level2", "sharpen"])
def test_batches_are_drawn_from_the_generator_alone(stages, name):
    stage = stages[name]
    first, again, other = (stage.batch(seeded_generator(seed, "x")) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == stage.example(seeded_generator(0, "x")).shape
    channels = 1 if name == "level1" else 2
    settings = getattr(CONFIG.training, name)
    assert first.shape == (settings.batch, channels, (settings.crop_frames + 4) * 256)
    spectrum = stage.crops.spectrum(first)
    assert spectrum.shape == (settings.batch * channels, 513, settings.crop_frames)


def test_gains_vary_within_their_range(stages, monkeypatch):
    crops = stages["level2"].crops
    monkeypatch.setattr(crops.blocks, "draw", lambda *_: torch.ones(64, 2, 8))
    gains_db = 20 * crops.batch(seeded_generator(0, "x"))[:, 0, 0].log10()
    assert GAIN_DB[0] <= gains_db.min() < -6
    assert 4 < gains_db.max() <= GAIN_DB[1]


def test_spectra_of_crops_do_not_see_their_ends(stages):
    crops = stages["level1"].crops
    wave = stages["level1"].batch(seeded_generator(0, "x"))
    longer = torch.nn.functional.pad(wave, (1024, 1024), value=0.5)  # four blocks on both sides
    whole = crops.spectrum(longer)[..., 4:-4]
    torch.testing.assert_close(whole, crops.spectrum(wave), atol=1e-4, rtol=0)


def test_level1_learns_a_batch_by_heart(stages):
    stage = stages["level1"]
    state = fresh(stage, total_steps=200)
    batch = stage.batch(seeded_generator(0, "x"))
    found = []
    for step in range(60):
        losses = stage.train_step(state, batch, seeded_generator(step, "y"))
        state.step += 1
        found.append({name: float(value) for name, value in losses.items()})
    assert found[-1]["magnitude"] < 0.6 * found[0]["magnitude"]
    assert found[-1]["phase_advance"] < 0.9 * found[0]["phase_advance"]
    assert found[-1].keys() == {"magnitude", "phase_advance", "phase_slope", "norm"}


def test_level2_learns_through_level1_and_leaves_it_alone(stages):
    stage = stages["level2"]
    before = weights(stage.codec.level1)
    state = fresh(stage)
    first = take_step(stage, state, 0, stage.batch)
    for _ in range(9):
        last = take_step(stage, state, 0, stage.batch)
    assert last["latent"] < first["latent"]
    assert last.keys() == {"magnitude", "latent", "norm"}
    assert not is_changed(stage.codec.level1, before)
    assert all(p.grad is None for p in stage.codec.level1.parameters())


def test_sharpening_trains_decoders_and_discriminator_and_no_encoder(stages):
    stage = stages["sharpen"]
    state = fresh(stage)
    parts = {name: weights(module) for name, module in state.modules.items()}
    assert parts.keys() == {"decoder1", "decoder2", "discriminator"}
    codec = {
        name: weights(level)
        for name, level in (("level1", stage.codec.level1), ("level2", stage.codec.level2))
    }
    losses = take_step(stage, state, 0, stage.batch)
    assert {"magnitude", "adversarial", "features", "discriminator", "norm"} <= losses.keys()
    assert all(is_changed(state.modules[name], before) for name, before in parts.items())
    assert not is_changed(stage.codec.level1, codec["level1"])
    assert not is_changed(stage.codec.level2, codec["level2"])


def test_sharpening_begins_from_the_trained_decoders(stages, trained):
    stage = stages["sharpen"]
    tensors = read_tensors(trained.model / "level1" / "model.safetensors")
    built = stage.build(seeded_generator(0, "x"))["decoder1"]
    for name, tensor in built.state_dict().items():
        assert torch.equal(tensor, tensors[f"decoder.{name}"].float())


@pytest.mark.parametrize("name", ["level1", "level2", "sharpen"])
def test_stages_train_in_bfloat16(stages, name):
    stage = stages[name]
    losses = take_step(stage, fresh(stage, "bf16"), 0, stage.batch)
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    assert 0 < losses["magnitude"] < 1


@pytest.mark.parametrize("name", ["level1", "level2", "sharpen"])
def test_figures_are_of_the_averaged_weights(stages, name):
    stage = stages[name]
    state = fresh(stage)
    with torch.no_grad():
        before = stage.evaluate(state)
        for module in state.modules.values():
            for parameter in module.parameters():
                parameter.zero_()
        assert stage.evaluate(state) == before
        for module in state.averaged.values():
            for parameter in module.parameters():
                parameter.zero_()
        assert stage.evaluate(state) != before
    assert before["audible_error_db"] > 0


@pytest.mark.parametrize("crop_frames", [8, 16, 64, 128])
def test_inner_frames_leave_something(crop_frames):
    stage = CONFIG.training.level1.__class__(
        share=1, batch=1, crop_frames=crop_frames, learning_rate=1e-3
    )
    frames = list(range(crop_frames))[inner_frames(stage)]
    edge = min(8, crop_frames // 8)
    assert frames == list(range(edge, crop_frames - edge))


def test_one_optimiser_per_player():
    optim = stage_optim(CONFIG.training.sharpen, "discriminator", averaged=False)
    assert optim.ema_decay is None
    assert optim.modules == ("discriminator",)
    assert optim.lr == CONFIG.training.sharpen.learning_rate


def test_stages_have_the_shares_of_the_config(tmp_path):
    blocks = AudioBlocks(Corpus([]), CONFIG, tmp_path)
    shares = [
        Level1Stage(CONFIG, blocks).share,
        Level2Stage(CONFIG, blocks, tmp_path).share,
        SharpenStage(CONFIG, blocks, tmp_path).share,
    ]
    assert shares == [0.3, 0.3, 0.1]
