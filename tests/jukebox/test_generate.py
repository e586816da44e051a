"""Pieces of small models: a stream is the piece, what is told is heard, takes are gone on with."""

from dataclasses import replace
from itertools import combinations, islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ritornello.errors import AudioError, CapabilityError, CheckpointError, ConfigError
from ritornello.interfaces import Request, Section
from ritornello.jukebox import stepping
from ritornello.jukebox.conditions import NOTHING
from ritornello.jukebox.generate import Jukebox, Options
from ritornello.jukebox.saved import read_take
from ritornello.jukebox.song import Form, song_of, with_and_without_labels
from ritornello.jukebox.windows import Tape, Window
from tests.jukebox.players import (
    RATE,
    drawn_jukebox,
    joined,
    returning_config,
    singing_config,
    tiny_config,
    tone,
)

SECONDS = 0.1
TOP = Options(level=1)
"""A sketch: codes of the top level only."""


@pytest.fixture(scope="module")
def model():
    return drawn_jukebox()


@pytest.fixture(scope="module")
def three():
    return drawn_jukebox(levels=3)


@pytest.fixture(scope="module")
def singer():
    return drawn_jukebox(singing_config())


@pytest.fixture(scope="module")
def returning():
    return drawn_jukebox(returning_config())


def sound(model, request=None, options=None, **asked):
    return model.generate(request or Request(**{"seconds": SECONDS, **asked}), options).samples


def top_codes(model, options=TOP, **asked):
    piece = model.piece(Request(**{"seconds": SECONDS, **asked}), options)
    return torch.cat(list(model.codes(piece)), 1)


# ------------------------------------------------------------------ pieces


def test_a_piece_has_the_length_asked_for_and_is_its_stream(three):
    piece = three.generate(Request(seconds=SECONDS, seed=3))
    assert (piece.samples.shape, piece.sample_rate) == ((1, 800), RATE)
    assert np.abs(piece.samples).max() <= 1
    assert len(np.unique(piece.samples)) > 300
    blocks = list(three.stream(Request(seconds=SECONDS, seed=3)))
    assert len(blocks) > 5
    assert np.array_equal(joined(blocks), piece.samples)
    assert piece.meta["seed"] == 3


def test_a_piece_is_what_its_codes_decode_to(three):
    request = Request(seconds=SECONDS, seed=3)
    codes = torch.cat(list(three.codes(three.piece(request, Options()))), 1)
    assert codes.shape == (1, 7 * 16)
    whole = three.codec_at(0).decode(codes[:, None])[0, :, :800]
    np.testing.assert_allclose(three.generate(request).samples, whole.numpy(), atol=1e-5)


def test_a_level_is_drawn_from_what_is_above_it(three):
    """The top alone, then one level, then all: each is the same music further down."""
    codes = {}
    for level in (2, 1, 0):
        piece = three.piece(Request(seconds=0.1, seed=2), Options(level=level))
        codes[level] = torch.cat(list(three.codes(piece)), 1)
    assert [codes[level].shape[1] for level in (2, 1, 0)] == [7, 28, 112]
    given = three.piece(Request(seconds=0.1, seed=2), Options(level=1))
    again = list(three.codes(replace(given, top=codes[2])))
    assert torch.equal(torch.cat(again, 1), codes[1])


def test_an_endless_piece_goes_on_and_sounds_at_once(three):
    stream = three.stream(Request(seed=1))
    first = next(stream)
    assert first.samples.shape[1] < 200
    assert sum(block.samples.shape[1] for block in islice(stream, 8)) > 500


