"""A small listening test: two clips of a second of two systems, real music and anchor."""

import asyncio
import shutil

import httpx
import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.interfaces import Audio
from ritornello.server.listening import create_app
from ritornello.server.listening_clips import Size, Source, make_test

SECONDS, CLIPS = 1.0, 2
HERE = "http://127.0.0.1:8765"


def tone(hz, seconds, rate=44100, level=0.1):
    """A chord with bright overtones and a little noise, stereo."""
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 40) if hz * k < rate / 2)
    noise = np.random.default_rng(int(hz)).standard_normal((2, len(time)))
    samples = level * (wave + 0.1 * noise)
    return Audio(samples=samples.astype(np.float32), sample_rate=rate)


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Folders of two systems and of real music, of different rates, widths and levels."""
    root = tmp_path_factory.mktemp("listening")
    settings = {"old": (220, 22050, 0.02), "new": (330, 44100, 0.3), "real": (440, 48000, 0.1)}
    for name, (hz, rate, level) in settings.items():
        (root / name).mkdir()
        for index in range(CLIPS):
            audio = tone(hz * (1 + index / 8), 1.5, rate, level)
            if name == "old":
                audio = Audio(samples=audio.samples[:1], sample_rate=rate)
            write_audio(root / name / f"{index}.wav", audio, subtype="PCM_16")
    return root


@pytest.fixture(scope="session")
def made(sources, tmp_path_factory):
    """The folder of the finished test; nobody has voted and nobody may."""
    out = tmp_path_factory.mktemp("made") / "test"
    systems = [Source(name=n, target=n, folder=sources / n) for n in ("old", "new")]
    reference = Source(name="reference", target="real", folder=sources / "real")
    size = Size(clips=CLIPS, seconds=SECONDS, per_listener=1, pairs=2)
    make_test(systems, reference, out, size, seed=5)
    return out


@pytest.fixture
def test_folder(made, tmp_path):
    """A copy of the test to vote in."""
    return shutil.copytree(made, tmp_path / "test")


class Client:
    """A browser without a network: requests go straight into the application."""

    def __init__(self, folder):
        self.app = create_app(folder)

    def request(self, method, path, **content):
        async def answer():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
                return await client.request(method, path, **content)

        return asyncio.run(answer())

    def get(self, path, **content):
        return self.request("GET", path, **content)

    def post(self, path, **content):
        return self.request("POST", path, **content)

    def put(self, path, **content):
        return self.request("PUT", path, **content)
