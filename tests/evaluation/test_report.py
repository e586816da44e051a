"""The page: all figures in it, nothing outside it, harmless names, players that play."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from ritornello.audio.loudness import integrated_loudness, true_peak_dbfs
from ritornello.errors import DataError
from ritornello.evaluation import report_pictures as pictures
from ritornello.evaluation.intervals import Estimate, without_interval
from ritornello.evaluation.judgement import Judgement
from ritornello.evaluation.reading import shown
from ritornello.evaluation.report import (
    ClosePair,
    Excerpt,
    LongPiece,
    Report,
    SystemPart,
    told_apart,
)
from ritornello.evaluation.report_page import page
from ritornello.interfaces import Audio

RATE = 22050
EVIL = '<script>alert("1")</script>'


def tone(hz=440.0, seconds=1.0, rate=RATE, channels=2):
    wave = 0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return Audio(samples=np.tile(wave.astype(np.float32), (channels, 1)), sample_rate=rate)


def estimate(value):
    return Estimate(value=value, low=value - 0.31, high=value + 0.27, items=12)


def system(name, shift, draw):
    figures = {
        "fad": estimate(1.23 + shift),
        "fad_null": estimate(0.456),
        "kid": estimate(0.0789 + shift),
        "pitches_js": estimate(0.6543 + shift),
        "pitches_js_null": estimate(0.3456),
        "never_heard_of": estimate(4321.0 + shift),
    }
    rows = [
        {"set": side, "clip": f"{EVIL}{number}", "chroma": [1 / 12] * 12, "loudness_dbfs": level}
        for side in ("generated", "reference")
        for number, level in enumerate(draw.normal(-20, 3, 5).tolist())
    ]
    judgement = Judgement(
        name=name,
        figures=figures,
        warnings=(f"worth little: {EVIL}",),
        rows=tuple(rows),
        material={"generated": {"clips": 5, "seconds": 1.0, "source": EVIL}},
        notes={"speed": {"times_real_time": 7.5, "peak_memory_mb": 321.0, "seconds": 1.0}},
    )
    points = [(float(second), float(np.sin(second))) for second in range(20)]
    return SystemPart(
        judgement=judgement,
        excerpts=[Excerpt(name=EVIL, audio=tone())],
        long_pieces=[
            LongPiece(
                name=EVIL, seconds=20.0, loudness=points, density=points, similarity=np.eye(40)
            )
        ],
        pairs=[
            ClosePair(
                output=Excerpt(name="out.wav", audio=tone()),
                training=Excerpt(name="in.wav", audio=tone()),
                says="similarity 0.99",
                copied=True,
            )
        ],
        originality={"copied": estimate(0.5)},
    )


@pytest.fixture(scope="module")
def report():
    draw = np.random.default_rng(0)
    return Report(
        title=f"Title {EVIL}",
        systems=[system(EVIL, 0.0, draw), system("other", 2.0, draw)],
        reference=[Excerpt(name="real.flac", audio=tone(220.0))],
        command="ritornello report a b",
    )


@pytest.fixture(scope="module")
def text(report):
    return page(report)


class Outline(HTMLParser):
    """Elements with their attributes, and the text outside of style and script."""

    void = frozenset({"meta", "img", "rect", "line", "circle", "polyline"})

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)


@pytest.fixture(scope="module")
def outline(text):
    return Outline(text)


def test_nothing_leads_outside(text, outline):
    addresses = [
        value
        for _, attributes in outline.elements
        for name, value in attributes.items()
        if name in ("href", "src", "srcset", "action", "data", "poster")
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


def test_every_figure_is_in_the_page(report, outline):
    said = " ".join(outline.texts)
    for part in report.systems:
        for figure in part.figures.values():
            assert shown(figure.value) in said
            assert f"{shown(figure.low)} to {shown(figure.high)}" in said


def test_names_are_harmless(outline):
    scripts = [tag for tag, _ in outline.elements if tag == "script"]
    assert len(scripts) == 1  # the page's own
    assert "".join(outline.texts).count(EVIL) >= 8


def test_best_is_marked_only_where_intervals_are_apart(text):
    cards = dict(re.findall(r"<h3>(FAD|KID)</h3>(.*?)</article>", text, re.DOTALL))
    assert cards["FAD"].count(">best<") == 1
    assert page_with_equal_systems().count(">best<") == 0


def page_with_equal_systems():
    draw = np.random.default_rng(0)
    systems = [system("a", 0.0, draw), system("b", 0.1, draw)]
    return page(Report(title="t", systems=systems, reference=[], command="c"))


def test_players_hold_sound_that_decodes(outline):
    players = [attributes for tag, attributes in outline.elements if tag == "audio"]
    assert len(players) == 2 + 4 + 1
    for player in players:
        kind, _, content = player["src"].partition(";base64,")
        assert kind == "data:audio/mpeg"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
        assert rate == RATE
        assert samples.shape[0] == pytest.approx(RATE, abs=3000)
        assert player["aria-label"]
        strongest = np.argmax(np.abs(np.fft.rfft(samples[:, 0]))) * rate / len(samples)
        assert strongest == pytest.approx(
            220 if player["aria-label"] == "real.flac" else 440, abs=3
        )


def test_pictures_say_what_they_show(outline):
    for tag, attributes in outline.elements:
        if tag == "img":
            assert attributes["alt"]
            assert attributes["src"].startswith("data:image/webp;base64,")
        if tag == "svg" and attributes.get("role") == "img":
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col")


def test_the_command_and_the_memory_are_told(outline):
    said = "".join(outline.texts)
    assert "ritornello report a b" in said
    assert "321 MB" in said


def test_players_are_of_one_loudness():
    for gain in (0.02, 1.0):
        quiet = Audio(samples=tone(seconds=2.0).samples * gain, sample_rate=RATE)
        level = pictures.listening_level(quiet)
        assert integrated_loudness(level.samples, RATE) == pytest.approx(-20, abs=0.2)
        assert true_peak_dbfs(level.samples, RATE) < -0.9
    silence = Audio(samples=np.zeros((1, RATE), np.float32), sample_rate=RATE)
    assert not pictures.listening_level(silence).samples.any()


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (22050, 1), (11000, 1), (96000, 2)])
def test_any_rate_becomes_a_player(rate, channels):
    file = pictures.mp3(tone(rate=rate, channels=channels), 96.0)
    info = soundfile.info(io.BytesIO(file))
    assert info.channels == channels
    assert info.duration == pytest.approx(1.0, abs=0.12)


def test_much_audio_is_compressed_more():
    assert pictures.bit_rate_kbps(60.0) == pictures.MOST_KBPS
    assert pictures.bit_rate_kbps(1e5) == pictures.LEAST_KBPS
    total_s = 500.0
    size = pictures.bit_rate_kbps(total_s) * 1000 / 8 * total_s * pictures.BASE64_GROWTH
    assert size == pytest.approx(pictures.AUDIO_BYTES)
    few, many = (len(pictures.mp3(tone(seconds=3.0), kbps)) for kbps in (40.0, 112.0))
    assert few < 0.5 * many


def test_bars_lie_on_a_common_axis():
    one, other = estimate(1.0), estimate(5.0)
    low, high = pictures.axis([one, other])
    assert low < one.low
    assert high > other.high
    bar = pictures.interval_bar(one, other, (low, high), "said")
    at = {key: float(value) for key, value in re.findall(r'(x1|x2|cx|width)="([\d.]+)%"', bar)}
    assert 0 <= at["x1"] < at["cx"] < at["x2"] <= 100
    assert "circle" not in pictures.interval_bar(
        Estimate(value=float("nan"), low=0, high=1, items=1), None, (0.0, 1.0), "said"
    )
    alone = without_interval(3.0, 1)
    dot = pictures.interval_bar(alone, alone, pictures.axis([one, other, alone]), "said")
    assert dot.count("<circle") == 1
    assert "<line" not in dot
    assert "<rect" not in dot
    assert pictures.axis([Estimate(value=0.0, low=0.0, high=0.0, items=1)])[0] < 0


def test_bins_are_shared_and_hold_everything():
    made, real, labels = pictures.binned([1.0, 2.0, 3.0], [10.0, 2.0])
    assert made.sum() == pytest.approx(1)
    assert real.sum() == pytest.approx(1)
    assert (labels[0], labels[-1]) == ("1", "10")
    assert pictures.binned([5.0], [5.0])[0].sum() == 1


def test_a_report_needs_systems_of_different_names(report):
    with pytest.raises(DataError, match="no systems"):
        Report(title="t", systems=[], reference=[], command="c")
    with pytest.raises(DataError, match="same name"):
        Report(title="t", systems=[report.systems[0]] * 2, reference=[], command="c")
    assert told_apart(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


ONE_LINE_HIGH = """
[...document.querySelectorAll('.card td:last-child:not([colspan])')].every(cell => {
  const text = document.createRange();
  text.selectNodeContents(cell);
  return text.getClientRects().length === 1;
})
"""


@pytest.mark.slow
def test_it_fits_a_phone_and_plays_in_a_browser(text, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    import shutil

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no chromium on this machine")
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        shown_page = browser.new_page(viewport={"width": 390, "height": 844})
        shown_page.goto((tmp_path / "report.html").as_uri())
        shown_page.wait_for_function(
            "[...document.querySelectorAll('audio')].every(a => a.duration > 0.9)", timeout=60_000
        )
        assert shown_page.evaluate("document.documentElement.scrollWidth") <= 390
        # No number is broken inside: every count of clips stands on one line.
        assert shown_page.evaluate(ONE_LINE_HIGH)
        images = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
        assert shown_page.evaluate(images)
        shown_page.emulate_media(media="print")
        assert not shown_page.locator("audio").first.is_visible()
        browser.close()