def test_the_seed_decides(model):
    first, again, other = (sound(model, options=TOP, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_cold_codes_are_fewer(model):
    cold = Options(level=1, temperatures=(1.0, 0.01))
    assert len(top_codes(model, cold).unique()) < len(top_codes(model).unique())
    with pytest.raises(ConfigError, match="got 1 temperatures; expected 2"):
        model.generate(Request(), Options(temperatures=(1.0,)))
    with pytest.raises(ConfigError, match="expected 0 < temperature"):
        Options(temperatures=(0.0, 1.0))


def test_plain_and_compiled_steps_make_the_same_codes(monkeypatch):
    fast = drawn_jukebox(levels=3)
    made = top_codes(fast, Options(level=1), seed=5)
    monkeypatch.setattr(stepping, "available_paths", tuple)
    plain = drawn_jukebox(levels=3)
    assert plain.stepper(2, "fp32").path == "torch"
    assert torch.equal(top_codes(plain, Options(level=1), seed=5), made)


def test_a_slow_piece_is_announced(model, monkeypatch, caplog):
    monkeypatch.setattr(stepping, "available_paths", tuple)
    plain = Jukebox(model.config, model.vqvaes, model.prior, model.upsamplers)
    plain.stream(Request(seconds=1000.0))
    assert "without the compiled transformer step, 1000 s of music take about" in caplog.text
    caplog.clear()
    plain.stream(Request(seconds=0.1))
    assert not caplog.text


# ------------------------------------------------------------------ what is told


def test_labels_are_heard_and_artist_and_composer_are_one(model):
    plain, bach, artist, fugue = (
        top_codes(model, labels=labels)
        for labels in ({}, {"composer": "Bach"}, {"artist": "bach"}, {"genre": "fugue"})
    )
    assert torch.equal(bach, artist)
    assert not torch.equal(plain, bach)
    assert not torch.equal(plain, fugue)
    assert torch.equal(
        top_codes(model, labels={"composer": "Dvořák"}),
        top_codes(model, labels={"composer": "dvorak"}),
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"composer": "bahc"}, "unknown artist 'bahc'; did you mean 'bach'"),
        ({"genre": "fuge"}, "unknown genre 'fuge'; did you mean 'fugue'"),
        ({"mood": "sad"}, "unknown label 'mood'; expected artist, composer, genre"),
        ({"composer": "bach", "artist": "dvorak"}, "got two artists, bach and dvorak"),
    ],
)
def test_unknown_labels_are_refused(model, labels, message):
    with pytest.raises(ConfigError, match=message):
        model.stream(Request(labels=labels))


def test_a_model_without_names_says_so(model):
    nameless = replace(model.config, artists=("unknown",))
    bare = Jukebox(nameless, model.vqvaes, model.prior, model.upsamplers)
    with pytest.raises(CapabilityError, match="trained without artist names; it knows genre"):
        bare.stream(Request(labels={"composer": "bach"}))


def test_guidance_of_one_is_no_guidance_and_more_is_other_music(model):
    labels = {"composer": "bach"}
    plain, one, strong = (
        top_codes(model, labels=labels, guidance=guidance) for guidance in (None, 1.0, 6.0)
    )
    assert torch.equal(plain, one)
    assert not torch.equal(plain, strong)
    with pytest.raises(ConfigError, match="guidance pulls towards labels"):
        model.stream(Request(guidance=2.0))
    never = replace(model.config.prior.labels, dropout=0.0)
    config = tiny_config(labels=never)
    other = Jukebox(config, model.vqvaes, model.prior, model.upsamplers)
    with pytest.raises(CapabilityError, match="never heard music without labels"):
        other.stream(Request(guidance=2.0, labels=labels))


def test_rows_with_and_without_labels_alternate(model):
    song = song_of(Request(labels={"composer": "bach"}), model.config, total=100)
    window = Window(index=0, start=0, known=0, end=4, stop=24)
    both = with_and_without_labels(song.conditions(window, Tape()))
    assert both.artist.tolist() == [1, 0]
    assert both.genres.tolist() == [[-1, -1], [-1, -1]]
    assert both.total_s.tolist() == pytest.approx([100 * 32 / RATE] * 2)


def test_time_passes_and_stands_still_in_an_endless_piece(model):
    def start_s(window_start, **song):
        window = Window(index=9, start=window_start, known=0, end=0, stop=0)
        told = song_of(Request(), model.config, **song).conditions(window, Tape())
        return float(told.start_s), float(told.total_s)

    rate = model.config.prior.frame_rate_hz
    assert start_s(500, total=1000, skipped_s=3.0) == pytest.approx(
        (3 + 500 / rate, 3 + 1000 / rate)
    )
    assert start_s(500, total=1000, told_s=60.0) == pytest.approx((500 / rate, 60.0))
    assert start_s(500) == pytest.approx((500 / rate, 180.0))
    assert start_s(10**7) == pytest.approx((90.0, 180.0))


