"""What a user asks for becomes the request; what makes no sense is refused before any work."""

import shlex
from pathlib import Path

import pytest

from ritornello.cli import generate, playing, stream, train
from ritornello.cli.console import UsageError
from ritornello.errors import ConfigError
from ritornello.interfaces import Request


def test_flags_may_come_before_and_after_the_model():
    for words in (["-o", "a.wav", "mine"], ["mine", "-o", "a.wav"]):
        options = generate.build_parser().parse(words)
        assert (options.model, options.out) == ("mine", Path("a.wav"))
    assert generate.build_parser().parse(["-o", "a.wav"]).model == "piano"


def test_a_control_is_a_number_or_a_curve(tmp_path):
    curve = tmp_path / "curve.csv"
    curve.write_text("seconds,value\n0,0.2\n\n10,0.9\n")
    assert playing.read_control("density=0.7") == ("density", ((0.0, 0.7),))
    assert playing.read_control(f"density={curve}") == ("density", ((0.0, 0.2), (10.0, 0.9)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "has no rows"),
        ("seconds,value\n", "has no rows"),
        ("0,0.1\n1,abc\n", r"line 2 is 1,abc; expected seconds,value|line 2 is '1,abc'"),
        ("0,0.1\n1\n", "line 2"),
        ("1,0.1\n1,0.2\n", "does not rise"),
    ],
)
def test_a_wrong_curve_names_its_line(tmp_path, rows, message):
    curve = tmp_path / "curve.csv"
    curve.write_text(rows)
    with pytest.raises(ConfigError, match=message):
        playing.read_curve(curve)


@pytest.mark.parametrize("text", ["density", "=0.7", "density="])
def test_a_control_without_name_or_value_is_refused(text):
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        playing.read_control(text)


def test_a_control_that_is_no_number_and_no_file_is_refused():
    with pytest.raises(ConfigError, match="neither a number nor a CSV file"):
        playing.read_control("density=loud")


def test_lyrics_must_have_words(tmp_path):
    (tmp_path / "words.txt").write_text("la la\n")
    (tmp_path / "empty.txt").write_text(" \n")
    assert playing.read_lyrics(tmp_path / "words.txt") == "la la\n"
    with pytest.raises(ConfigError, match="no words"):
        playing.read_lyrics(tmp_path / "empty.txt")
    with pytest.raises(ConfigError, match="cannot read lyrics"):
        playing.read_lyrics(tmp_path / "none.txt")


def test_takes_are_numbered():
    assert generate.take_paths(Path("d/a.wav"), 1) == [Path("d/a.wav")]
    assert generate.take_paths(Path("d/a.wav"), 2) == [Path("d/a-1.wav"), Path("d/a-2.wav")]


def test_train_words_become_options(tmp_path):
    words = shlex.split(
        "musika --data a --data b --run r gan.base_channels=8 --preset nano "
        "--time-limit 2m --from piano --plan x.y=1"
    )
    system, options = train.parse(words)
    assert system == "musika"
    assert options.data == (Path("a"), Path("b"))
    assert options.overrides == ("gan.base_channels=8", "x.y=1")
    assert (options.preset, options.time_limit_s, options.from_model) == ("nano", 120.0, "piano")
    assert options.plan_only
    assert options.seed is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["muska", "--data", "a", "--run", "r"], "no system 'muska'; did you mean 'musika'"),
        (["musika", "--run", "r"], "--data"),
        (["musika", "--data", "a", "--run", "r", "--time-limit", "soon"], "length of time"),
        (["musika", "--data", "a", "--run", "r", "--preset", "tiny"], "invalid choice: 'tiny'"),
        (["musika", "--data", "a", "--run", "r", "--tim-limit", "1m"], "'--time-limit'"),
    ],
)
def test_wrong_train_words_are_usage_errors(words, message):
    with pytest.raises(UsageError, match=message):
        train.parse(words)


def test_contradicting_train_options_are_refused():
    words = ["musika", "--data", "a", "--run", "r", "--from", "x", "--from-codec", "y"]
    with pytest.raises(ConfigError, match="Give one of them"):
        train.parse(words)


def test_blocks_made_ahead_are_the_same_blocks_and_errors_pass():
    assert list(stream.ahead(iter(range(20)), 2)) == list(range(20))

    def failing():
        yield 1
        raise ConfigError("broken source")

    blocks = stream.ahead(failing(), 2)
    assert next(blocks) == 1
    with pytest.raises(ConfigError, match="broken source"):
        next(blocks)


def test_leaving_early_ends_the_thread_that_works_ahead():
    made = []
    blocks = stream.ahead((made.append(i) or i for i in range(1000)), 2)
    assert next(blocks) == 0
    blocks.close()
    assert len(made) < 10


def curve_file(folder, content):
    path = folder / "curve.csv"
    path.write_bytes(content)
    return path


def test_a_byte_order_mark_hides_no_row(tmp_path):
    path = curve_file(tmp_path, b"\xef\xbb\xbf0,0.1\n2,0.9\n")
    assert playing.read_curve(path) == ((0.0, 0.1), (2.0, 0.9))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0,O.1\n5,0.2\n", "line 1 is '0,O.1'"),  # a slip in the first row is no heading
        (b"0;0.1\n", "line 1 is '0;0.1'"),
        (b"z\xe9it,wert\n0,0.1\n", "not a CSV file in UTF-8"),
        (b"0,0.1\nnan,0.2\n3,0.3\n", "line 2: time nan s does not rise"),
        (b"0,0.1\ninf,0.2\n", "line 2: time inf s does not rise"),
    ],
)
def test_a_broken_curve_is_refused_by_line(tmp_path, content, message):
    with pytest.raises(ConfigError, match=message):
        playing.read_curve(curve_file(tmp_path, content))


@pytest.mark.parametrize("threads", [0, 10**11])
def test_impossible_threads_are_refused(threads):
    with pytest.raises(ConfigError, match="expected 1 to 1024"):
        playing.load(None, threads)


@pytest.mark.parametrize("seconds", [0.0, float("nan"), 1e308])
def test_impossible_lengths_are_refused(seconds):
    with pytest.raises(ConfigError, match="expected a positive number, at most"):
        Request(seconds=seconds)
