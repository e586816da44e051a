"""The ablations' rows: what they change and nothing else, published figures, training, the page."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.audio.io import write_audio
from ritornello.checkpoint import write_json
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Audio
from ritornello.jukebox import tables, train_vqvae
from ritornello.jukebox.experiments import (
    PassingThrough,
    UnquantisedStage,
    open_experiment,
    train_row,
)
from ritornello.jukebox.published import ORDERINGS, PUBLISHED
from ritornello.jukebox.rows import ROWS, find_row
from ritornello.jukebox.scales import SCALES, find_scale, mini, nano, paper, small
from ritornello.jukebox.vqvae_presets import paper as published_vqvae
from ritornello.training.logs import SilentDisplay

RATE = 8000


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch):
    monkeypatch.setattr(train_vqvae, "SCORED_STEPS", 2)
    monkeypatch.setattr(train_vqvae, "HEARD_S", 0.5)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Four works of two seconds: tones that begin and end."""
    folder, time = tmp_path_factory.mktemp("music"), np.arange(2 * RATE) / RATE
    for number in range(4):
        wave = 0.4 * np.sin(2 * np.pi * 220 * (1 + number / 5) * time) * np.exp(-3 * (time % 0.5))
        audio = Audio(samples=wave[None].astype(np.float32), sample_rate=RATE)
        write_audio(folder / f"{number}.wav", audio)
    return folder


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize("name", SCALES)
def test_every_row_is_a_model_of_one_level(name):
    scale = find_scale(name)
    for row in ROWS.values():
        model = row.model(scale)
        assert len(model.vqvae.levels) == 1
        assert model.vqvae.levels[0].hop_samples == int(row.id.partition("-")[0])
        assert model.vqvae.sample_rate == scale.vqvae.sample_rate
        assert model.training.vqvaes == (scale.training,)
        assert model.training.excerpt == scale.excerpt