def test_lyrics_are_sung_window_by_window(singer):
    text = "Ännchen von Tharau"
    song = song_of(Request(lyrics=text), singer.config, total=160)

    def sung(start):
        window = Window(index=0, start=start, known=start, end=start + 4, stop=start + 24)
        told = song.conditions(window, Tape()).lyrics
        assert told is not None
        return bytes(token - 1 for token in told[0].tolist() if token).decode()

    assert sung(0) == "Ännchen von"
    assert sung(160 - 30) == "n von Tharau"
    words, others = (top_codes(singer, lyrics=words) for words in ("la la", "do re"))
    assert not torch.equal(words, others)
    assert top_codes(singer).shape == words.shape


def test_lyrics_that_cannot_be_sung_are_refused(model, singer):
    with pytest.raises(CapabilityError, match="trained without lyrics"):
        model.stream(Request(lyrics="la"))
    with pytest.raises(ConfigError, match=r"expected at most 12\. Ask for \d+ s or more"):
        singer.stream(Request(lyrics="la " * 80, seconds=1.0))
    latin = Jukebox(replace(singer.config, alphabet="characters"), singer.vqvaes, singer.prior, {})
    with pytest.raises(ConfigError, match="none of the 2 letters"):
        latin.stream(Request(lyrics="歌詞", seconds=1.0))


# ------------------------------------------------------------------ sections that return


def test_a_letter_recalls_its_last_section():
    form = Form(letters=("A", "B", "A"), lengths=(4, 2, 6), first=10)
    recalled = [form.recalled_from(frame) for frame in range(8, 10 + 12 + 8)]
    nothing = [NOTHING]
    assert recalled[:2] == nothing * 2
    assert recalled[2:8] == nothing * 6
    assert recalled[8:14] == [10, 11, 12, 13, NOTHING, NOTHING]
    # and over again: A from the last A, B from the last B
    assert recalled[14:18] == [16, 17, 18, 19]
    assert recalled[18:20] == [14, 15]
    tape = Tape(torch.arange(16)[None] + 100)
    assert form.recalled(15, 5, tape).tolist() == [[NOTHING, 110, 111, 112, 113]]


def test_a_form_is_heard_and_told_in_the_record(returning):
    form = (Section(letter="A", seconds=0.1), Section(letter="B"), Section(letter="A"))
    piece = returning.generate(Request(form=form), TOP)
    context_s = 24 * 32 / RATE
    assert piece.samples.shape[1] == round((0.1 + 2 * context_s) * RATE)
    letters, starts, ends = zip(*piece.meta["form"], strict=True)
    assert letters == ("A", "B", "A")
    assert starts[1:] == ends[:2]
    with_form = top_codes(returning, seconds=0.3, form=form)
    other = top_codes(returning, seconds=0.3, form=(*form[:2], Section(letter="C")))
    # The last window's context reaches back before the section that is reminded, or not.
    assert torch.equal(with_form[:, :25], other[:, :25])
    assert not torch.equal(with_form, other)


def test_a_model_without_recall_has_no_form(model):
    with pytest.raises(CapabilityError, match="trained without recall"):
        model.stream(Request(form=(Section(letter="A"),)))


# ------------------------------------------------------------------ recordings


def test_a_model_says_which_level_is_played_unless_another_is_asked_for(three):
    asked = three.generate(Request(seconds=0.1, seed=2), Options(level=1))
    sketching = Jukebox(replace(three.config, plays=1), three.vqvaes, three.prior, three.upsamplers)
    given = sketching.generate(Request(seconds=0.1, seed=2))
    assert np.array_equal(given.samples, asked.samples)
    whole = sketching.generate(Request(seconds=0.1, seed=2), Options(level=0))
    assert np.array_equal(whole.samples, three.generate(Request(seconds=0.1, seed=2)).samples)


@pytest.mark.parametrize("level", [0, 2])
def test_a_prompt_of_any_rate_and_channels_stands_first(three, level):
    prompt = tone(rate=44100, channels=2)
    piece = three.generate(Request(seconds=0.1, prompt=prompt), Options(level=level))
    assert piece.samples.shape == (1, 4000 + 800)
    power = (piece.samples[0, 50:3900] ** 2).mean()
    assert power == pytest.approx(0.4**2 / 2, rel=0.01)
    upside_down = replace(prompt, samples=-prompt.samples)
    other = three.generate(Request(seconds=0.1, prompt=upside_down), Options(level=level))
    assert not np.array_equal(piece.samples[:, 4000:], other.samples[:, 4000:])


