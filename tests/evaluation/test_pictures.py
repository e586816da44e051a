import numpy as np
import pytest

from ritornello.errors import DataError
from ritornello.evaluation import pictures
from ritornello.interfaces import Audio
from tests.evaluation.signals import RATE, notes, tone


def audio(samples, rate=RATE):
    return Audio(samples=samples.astype(np.float32), sample_rate=rate)


def pixels(path):
    from matplotlib.image import imread

    return imread(path)


def test_comparison_is_a_wide_png_and_the_same_bytes_again(tmp_path):
    clips = {"real": audio(notes(2.0, seed=1)), "made": audio(notes(3.0, seed=2))}
    one = pictures.save_comparison(clips, tmp_path / "new" / "a.png", title="Piano")
    other = pictures.save_comparison(clips, tmp_path / "b.png", title="Piano")
    assert one.read_bytes() == other.read_bytes()
    height, width, _ = pixels(one).shape
    assert 600 < width < 2000
    assert width > height > 300


def test_quieter_clip_looks_darker(tmp_path):
    loud, quiet = audio(notes(2.0, seed=1)), audio(0.05 * notes(2.0, seed=1))
    path = pictures.save_comparison({"loud": loud, "quiet": quiet}, tmp_path / "a.png")
    image = pixels(path)[..., :3].mean(axis=2)
    middle = image.shape[1] // 2
    assert image[:, :middle].mean() > 1.2 * image[:, middle:].mean()


def test_overview_shows_the_clip(tmp_path):
    path = pictures.save_overview(audio(notes(2.0, seed=3)), tmp_path / "overview.png")
    assert pixels(path).std() > 0.05


def test_tone_lies_at_its_place_on_the_axis():
    clip = audio(tone(1000, 1.0))
    row = pictures.levels_db(clip).mean(axis=1).argmax()
    expected = pictures.mel_position(np.array([1000.0]), RATE)[0] * pictures.MELS
    assert row == pytest.approx(expected, abs=2)


def test_one_sample_of_silence_can_be_drawn(tmp_path):
    assert pictures.save_overview(audio(np.zeros((2, 1))), tmp_path / "silence.png").exists()


def test_refuses_what_cannot_share_axes(tmp_path):
    with pytest.raises(DataError, match="no clips"):
        pictures.save_comparison({}, tmp_path / "a.png")
    clips = {"a": audio(tone(440, 0.1)), "b": audio(tone(440, 0.1), rate=44100)}
    with pytest.raises(DataError, match="different sample rates"):
        pictures.save_comparison(clips, tmp_path / "a.png")