@pytest.mark.parametrize("scale", [mini(), paper()])
def test_a_row_changes_what_its_name_says_and_nothing_else(scale):
    for row in ROWS.values():
        plain, changed = ROWS[row.id.partition("-")[0]].vqvae(scale), row.vqvae(scale)
        (level,), (one,) = plain.levels, changed.levels
        book = level.codebook
        if row.id.endswith("-no-restart"):
            assert one.codebook == replace(book, revive_below=0.0)
        elif row.id.endswith("-book"):
            times = {"8-eighth-book": 8, "8-half-book": 2}[row.id]
            assert one.codebook == replace(book, codes=book.codes // times)
        if row.id == "128-no-spectral":
            assert (changed.loss.spectral, changed.loss.log_magnitude) == (0.0, 0.0)
            assert plain.loss.spectral == 1.0
        else:
            assert changed.loss == plain.loss
        assert replace(one, codebook=book) == level


def test_the_published_scale_is_the_published_model():
    assert paper().vqvae == published_vqvae()
    assert find_row("8-eighth-book").vqvae(paper()).levels[0].codebook.codes == 256
    assert (paper().training.batch, paper().excerpt) == (256, 393_216)


def test_mini_is_small_with_less_training():
    few, many = mini(), small()
    assert few.vqvae == many.vqvae
    assert few.excerpt == many.excerpt
    same = ("steps", "warmup_steps", "ema")
    kept = {name: getattr(many.training, name) for name in same}
    assert replace(few.training, **kept) == many.training
    assert few.training.steps * 40 == many.training.steps
    with pytest.raises(ConfigError, match=r"no scale 'minni'; did you mean 'mini'"):
        find_scale("minni")
    with pytest.raises(ConfigError, match=r"no row '8-norestart'; did you mean '8-no-restart'"):
        find_row("8-norestart")


def test_orderings_are_those_of_the_published_figures():
    for one in ORDERINGS:
        assert {one.lower, one.higher} <= set(ROWS)
        assert one.published_gap == pytest.approx(PUBLISHED[one.higher] - PUBLISHED[one.lower])
        assert one.published_gap >= 0
    named = {row for one in ORDERINGS for row in (one.lower, one.higher)}
    assert named == set(PUBLISHED) == set(ROWS) - {"8-half-book"}


# ------------------------------------------------------------------ training


def test_without_codes_queries_pass_as_they_are_with_their_gradients():
    queries = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = PassingThrough()(queries)
    assert torch.equal(found.vectors.transpose(1, 2), queries)
    assert found.commitment == 0
    assert found.codes.shape == (2, 7)
    found.vectors.square().sum().backward()
    assert torch.equal(queries.grad, 2 * queries.detach())


def test_a_row_is_trained_to_its_end_and_once(music, tmp_path):
    once = open_experiment(tmp_path, "nano", music)
    assert train_row(once, "8-unquantised", 0, SilentDisplay())
    result = once.result("8-unquantised", 0)
    assert list(result["figures"]) == ["convergence_db"]
    assert result["steps"] == nano().training.steps
    assert result["samples_per_step"] == nano().training.batch * nano().excerpt
    assert [step for step, _ in result["curve"]["held_out"]] == [0, 6]
    before = once.result_file("8-unquantised", 0).stat().st_mtime_ns
    assert train_row(once, "8-unquantised", 0, SilentDisplay())
    assert once.result_file("8-unquantised", 0).stat().st_mtime_ns == before


def test_a_level_without_codes_has_the_same_networks(music, tmp_path):
    corpus = open_experiment(tmp_path, "nano", music).corpus()
    stage = UnquantisedStage(find_row("8-unquantised").model(nano()), 0, corpus)
    built = stage.build(torch.Generator().manual_seed(0))
    assert not dict(built["vqvae"].quantiser.named_buffers())
    coded = train_vqvae.VqVaeStage(find_row("8").model(nano()), 0, corpus)
    beside = coded.build(torch.Generator().manual_seed(0))
    ours, theirs = (dict(one["vqvae"].named_parameters()) for one in (built, beside))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_folder_of_other_sizes_is_refused(music, tmp_path, monkeypatch):
    begun = open_experiment(tmp_path, "nano", music)
    assert open_experiment(tmp_path, None, None) == begun
    longer = replace(begun.scale, training=replace(begun.scale.training, steps=7))
    monkeypatch.setitem(SCALES, "nano", lambda: longer)
    with pytest.raises(ConfigError, match="at a scale nano with training"):
        open_experiment(tmp_path, None, None)


# ------------------------------------------------------------------ the page


def test_the_page_prints_ours_beside_the_papers(music, tmp_path):
    experiment = open_experiment(tmp_path, "nano", music)
    with pytest.raises(DataError, match="no row is finished"):
        tables.table(experiment)
    rows = tmp_path / "rows"
    rows.mkdir()
    for row, seed, decibels in (("8", 0, -14.0), ("8", 1, -15.0), ("32", 0, -8.0), ("32", 1, -7.5)):
        figures = {"convergence_db": decibels, "perplexity": 20.0, "codes_used": 0.75}
        told = {"row": row, "seed": seed, "figures": figures, "steps": 6, "seconds": 1.0}
        more = {"samples_per_step": 2048, "parameters": 10}
        write_json(experiment.result_file(row, seed), told | more)
    told = tables.table(experiment)
    page = tables.markdown(told, "a command", "a.png")
    line = "| 8 | hop 8 | 32 | 2 | 6 x 2,048 | -14.50 ± 0.50 | -23.0 | 20.0 ± 0.0 | 75% |"
    assert line in page
    assert "| 128 | hop 128 | 32 | 0 | - | - | -8.3 | - | - |" in page
    assert "| 8-half-book | hop 8, half the codes | 16 | 0 | - | - | - | - | - |" in page
    found = {one["lower"] + "<" + one["higher"]: one["verdict"] for one in told["orderings"]}
    assert found.pop("8<32") == "holds"
    assert set(found.values()) == {"not trained yet"}
    assert "    a command" in page
    picture = tables.save_picture(told, tmp_path / "a.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