def test_no_more_of_a_prompt_is_encoded_than_is_heard(three):
    """A longer recording with the same end gives the same codes, at all levels."""
    short, long = tone(1.0), tone(4.0)
    assert np.allclose(short.samples, long.samples[:, -RATE:], atol=1e-3)
    long.samples[:, -RATE:] = short.samples
    pieces = [three.piece(Request(seconds=0.1, prompt=audio), Options()) for audio in (short, long)]
    for level in range(3):
        one, other = (piece.beginning.at(level) for piece in pieces)
        assert one.shape[1] == three.ratio(0) ** (2 - level) * pieces[0].beginning.at(2).shape[1]
        assert torch.equal(one, other)
    assert pieces[1].beginning.skipped_s - pieces[0].beginning.skipped_s == pytest.approx(3.0)


def test_what_follows_a_prompt_hears_its_end_in_the_decoder(three):
    prompt = tone(0.3)
    piece = three.piece(Request(seconds=0.1, prompt=prompt), Options())
    codes = torch.cat(list(three.codes(piece)), 1)
    known = piece.beginning.at(0).shape[1]
    whole = three.codec_at(0).decode(codes[:, None])[0, :, known * 8 :][:, :800]
    sampled = three.generate(Request(seconds=0.1, prompt=prompt)).samples[:, 2400:]
    np.testing.assert_allclose(sampled, whole.numpy(), atol=1e-5)


def test_a_prompt_shorter_than_a_code_is_refused(three):
    with pytest.raises(AudioError, match=r"the prompt lasts 12\.5 ms; expected at least 16 ms"):
        three.stream(Request(prompt=tone(0.0125)))


# ------------------------------------------------------------------ takes


def test_a_cut_run_goes_on_where_it_stopped(three, tmp_path, monkeypatch):
    request = Request(seconds=SECONDS, seed=4)
    whole = sound(three, request)
    options = Options(save=str(tmp_path / "take"))
    stream = three.stream(request, options)
    next(stream)
    stream.close()
    kept = sorted(path.name for path in (tmp_path / "take" / "level0").iterdir())
    assert kept
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "take").rglob("0*")}
    assert np.array_equal(sound(three, request, options), whole)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert not list(tmp_path.rglob("*partial*"))
    monkeypatch.setattr(three, "_steppers", {})
    assert np.array_equal(sound(three, request, options), whole)


def test_another_order_does_not_go_on_with_a_take(three, tmp_path):
    options = Options(save=str(tmp_path / "take"), level=2)
    sound(three, seed=4, options=options)
    with pytest.raises(ConfigError, match="Give the same flags to go on with it"):
        sound(three, seed=5, options=options)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "song.txt").write_text("la")
    with pytest.raises(ConfigError, match="holds no take; expected a new or empty folder"):
        sound(three, options=Options(save=str(tmp_path / "other")))


def test_a_sketch_is_upsampled_to_what_the_whole_would_have_been(three, tmp_path):
    sketch = Options(save=str(tmp_path / "take"), level=2)
    sound(three, seed=4, options=sketch)
    down = three.generate(Request(seed=4), Options(from_codes=str(tmp_path / "take")))
    assert down.samples.shape == (1, 7 * 128)
    assert np.array_equal(down.samples[:, :800], sound(three, seed=4))


def test_a_take_is_gone_on_with(three, tmp_path):
    first = Options(save=str(tmp_path / "one"), level=1)
    sound(three, seconds=0.16, seed=4, options=first)
    codes = read_take(tmp_path / "one", three.codebook_sizes, three.codebooks)
    assert {level: one.shape[1] for level, one in codes.items()} == {2: 10, 1: 40}
    more = Options(continue_codes=str(tmp_path / "one"), save=str(tmp_path / "two"), level=1)
    longer = sound(three, seconds=0.16, seed=9, options=more)
    assert longer.shape == (1, 2 * 1280)
    both = read_take(tmp_path / "two", three.codebook_sizes, three.codebooks)
    for level in (1, 2):
        count = codes[level].shape[1]
        assert both[level].shape[1] == 2 * count
        assert torch.equal(both[level][:, :count], codes[level])
    # the lowest level was never made: it is made for all of it
    whole = Options(continue_codes=str(tmp_path / "two"))
    assert sound(three, seconds=0.016, options=whole).shape == (1, 2 * 1280 + 128)


