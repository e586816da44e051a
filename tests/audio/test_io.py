import struct
import subprocess
import sys
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.io import (
    SUFFIXES,
    AudioWriter,
    fade,
    probe,
    read_audio,
    read_blocks,
    read_provenance,
    with_channels,
    write_audio,
)
from ritornello.audio.loudness import true_peak_dbfs
from ritornello.audio.resample import resample, resampled_length
from ritornello.errors import AudioError
from ritornello.interfaces import Audio

RATE = 44100


def tones(seconds: float = 1.0, channels: int = 2, level: float = 0.3, rate: int = RATE) -> Audio:
    time = np.arange(round(seconds * rate)) / rate
    waves = [level * np.sin(2 * np.pi * 220 * (c + 1) * time) for c in range(channels)]
    return Audio(samples=np.stack(waves).astype(np.float32), sample_rate=rate)


ENCODINGS = [
    ("wav", "PCM_16", None),
    ("wav", "PCM_24", None),
    ("wav", "FLOAT", None),
    ("flac", "PCM_16", None),
    ("ogg", "VORBIS", None),
    ("opus", "OPUS", "OGG"),
    ("mp3", "MPEG_LAYER_III", None),
    ("aiff", "PCM_16", None),
]


@pytest.mark.parametrize(("suffix", "subtype", "container"), ENCODINGS)
def test_reads_every_format(tmp_path, suffix, subtype, container):
    rate = 48000 if suffix == "opus" else RATE
    audio = tones(rate=rate)
    path = tmp_path / f"tones.{suffix}"
    soundfile.write(path, audio.samples.T, rate, subtype=subtype, format=container)
    info = probe(path)
    assert (info.sample_rate, info.channels, info.frames) == (rate, 2, rate)
    assert info.encoding == subtype
    assert info.duration_s == 1.0
    read = read_audio(path)
    assert read.samples.dtype == np.float32
    assert read.samples.shape == audio.samples.shape
    tolerance = 0.03 if subtype in ("VORBIS", "OPUS", "MPEG_LAYER_III") else 1e-4
    middle = slice(2000, -2000)  # lossy codecs ring at the ends
    assert np.abs(read.samples - audio.samples)[:, middle].max() < tolerance
    assert f".{suffix}" in SUFFIXES


@pytest.mark.parametrize(("suffix", "subtype", "container"), ENCODINGS)
def test_truncated_files_are_refused(tmp_path, suffix, subtype, container):
    noise = np.random.default_rng(0).normal(0, 0.1, (3 * 48000, 2))
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    soundfile.write(whole, noise, 48000, subtype=subtype, format=container)
    content = whole.read_bytes()
    probe(whole)
    for share in (0.5, 0.9):
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(AudioError, match="truncated"):
            read_audio(cut)
        with pytest.raises(AudioError, match="truncated"):
            probe(cut)
        with pytest.raises(AudioError, match="truncated"):
            list(read_blocks(cut, 0.5))


def test_wav_from_a_pipe_without_a_size_is_read(tmp_path):
    path = tmp_path / "pipe.wav"
    write_audio(path, tones(), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data")
    del content[at + 8 + RATE * 4 :]
    content[at + 4 : at + 8] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(bytes(content))
    assert read_audio(path).samples.shape == (2, RATE)


def test_what_is_not_audio_is_refused_by_name(tmp_path):
    empty, text, folder = tmp_path / "empty.wav", tmp_path / "text.wav", tmp_path / "folder.wav"
    empty.touch()
    text.write_text("This is a shopping list, not a sound.\n" * 50)
    folder.mkdir()
    with pytest.raises(AudioError, match=r"empty\.wav: is empty \(0 bytes\)"):
        read_audio(empty)
    with pytest.raises(AudioError, match=r"text\.wav: is not an audio file"):
        probe(text)
    for missing in (folder, tmp_path / "none.wav"):
        with pytest.raises(AudioError, match="no such file"):
            read_audio(missing)
    raw = text.rename(tmp_path / "text.raw")
    with pytest.raises(AudioError, match="not an audio file"):
        read_audio(raw)


@pytest.mark.parametrize("count", [0, 1])
def test_files_without_sound_are_refused(tmp_path, count):
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros((count, 1)), RATE)
    with pytest.raises(AudioError, match=f"holds {count} samples; expected at least 2"):
        read_audio(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_samples_are_refused(tmp_path, bad):
    samples = tones().samples.T.copy()
    samples[30000, 0] = bad
    path = tmp_path / "bad.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite"):
        read_audio(path)
    with pytest.raises(AudioError, match="NaN or infinite"):
        list(read_blocks(path, 0.1))
    assert read_audio(path, duration_s=0.5).duration_s == 0.5


