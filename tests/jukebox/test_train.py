"""`train jukebox` from a folder of audio to a model: whole, stopped, resumed, adapted."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from ritornello.checkpoint import find_model, saved_config, verify
from ritornello.config import with_overrides
from ritornello.data.corpus import Corpus
from ritornello.errors import ConfigError, DataError
from ritornello.jukebox.codec import load_vqvae
from ritornello.jukebox.components import load_prior, load_upsampler
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.labels import UNKNOWN_ID
from ritornello.jukebox.presets import PRESETS, nano
from ritornello.jukebox.prior_config import LyricsConfig, merged_order
from ritornello.jukebox.prior_presets import small_transformer
from ritornello.jukebox.recordings import CodeCorpus, KnownMusic
from ritornello.jukebox.train import (
    needed_by,
    resolved_config,
    run_training,
    warn_of_nothing_learnt,
    with_names,
)
from ritornello.jukebox.train_codes import PriorStage, UpsamplerStage
from ritornello.jukebox.train_vqvae import VqVaeStage, mixed
from ritornello.training.distributed import World
from ritornello.training.step import new_state
from tests.jukebox.conftest import STEPS, run_briefly, write_songs
from tests.training.brief_runs import model_files, newest_state


def music_of(trained, config=None):
    corpus = Corpus.load(trained.run.cache / "manifest.jsonl")
    config = config or saved_config(trained.model, "jukebox", JukeboxConfig)
    return CodeCorpus(corpus, config, trained.model, trained.run.cache)


def figures_of_untrained(stage):
    """What a stage's evaluation says of networks as they are drawn."""
    stage.prepare()
    state = new_state(stage, 0, total_steps=1, precision="fp32", world=World())
    return stage.evaluate(state)


def test_the_chain_ends_with_all_networks(trained):
    assert trained.result["finished"]
    assert trained.result["stage"] == "upsampler0"
    assert json.loads(json.dumps(trained.result)) == trained.result
    model = find_model(trained.options.run)
    verify(model)
    config = saved_config(model, "jukebox", JukeboxConfig)
    assert config.artists == ("unknown", "bach", "chopin")
    assert config.genres == ("unknown", "slow", "waltz")
    assert replace(config, artists=("unknown",), genres=("unknown",)) == nano()
    load_prior(model, config)
    load_upsampler(model, 0, config)


def test_figures_are_of_what_was_learnt(trained):
    figures = trained.result["figures"]
    assert list(figures) == list(STEPS)
    for level in (0, 1):
        untrained = figures_of_untrained(VqVaeStage(nano(), level, music_of(trained).corpus))
        found = figures[f"vqvae{level}"]["convergence_db"]
        assert found < untrained["convergence_db"] - 2
    music = music_of(trained)
    for stage in (PriorStage(music.config, music), UpsamplerStage(music.config, 0, music)):
        untrained = figures_of_untrained(stage)
        assert figures[stage.name]["bits"] < untrained["bits"] - 0.2
    for level in ("vqvae0", "vqvae1"):
        assert 1 <= figures[level]["perplexity"] <= 32
        assert 0 < figures[level]["codes_used"] <= 1
    for stage in ("prior", "upsampler0"):
        assert 0 < figures[stage]["unigram_bits"] <= 5.001 + 1
        assert 0 < figures[stage]["bits"] < 8


def test_stages_that_learnt_nothing_are_named(caplog):
    learnt = {"bits": 3.0, "unigram_bits": 4.0}
    warn_of_nothing_learnt({"prior": learnt, "vqvae0": {"perplexity": 9.0}, "other": {"bits": 1}})
    assert not caplog.messages
    warn_of_nothing_learnt({"prior": learnt | {"bits": 4.7}, "vqvae1": {"perplexity": 1.0}})
    assert "prior needs 4.70 bits per code, and their frequencies alone 4.00" in caplog.text
    assert "vqvae1 uses hardly more than one code" in caplog.text


def test_the_card_tells_the_model_and_the_music(trained):
    text = (trained.model / "README.md").read_text()
    assert "2 autoencoders of 32 codes with hops of 8, 32 samples" in text
    assert "It knows 2 names: bach, chopin" in text
    assert "3 recordings, 9s" in text