def damaged(tensors, path, match, play):
    """`play` refuses a window that holds `tensors`; the file is then as it was."""
    before = path.read_bytes()
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=match):
        play()
    path.write_bytes(before)


def test_windows_that_were_not_drawn_are_refused(three, tmp_path):
    saving = Options(save=str(tmp_path / "take"), level=2)
    sound(three, seconds=0.2, options=saving)
    files = sorted((tmp_path / "take" / "level2").iterdir())
    count = load_file(files[0])["codes"].shape[1]
    codes = torch.ones(1, count, dtype=torch.int32)
    assert len(files) > 2

    def again():
        sound(three, seconds=0.2, options=saving)

    def upsampled():
        sound(three, seconds=0.2, options=Options(from_codes=saving.save))

    for play in (again, upsampled):
        damaged({"others": codes}, files[1], r"holds others .*; expected codes \(1, ", play)
        damaged({"codes": 9999 * codes}, files[1], "from 9999 to 9999; .* Delete this file", play)
        damaged({"codes": -5 * codes}, files[1], "from 0 to 31", play)
        damaged({"codes": codes.float()}, files[1], "of torch.int32", play)
        damaged({"codes": codes[0]}, files[1], "expected", play)
        damaged({"codes": codes[:, 1:]}, files[1], f"expected (codes \\(1, )?{count}", play)
        damaged({"codes": codes[:, :0]}, files[-1], "expected", play)
    again()
    upsampled()
    more = Options(continue_codes=saving.save, save=str(tmp_path / "more"), level=2)
    sound(three, options=more)
    begins = tmp_path / "more" / "beginning.safetensors"
    longer = Options(from_codes=more.save)
    damaged(
        {"level2": codes.long()},
        begins,
        "does not hold the codes",
        lambda: sound(three, options=longer),
    )
    sound(three, options=longer)


def test_what_follows_a_take_is_drawn_with_other_numbers(three, tmp_path):
    """Drawn by nothing but its numbers, a take would be repeated by the same seed."""
    first = Options(save=str(tmp_path / "one"), level=2)
    sound(three, options=first)
    recorded = [three.piece(Request(seconds=SECONDS, prompt=tone(s)), TOP) for s in (2.0, 3.0)]
    assert torch.equal(*(piece.beginning.at(2) for piece in recorded))
    gone_on = three.piece(Request(seconds=SECONDS), Options(continue_codes=first.save, level=1))
    pieces = [three.piece(Request(seconds=SECONDS), TOP), gone_on, *recorded]
    window = Window(index=0, start=0, known=0, end=8, stop=8)
    for level in (1, 2):
        drawn = [piece.voices[level].draws.uniforms(window).tolist() for piece in pieces]
        assert all(one != other for one, other in combinations(drawn, 2))


def test_a_take_is_upsampled_and_gone_on_with_as_it_was_told(model, singer, tmp_path):
    bach, dvorak = {"composer": "bach"}, {"artist": "dvorak"}
    sketch = Options(save=str(tmp_path / "sketch"), level=1)
    sound(model, labels=bach, options=sketch)
    for options in (Options(from_codes=sketch.save), Options(continue_codes=sketch.save)):
        plain, told, other = (
            model.piece(Request(seconds=SECONDS, labels=labels), options)
            for labels in ({}, bach, dvorak)
        )
        assert torch.equal(plain.song.labels.artist, told.song.labels.artist)
        assert not torch.equal(plain.song.labels.artist, other.song.labels.artist)
        assert plain.meta["taken_over"] == {"labels": bach}
        assert "taken_over" not in told.meta
    # those who go on with what went on with it are told as well
    sung = Options(save=str(tmp_path / "sung"), level=1)
    sound(singer, labels=bach, lyrics="la la", options=sung)
    more = Options(continue_codes=sung.save, save=str(tmp_path / "more"), level=1)
    sound(singer, options=more)
    last = singer.piece(Request(seconds=SECONDS), Options(continue_codes=more.save, level=1))
    assert last.meta["taken_over"] == {"labels": bach, "lyrics": "la la"}
    assert last.song.sung is not None
    assert singer.piece(Request(), Options(from_codes=more.save)).song.sung is None