def test_eight_channels_are_read_only_as_they_are(tmp_path):
    path = tmp_path / "eight.wav"
    soundfile.write(path, np.zeros((1000, 8)), RATE)
    assert read_audio(path).channels == 8
    assert read_audio(path, channels=8).channels == 8
    for channels in (1, 2):
        with pytest.raises(AudioError, match="has 8 channels; expected 1 or 2"):
            read_audio(path, channels=channels)


def test_channels_are_mixed_and_copied(tmp_path):
    stereo, mono = tmp_path / "stereo.wav", tmp_path / "mono.wav"
    audio = tones()
    write_audio(stereo, audio, subtype="FLOAT")
    read = read_audio(stereo)
    assert np.allclose(read_audio(stereo, channels=1).samples, read.samples.mean(0), atol=1e-7)
    write_audio(mono, tones(channels=1), subtype="FLOAT")
    doubled = read_audio(mono, channels=2).samples
    assert doubled.shape == (2, RATE)
    assert np.array_equal(doubled[0], doubled[1])
    with pytest.raises(AudioError, match="cannot make 3 channels"):
        with_channels(audio.samples, 3)


@pytest.mark.parametrize("rate", [None, 22050, 48000, 16000, 11025])
def test_excerpts_are_slices_of_the_whole(tmp_path, rate):
    path = tmp_path / "noise.flac"
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 3 * RATE)).astype(np.float32)
    write_audio(path, Audio(samples=noise, sample_rate=RATE))
    whole = read_audio(path, sample_rate=rate)
    to = whole.sample_rate
    for start_s, duration_s in ((0.0, 0.5), (0.7071, 0.5), (2.3333, 9.0), (2.9999, None)):
        part = read_audio(path, start_s=start_s, duration_s=duration_s, sample_rate=rate)
        start = round(start_s * to)
        stop = None if duration_s is None else start + round(duration_s * to)
        expected = whole.samples[:, start:stop]
        assert part.samples.shape == expected.shape
        assert np.abs(part.samples - expected).max() < 2e-6


def test_excerpts_outside_the_file_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, tones())
    for start_s in (1.0, -0.1):
        with pytest.raises(AudioError, match=r"it lasts 1\.000 s"):
            read_audio(path, start_s=start_s)
    with pytest.raises(AudioError, match="expected more than 0"):
        read_audio(path, duration_s=0.0)


def test_blocks_join_to_the_whole(tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, tones(2.3).samples.T, RATE)
    blocks = list(read_blocks(path, 0.5))
    assert [b.samples.shape[1] for b in blocks] == [22050] * 4 + [round(0.3 * RATE)]
    joined = np.concatenate([b.samples for b in blocks], axis=1)
    assert np.array_equal(joined, read_audio(path).samples)


WRITABLE = [
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "FLOAT"),
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
]


@pytest.mark.parametrize(("suffix", "subtype"), WRITABLE)
@pytest.mark.parametrize("channels", [1, 2])
def test_written_files_read_back(tmp_path, suffix, subtype, channels):
    path = tmp_path / f"a.{suffix}"
    audio = tones(0.501, channels)
    odd = Audio(samples=audio.samples[:, :-1], sample_rate=RATE, meta={"seed": 3, "name": "é"})
    report = write_audio(path, odd, subtype=subtype)
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 2**-30}[subtype]
    read = read_audio(path)
    expected = odd.samples - odd.samples.mean(axis=1, keepdims=True)
    assert np.abs(read.samples - expected).max() <= step / 2 + 1e-7
    assert probe(path).encoding == subtype
    assert report.gain_db == 0.0
    assert report.clipped == 0
    assert report.frames == odd.samples.shape[1]
    assert read_provenance(path) == {"seed": 3, "name": "é", "gain_db": 0.0}
    again = tmp_path / f"b.{suffix}"
    write_audio(again, odd, subtype=subtype)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a.{suffix}", f"b.{suffix}"]