def test_cached_codes_are_what_a_level_gives_and_nest(trained):
    music = music_of(trained)
    for level in (0, 1):
        music.fill(level)
    assert music.frame_rate_hz == 250
    assert [music.ratio(level) for level in (0, 1)] == [4, 1]
    places = music.locate(torch.Generator().manual_seed(1), 20, 3, "train")
    lower, top = music.gather(places, 20, 0), music.gather(places, 20, 1)
    assert lower.shape == (3, 80)
    assert top.shape == (3, 20)
    recording = music.corpus.recordings[places.recordings[0]]
    wave = torch.from_numpy(recording.read(sample_rate=8000, channels=1).samples[None])
    first = 32 * int(places.starts[0])
    for level, codes, hop in ((0, lower, 8), (1, top, 32)):
        vqvae = load_vqvae(trained.model, level)
        found = vqvae.encode(wave[..., : wave.shape[2] // 32 * 32])[0, first // hop :]
        # On some processors cached codes come from bfloat16: near ties may fall otherwise.
        assert (found[: codes.shape[1]] == codes[0]).float().mean() > 0.9


def test_conditions_are_those_of_the_recording_and_the_place(trained):
    config = saved_config(trained.model, "jukebox", JukeboxConfig)
    music = music_of(trained)
    music.fill(1)
    places = music.locate(torch.Generator().manual_seed(2), 10, 8, "train")
    told = KnownMusic(music.corpus, config).conditions(places, music.frame_rate_hz)
    for row, (index, start) in enumerate(zip(places.recordings, places.starts, strict=True)):
        composer = music.corpus.recordings[index].labels["composer"]
        assert config.artists[told.artist[row]] == composer.casefold()
        assert told.start_s[row] == pytest.approx(start / 250)
    assert (told.total_s == 3).all()
    assert (told.genres[:, :2] > UNKNOWN_ID).all()
    assert told.lyrics is None


def test_an_upsampler_gets_the_codes_above_its_own(trained):
    config = saved_config(trained.model, "jukebox", JukeboxConfig)
    music = music_of(trained)
    stage = UpsamplerStage(config, 0, music)
    stage.prepare()
    drawn = stage.batch(torch.Generator().manual_seed(3))
    places = music.locate(torch.Generator().manual_seed(3), stage.frames, 2, "train")
    assert torch.equal(drawn.above, music.gather(places, stage.frames, 1)[:, : 24 // 4])
    assert torch.equal(drawn.codes, music.gather(places, stage.frames, 0)[:, :24])
    example = stage.example(torch.Generator().manual_seed(0))
    assert example.codes.shape == drawn.codes.shape
    assert example.above.shape == drawn.above.shape


def test_stereo_is_mixed_by_weights_that_add_up_to_one():
    stereo = torch.tensor([[[1.0, 1.0], [-1.0, 1.0]]]).repeat(64, 1, 1)
    mono = mixed(stereo, torch.Generator().manual_seed(0))
    assert mono.shape == (64, 1, 2)
    assert (mono[..., 1] == 1).all()
    assert mono[..., 0].min() < -0.5
    assert mono[..., 0].max() > 0.5


def test_a_singing_model_is_told_the_words_around_its_place(trained):
    """Nothing is trained: the batch of a prior with lyrics is drawn from the same codes."""
    config = saved_config(trained.model, "jukebox", JukeboxConfig)
    transformer = small_transformer(16, merged_order(6, every=2), 2, 6, 6)
    lyrics = LyricsConfig(symbols=257, tokens=12)
    sings = replace(config, prior=replace(config.prior, transformer=transformer, lyrics=lyrics))
    stage = PriorStage(sings, music_of(trained, sings))
    stage.prepare()
    drawn = stage.batch(torch.Generator().manual_seed(4))
    spelt = bytes(token - 1 for token in drawn.conditions.lyrics[0].tolist() if token)
    assert b"La la" in spelt
    with torch.no_grad():
        losses = stage.losses(stage.build(torch.Generator())["prior"], drawn)
    assert set(losses) == {"loss", "bits", "lyric_bits"}


def test_music_without_words_cannot_teach_singing(trained):
    config = replace(
        nano(),
        prior=replace(
            nano().prior,
            transformer=small_transformer(16, merged_order(6, every=2), 2, 6, 6),
            lyrics=LyricsConfig(symbols=257, tokens=12),
        ),
    )
    corpus = Corpus.load(trained.run.cache / "manifest.jsonl")
    wordless = Corpus([replace(one, lyrics=None) for one in corpus.recordings])
    with pytest.raises(DataError, match="none of 3 recordings has lyrics"):
        KnownMusic(wordless, config)


@pytest.mark.slow
def test_stopped_in_every_stage_and_resumed_equals_unbroken(trained, tmp_path):
    options = replace(trained.options, run=tmp_path / "broken")
    for stage in STEPS:
        result = run_briefly(options, stop_in=stage, at=3)
        assert not result["finished"]
        assert (result["stage"], result["step"]) == (stage, 3)
    finished = run_briefly(options)
    assert finished["figures"] == trained.result["figures"]
    assert model_files(tmp_path / "broken" / "model") == model_files(trained.model)
    broken = replace(trained, options=options).run
    for stage in STEPS:
        mine, whole = newest_state(broken, stage), newest_state(trained.run, stage)
        assert all(torch.equal(tensor, whole[name]) for name, tensor in mine.items())


@pytest.mark.slow
def test_autoencoders_are_taken_over_and_codes_keep_their_meaning(trained, tmp_path):
    before = model_files(trained.model)
    for given in ({"from_codec": str(trained.model)}, {"from_model": str(trained.model)}):
        preset = None if "from_model" in given else "nano"
        run = tmp_path / next(iter(given))
        result = run_briefly(replace(trained.options, run=run, preset=preset, **given))
        assert list(result["figures"]) == ["prior", "upsampler0"]
        after = model_files(run / "model")
        for level in ("vqvae0", "vqvae1"):
            name = f"{level}/model.safetensors"
            assert after[name] == before[name]
        # From the same codes with the same seed a fresh prior becomes the same again.
        name = "prior/model.safetensors"
        assert (after[name] == before[name]) == ("from_codec" in given)


def test_what_does_not_fit_is_refused(trained, tmp_path):
    base = replace(trained.options, run=tmp_path / "refused", preset=None)
    model = str(trained.model)
    with pytest.raises(ConfigError, match="jukebox has no preset 'release'"):
        run_training(replace(base, preset="release"))
    with pytest.raises(ConfigError, match=r"vqvae.levels is"):
        run_training(
            replace(base, from_model=model, overrides=("vqvae.levels.1.width=20",)),
        )
    with pytest.raises(ConfigError, match="trains its own vqvae0"):
        run_training(replace(trained.options, preset="nano", from_codec=model))
    with pytest.raises(ConfigError, match="train vqvae1 first"):
        run_training(replace(base, preset="nano", stage="prior"))
    short = write_songs(tmp_path / "short", ("a", "b"), seconds=0.05)
    with pytest.raises(DataError, match="context of the prior"):
        run_training(replace(base, preset="nano", data=(short,)))


def test_names_are_kept_and_new_ones_get_the_rows_that_are_free(trained, caplog):
    corpus = music_of(trained).corpus
    known = replace(nano(), artists=("unknown", "dvorak"))
    assert with_names(known, corpus).artists == ("unknown", "dvorak", "bach", "chopin")
    assert not caplog.messages
    labels = replace(known.prior.labels, artists=3)
    full = replace(known, prior=replace(known.prior, labels=labels))
    assert with_names(full, corpus).artists == ("unknown", "dvorak", "bach")
    assert "trained as unknown: chopin" in caplog.text


def test_stages_need_the_levels_they_are_made_from():
    config = PRESETS["small"]()
    assert needed_by("prior", config) == ["vqvae2"]
    assert needed_by("upsampler1", config) == ["vqvae1", "vqvae2"]
    assert needed_by("vqvae0", config) == []
    assert needed_by(None, config) == []


def test_settings_count_levels_from_one_and_say_so():
    config = with_overrides(PRESETS["small"](), ["vqvae.levels.1.networks=plain"])
    assert [level.networks for level in config.vqvae.levels] == ["plain", "patched", "patched"]
    for section in ("vqvae.levels", "training.upsamplers"):
        with pytest.raises(ConfigError, match=rf"counted from 0 is {section}\.1 here"):
            with_overrides(config, [f"{section}.0.width=20"])


@pytest.mark.parametrize(
    ("alphabet", "symbols"), [("bytes", 257), ("characters", 80), ("characters_1b", 79)]
)
def test_the_table_of_lyrics_has_a_row_for_every_token(alphabet, symbols):
    songs, set_symbols = PRESETS["songs"](), "prior.lyrics.symbols={}".format
    asked = [f"alphabet={alphabet}", set_symbols(symbols)]
    lyrics = with_overrides(songs, asked).prior.lyrics
    assert lyrics is not None
    assert lyrics.symbols == symbols
    with pytest.raises(ConfigError, match=f"lyrics.symbols is {symbols - 1}; .* {symbols}, as"):
        with_overrides(songs, [*asked, set_symbols(symbols - 1)])


@pytest.mark.parametrize("name", list(PRESETS))
def test_hops_nest_and_parts_fit_in_every_preset(name):
    config = PRESETS[name]()
    for below, above in pairwise(config.vqvae.levels):
        assert above.hop_samples % below.hop_samples == 0
    assert len(config.upsamplers) + 1 == len(config.vqvae.levels)


def test_a_run_keeps_its_names_and_settings(trained):
    known = trained.run.settings()
    resumed = resolved_config(replace(trained.options, preset=None), known, None)
    assert resumed.artists == ("unknown", "bach", "chopin")
    assert np.isclose(resumed.prior.frame_rate_hz, 250)