def test_what_cannot_be_taken_over_is_said(model, singer, returning, tmp_path, caplog):
    sung = Options(save=str(tmp_path / "sung"), level=1)
    sound(singer, labels={"composer": "bach"}, lyrics="la la", options=sung)
    nameless = replace(model.config, artists=("unknown",))
    bare = Jukebox(nameless, singer.vqvaes, model.prior, model.upsamplers)
    sound(bare, options=Options(continue_codes=sung.save, level=1))
    assert "are left out: this model was trained without artist names" in caplog.text
    assert "the lyrics of" in caplog.text
    formed = Options(save=str(tmp_path / "formed"), level=1)
    sound(returning, form=(Section(letter="A"), Section(letter="B")), options=formed)
    assert "--form" not in caplog.text
    sound(returning, options=Options(continue_codes=formed.save, level=1))
    assert "is not gone on with; give the sections that follow as --form" in caplog.text


@pytest.mark.parametrize("name", ["continue_codes", "from_codes"])
def test_a_take_behind_a_recording_says_what_of_it_is_missing(three, tmp_path, caplog, name):
    asked = Request(seconds=SECONDS, prompt=tone(3.0))
    saving = Options(save=str(tmp_path / "take"), level=2)
    whole = three.generate(asked, saving).samples
    assert not caplog.text
    again = sound(
        three,
        seconds=60.0 if name == "from_codes" else SECONDS,
        options=Options(**{name: saving.save, "level": 2}),
    )
    skipped = three.piece(asked, Options(level=2)).beginning.skipped_s
    assert again.shape[1] < whole.shape[1]
    assert f"the first {skipped:.3g} s are missing in this piece" in caplog.text
    assert "give the audio file that was made with the take to --continue" in caplog.text


def test_takes_that_do_not_fit_are_refused(model, three, tmp_path):
    sound(three, seconds=0.05, options=Options(save=str(tmp_path / "take"), level=2))
    with pytest.raises(ConfigError, match="other codebooks"):
        sound(model, options=Options(from_codes=str(tmp_path / "take")))
    with pytest.raises(ConfigError, match="holds no take"):
        sound(three, options=Options(from_codes=str(tmp_path)))
    with pytest.raises(ConfigError, match="expected one of them"):
        three.stream(Request(prompt=tone()), Options(continue_codes=str(tmp_path / "take")))
    with pytest.raises(ConfigError, match="expected one of them at most"):
        Options(from_codes="a", continue_codes="b")


# ------------------------------------------------------------------ models


def test_saved_and_loaded_it_plays_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    one = Jukebox.load(tmp_path / "model")
    one.save(tmp_path / "again")
    two = Jukebox.load(tmp_path / "again")
    assert np.array_equal(sound(one), sound(two))
    assert one.config == model.config


def test_a_model_in_training_plays_from_the_lowest_level_it_reaches(three, caplog):
    part = Jukebox(three.config, three.vqvaes, three.prior, {1: three.upsamplers[1]})
    assert (part.lowest, three.lowest) == (1, 0)
    piece = part.generate(Request(seconds=0.05, seed=2))
    assert "playing from level 1" in caplog.text
    assert np.array_equal(
        piece.samples, sound(three, Request(seconds=0.05, seed=2), Options(level=1))
    )
    with pytest.raises(ConfigError, match="trained down to level 1"):
        part.stream(Request(), Options(level=0))
    codec = Jukebox(three.config, {0: three.vqvaes[0]}, None, {})
    assert codec.reconstruct(tone()).samples.shape == (1, 4000)
    with pytest.raises(CapabilityError, match="no prior yet"):
        codec.stream(Request(), Options(level=2))
    with pytest.raises(CapabilityError, match="level 2 is not trained yet; trained are: 0"):
        codec.codec_at(2)


def test_levels_reconstruct_as_their_codecs(three):
    audio = tone(0.3)
    for level in range(3):
        wave = torch.from_numpy(audio.samples)[None]
        codec = three.codec_at(level)
        expected = codec.decode(codec.encode(wave), 2400)[0].numpy()
        assert np.array_equal(three.reconstruct(audio, level).samples, expected)
    assert np.array_equal(three.reconstruct(audio).samples, three.reconstruct(audio, 0).samples)
    with pytest.raises(ConfigError, match="level is 3; this model has 0, 1, 2"):
        three.reconstruct(audio, 3)
    with pytest.raises(CapabilityError, match="jukebox cannot do accompany"):
        three.stream(Request(mix=audio))
