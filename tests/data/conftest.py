"""Folders of audio as people have them."""

import os

import numpy as np
import pytest
import soundfile

RATE = 8000


def tone(seconds, channels=1, rate=RATE, hz=220.0):
    """A sine of `hz`, (time, channels)."""
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


@pytest.fixture
def folder(tmp_path):
    """An empty data folder beside which a test may write."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def save(folder):
    """save(name, seconds, ...) writes a tone into the folder."""

    def write(name, seconds=1.0, *, channels=1, rate=RATE, hz=220.0, **options):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(seconds, channels, rate, hz), rate, **options)
        return path

    return write


@pytest.fixture
def nasty(folder, save):
    """Every kind of file that a scan meets: good ones, broken ones, and what is no audio at all."""
    save("good.wav", channels=2)
    save("CAPITALS.FLAC", hz=230, format="FLAC")
    save('Çà l\'été "live" (part 1).flac', hz=240)
    save("sub folder/ogg vorbis.ogg", hz=250)
    save("sub folder/opus.opus", rate=48000, hz=260, format="OGG", subtype="OPUS")
    save("sub folder/mp3.mp3", rate=44100, hz=270)
    save("eight.wav", channels=8)
    save("one sample.wav", 1 / RATE)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("I am a letter, not a wave.")
    (folder / "music.zip").write_bytes(b"PK\3\4")
    (folder / "song.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (folder / "notes.txt").write_text("no audio")
    whole = save("truncated.wav", 2.0).read_bytes()
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    whole = save("truncated.flac", 2.0).read_bytes()
    (folder / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    samples = tone(1.0)
    samples[4000] = np.nan
    soundfile.write(folder / "nan.wav", samples, RATE, subtype="FLOAT")
    save(".hidden.wav")
    save(".trash/old.wav")
    os.symlink(folder, folder / "sub folder" / "loop")
    os.symlink(folder / "nowhere.wav", folder / "dangling.wav")
    os.mkfifo(folder / "pipe.wav")
    return folder