def test_wav_is_understood_by_an_independent_reader(tmp_path):
    path = tmp_path / "a.wav"
    audio = tones(0.1, 1)
    write_audio(path, audio)
    with wave.open(str(path)) as file:
        assert (file.getsampwidth(), file.getnchannels(), file.getnframes()) == (3, 1, 4410)
        raw = file.readframes(4410)
    values = [int.from_bytes(raw[i : i + 3], "little", signed=True) for i in range(0, 13230, 3)]
    assert np.abs(np.array(values) / 2**23 - audio.samples[0]).max() < 1e-6


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_float_files_carry_no_date_and_comments_may_be_long(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    meta = {"curve": [[i / 10, 0.5] for i in range(20000)]}
    audio = Audio(samples=tones().samples, sample_rate=RATE, meta=meta)
    write_audio(path, audio, subtype="FLOAT" if suffix == "wav" else "PCM_24")
    assert b"PEAK" not in path.read_bytes()
    assert read_provenance(path)["curve"] == meta["curve"]
    assert np.abs(read_audio(path).samples - audio.samples).max() < 1e-6


def test_loud_audio_is_turned_down_to_the_true_peak(tmp_path):
    # a quarter of the rate at 45 degrees: samples reach 0.9 * 0.707, the wave between them 0.9 * 2
    phase = np.pi / 2 * np.arange(RATE) + np.pi / 4
    hot = Audio(samples=1.8 * np.sin(phase)[None].astype(np.float32), sample_rate=RATE)
    ramp = np.hanning(RATE).astype(np.float32)
    hot = Audio(samples=hot.samples * ramp, sample_rate=RATE)
    path = tmp_path / "hot.wav"
    report = write_audio(path, hot)
    read = read_audio(path)
    assert report.gain_db == pytest.approx(-1 - 20 * np.log10(1.8), abs=0.05)
    assert report.peak_dbfs == pytest.approx(-1.0, abs=0.02)
    assert true_peak_dbfs(read.samples, RATE) <= -0.98
    assert report.clipped == 0
    assert read_provenance(path)["gain_db"] == pytest.approx(report.gain_db, abs=1e-6)


def test_dc_offset_is_removed_and_reported(tmp_path):
    audio = tones()
    path = tmp_path / "a.wav"
    shifted = audio.samples + np.array([[0.1], [-0.2]], np.float32)
    report = write_audio(path, Audio(samples=shifted, sample_rate=RATE))
    assert report.dc_offset == pytest.approx((0.1, -0.2), abs=1e-6)
    assert np.abs(read_audio(path).samples.mean(axis=1)).max() < 1e-6


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_streamed_files_equal_whole_files(tmp_path, suffix):
    audio = tones(2.0)
    streamed, whole = tmp_path / f"streamed.{suffix}", tmp_path / f"whole.{suffix}"
    with AudioWriter(streamed, RATE, 2, gain_db=0.0, meta={"seed": 1}) as writer:
        for start in range(0, 2 * RATE, 7001):
            piece = audio.samples[:, start : start + 7001]
            writer.write(Audio(samples=piece, sample_rate=RATE))
    balanced = Audio(samples=audio.samples, sample_rate=RATE, meta={"seed": 1})
    write_audio(whole, balanced)
    assert writer.report().frames == 2 * RATE
    assert np.abs(read_audio(streamed).samples - read_audio(whole).samples).max() < 1e-6
    assert streamed.stat().st_size == pytest.approx(whole.stat().st_size, rel=1e-3)
    assert read_provenance(streamed) == read_provenance(whole)


def test_stream_clips_at_the_ceiling_and_counts(tmp_path):
    path = tmp_path / "a.wav"
    loud = np.zeros((1, 1000), np.float32)
    loud[0, 100:110] = 4.0
    with AudioWriter(path, RATE, 1) as writer:
        writer.write(Audio(samples=loud, sample_rate=RATE))
    assert writer.report().clipped == 10
    assert np.abs(read_audio(path).samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-6)
    assert read_provenance(path) == {"gain_db": -3.0}


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_errors_leave_nothing_behind(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), AudioWriter(path, RATE, 2) as writer:  # noqa: PT012
        writer.write(tones())
        raise KeyboardInterrupt
    with pytest.raises(AudioError, match="NaN"), AudioWriter(path, RATE, 1) as writer:
        writer.write(Audio(samples=np.full((1, 5), np.nan, np.float32), sample_rate=RATE))
    with pytest.raises(AudioError, match="no samples"), AudioWriter(path, RATE, 1):
        pass
    with (
        pytest.raises(AudioError, match=r"expected 1 at 44100"),
        AudioWriter(path, RATE, 1) as writer,
    ):
        writer.write(tones())
    assert [p.name for p in tmp_path.iterdir()] == [f"a.{suffix}"]
    assert path.read_bytes() == b"old"


def test_unwritable_requests_are_refused(tmp_path):
    audio = tones(0.1)
    with pytest.raises(AudioError, match=r"expected \.wav or \.flac"):
        write_audio(tmp_path / "a.mp3", audio)
    with pytest.raises(AudioError, match="cannot write FLOAT"):
        write_audio(tmp_path / "a.flac", audio, subtype="FLOAT")
    with pytest.raises(AudioError, match="does not exist"):
        write_audio(tmp_path / "none" / "a.wav", audio)
    with pytest.raises(AudioError, match="as JSON"):
        write_audio(
            tmp_path / "a.wav",
            Audio(samples=audio.samples, sample_rate=RATE, meta={"x": float("nan")}),
        )
    with pytest.raises(AudioError, match="0 samples"):
        write_audio(
            tmp_path / "a.wav", Audio(samples=np.zeros((1, 0), np.float32), sample_rate=RATE)
        )
    with pytest.raises(AudioError, match="FLAC cannot hold"):
        write_audio(
            tmp_path / "a.flac", Audio(samples=np.zeros((9, 10), np.float32), sample_rate=RATE)
        )
    assert list(tmp_path.iterdir()) == []


def test_provenance_of_foreign_files_is_empty(tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, tones().samples.T, RATE)
    assert read_provenance(path) == {}


def test_fades_touch_only_the_ends():
    audio = Audio(samples=np.ones((2, RATE), np.float32), sample_rate=RATE)
    faded = fade(audio).samples
    assert np.abs(faded[:, [0, -1]]).max() < 1e-4
    assert np.array_equal(faded[:, 441:-441], np.ones((2, RATE - 882)))
    assert (np.diff(faded[0, :441]) > 0).all()
    assert np.array_equal(faded, faded[:, ::-1])
    assert np.array_equal(fade(audio, start_s=0.0).samples[:, :441], np.ones((2, 441)))
    assert fade(Audio(samples=np.ones((1, 3), np.float32), sample_rate=RATE)).samples.shape == (
        1,
        3,
    )


@settings(deadline=None, max_examples=60)
@given(
    time=st.integers(0, 3000),
    rates=st.tuples(*[st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000])] * 2),
    channels=st.integers(1, 2),
)
def test_resampling_has_the_exact_length(time, rates, channels):
    fresh = resample(np.ones((channels, time), np.float32), *rates)
    assert fresh.shape == (channels, int(np.floor(time * rates[1] / rates[0] + 0.5)))
    assert fresh.shape[1] == resampled_length(time, *rates)


def test_resampling_keeps_a_sine_in_place():
    time = np.arange(RATE) / RATE
    wave_in = np.sin(2 * np.pi * 1000 * time)[None].astype(np.float32)
    fresh = resample(wave_in, RATE, 16000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert np.abs(fresh[0, 500:-500] - expected[500:-500]).max() < 1e-4
    with pytest.raises(AudioError, match="positive whole numbers"):
        resample(wave_in, RATE, 0)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_full_disk_leaves_nothing(tmp_path, name):
    """The file may not pass 64 kB, as on a full disk; a child, since the limit is a process's."""
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from ritornello.audio.io import write_audio\n"
        "from ritornello.errors import AudioError\n"
        "from ritornello.interfaces import Audio\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "noise = np.random.default_rng(0).normal(0, 0.1, (2, 44100)).astype(np.float32)\n"
        "try:\n"
        "    write_audio(sys.argv[1], Audio(samples=noise, sample_rate=44100))\n"
        "except (OSError, AudioError) as error:\n"
        "    sys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert not list(tmp_path.iterdir())
