"""The clips of a test: one loudness, one format, nothing clipped, nothing given away."""

import json

import numpy as np
import pytest

from ritornello.audio.io import probe, read_audio, write_audio
from ritornello.audio.loudness import integrated_loudness, true_peak_dbfs
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Audio
from ritornello.server.listening_clips import Size, Source, low_pass, make_test
from ritornello.server.listening_plan import load_plan
from tests.server.conftest import CLIPS, SECONDS


def test_all_clips_are_alike_but_for_their_music(made):
    plan = load_plan(made)
    assert plan.systems == ("old", "new", "reference", "anchor")
    assert len(plan.clips) == 4 * CLIPS
    files = sorted((made / "clips").glob("*.wav"))
    assert {file.stem for file in files} == {"volume", *(clip.id for clip in plan.clips)}
    sizes = set()
    for clip in plan.clips:
        path = made / "clips" / f"{clip.id}.wav"
        info, audio = probe(path), read_audio(path)
        assert (info.sample_rate, info.channels, info.encoding) == (44100, 2, "PCM_16")
        assert info.duration_s == SECONDS
        assert integrated_loudness(audio.samples, 44100) == pytest.approx(
            plan.loudness_lufs, abs=0.05
        )
        assert true_peak_dbfs(audio.samples, 44100) < -0.9
        assert np.abs(audio.samples[:, [0, -1]]).max() < 1e-3
        sizes.add(path.stat().st_size)
    assert len(sizes) == 1


def test_names_tell_nothing_and_gains_are_kept(made):
    text = b"".join(path.read_bytes() for path in sorted((made / "clips").glob("*.wav")))
    assert not any(word in text for word in (b"old", b"real", b"anchor"))
    plan = load_plan(made)
    assert [clip.id for clip in plan.clips] != sorted(clip.id for clip in plan.clips)
    softest = [clip.gain_db for clip in plan.clips if clip.system == "old"]
    loudest = [clip.gain_db for clip in plan.clips if clip.system == "new"]
    assert min(softest) > max(loudest)
    assert json.loads((made / "plan.json").read_text())["clips"][0]["source"].endswith(".wav")


def test_the_anchor_is_the_reference_without_its_top(made):
    plan = load_plan(made)
    for position in range(CLIPS):
        real, anchor = plan.clip("reference", position), plan.clip("anchor", position)
        assert (real.source, real.start_s) == (anchor.source, anchor.start_s)
        spectra = [
            np.abs(np.fft.rfft(read_audio(made / "clips" / f"{c.id}.wav").samples[0])) ** 2
            for c in (real, anchor)
        ]
        hz = np.fft.rfftfreq(44100, 1 / 44100)
        shares = [s[hz > 4100].sum() / s.sum() for s in spectra]
        assert shares[0] > 1e-3
        assert shares[1] < 1e-6


def test_low_pass_keeps_what_is_below_and_removes_what_is_above():
    time = np.arange(44100) / 44100
    low, high = (np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (1000, 6000))
    kept = low_pass((low + high)[None], 44100)[0]
    assert np.abs(kept - low)[2000:-2000].max() < 1e-3


@pytest.mark.slow
def test_the_same_seed_makes_the_same_clips(sources, made, tmp_path):
    systems = [Source(name=n, target=n, folder=sources / n) for n in ("old", "new")]
    reference = Source(name="reference", target="real", folder=sources / "real")
    again = make_test(systems, reference, tmp_path / "t", Size(clips=CLIPS, seconds=SECONDS), 5)
    assert again.clips == load_plan(made).clips
    for clip in again.clips:
        name = f"clips/{clip.id}.wav"
        assert (tmp_path / "t" / name).read_bytes() == (made / name).read_bytes()


def test_what_makes_no_test_is_refused_and_leaves_nothing(sources, tmp_path):
    old = Source(name="old", target="old", folder=sources / "old")
    real = Source(name="reference", target="real", folder=sources / "real")
    out = tmp_path / "test"
    with pytest.raises(DataError, match="asked for 3 clips"):
        make_test([old], real, out, Size(clips=3, seconds=SECONDS), 0)
    with pytest.raises(ConfigError, match="different names"):
        make_test([old, old], real, out, Size(clips=1, seconds=SECONDS), 0)
    with pytest.raises(ConfigError, match="0 clips"):
        Size(clips=0)
    with pytest.raises(ConfigError, match="1 to 2"):
        Size(clips=2, per_listener=3)
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / "votes.sqlite").touch()
    with pytest.raises(ConfigError, match="never overwritten"):
        make_test([old], real, out, Size(clips=1, seconds=SECONDS), 0)


def test_a_clip_that_would_make_all_others_inaudible_is_named(sources, tmp_path):
    folder = tmp_path / "click"
    folder.mkdir()
    samples = 1e-4 * np.random.default_rng(0).standard_normal((1, 44100)).astype(np.float32)
    samples[0, 20000:20002] = 0.9
    write_audio(folder / "click.wav", Audio(samples=samples, sample_rate=44100))
    click = Source(name="click", target="click", folder=folder)
    real = Source(name="reference", target="real", folder=sources / "real")
    with pytest.raises(DataError, match=r"clip 0 of click .*peaks"):
        make_test([click], real, tmp_path / "test", Size(clips=1, seconds=SECONDS), 0)
