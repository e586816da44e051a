"""A small folder of samples with everything that a page can show, and pages read back."""

import json
from html.parser import HTMLParser

import numpy as np

from ritornello.audio.io import write_audio
from ritornello.interfaces import Audio

RATE = 16000
EVIL = '</script><b>l\'été "1" & #2 100%'
LYRICS = {
    "text": "Twinkle, été star",
    "sung": [
        {"start_s": 0.5, "end_s": 1.0, "begin": 0, "end": 4},
        {"start_s": 1.0, "end_s": 1.5, "begin": 4, "end": 7},
        {"start_s": 1.5, "end_s": 2.5, "begin": 9, "end": 12},
    ],
}


def write_tone(path, hz, seconds=0.5, meta=None):
    wave = 0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    audio = Audio(samples=wave[None].astype(np.float32), sample_rate=RATE, meta=meta or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, audio, subtype="PCM_16")


def side_car(path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")


def write_samples(folder, seconds=0.5):
    """Five samples that play, one file that does not, and a side-car that is none."""
    for seed, composer, hz in ((0, "bach", 300), (1, "bach", 320), (0, "chopin", 2000)):
        request = {"seed": seed, "labels": {"composer": composer}, "lyrics": None}
        meta = {"model": "piano", "request": request}
        write_tone(folder / "takes" / f"{composer}-{seed}.wav", hz, seconds, meta)
    write_tone(folder / "song.wav", 1000, seconds)
    song = {"title": EVIL, "artist": "Dvořák", "labels": {"mood": "calm"}, "genre": ["folk", "pop"]}
    side_car(folder / "song.json", {**song, "lyrics": LYRICS})
    write_tone(folder / "l'été #1 100%.wav", 500, seconds)
    side_car(folder / "l'été #1 100%.json", "{not json")
    (folder / "broken.flac").write_bytes(b"fLaC, as if")


class Outline(HTMLParser):
    """Elements in order with attributes, and the text in each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else ("", {}), data))

    def all(self, tag, **wanted):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and wanted.items() <= attributes.items()
        ]

    def text_in(self, tag, **wanted):
        return [
            text
            for (name, has), text in self.texts
            if name == tag and wanted.items() <= has.items()
        ]

    def data(self):
        return json.loads("".join(self.text_in("script", id="samples")))
