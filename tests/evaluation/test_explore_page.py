"""The page: every sample in it, nothing outside it, harmless names; and a browser that uses it."""

import base64
import io
import re
import shutil
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import soundfile

from ritornello.errors import DataError
from ritornello.evaluation.explore import Sample, gather
from ritornello.evaluation.explore_map import LAYOUTS, LabelTable
from ritornello.evaluation.explore_page import PagePlan, write_page
from ritornello.evaluation.explore_sound import (
    BANDS,
    COLUMNS,
    embedded,
    linked_from,
    picture,
    spectrogram,
)
from tests.evaluation.explored import EVIL, LYRICS, RATE, Outline, write_samples, write_tone

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TABLE = LabelTable(
    facet="artist",
    names=("unknown", "bach", "dvorak", EVIL),
    rows=np.eye(4, 6) * [[1], [2], [3], [4]],
)


def hear(sample):
    """The strongest frequency and its octave: a place by ear, but none of the song's."""
    if sample.id == "song.wav":
        return None
    samples, rate = soundfile.read(sample.path)
    hz = np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples)
    return np.array([hz / 1000, np.log2(hz), 1.0])


def written(folder, out, **more):
    plan = PagePlan(title=EVIL, address=linked_from(out), hear=hear, tables=[TABLE])
    explored = write_page(out, folder, PagePlan(**{**vars(plan), **more}))
    return explored, out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder, what came of it, and the page's text; the page lies beside the folder."""
    path = tmp_path_factory.mktemp("page")
    write_samples(path / "my samples")
    folder = gather(path / "my samples")
    return (folder, *written(folder, path / "page.html"))


@pytest.fixture(scope="module")
def outline(made):
    return Outline(made[2])


def test_every_sample_has_a_card_with_picture_and_link(made, outline, tmp_path_factory):
    folder, explored, _ = made
    cards = outline.all("article", **{"class": "sample"})
    assert [int(card["data-number"]) for card in cards] == list(range(5))
    pictures = [image["src"] for image in outline.all("img")]
    links = [link["href"] for link in outline.all("a", **{"class": "address"})]
    assert len(pictures) == len(links) == 5
    assert len(set(pictures)) >= 4
    for sample, link in zip(folder.samples, links, strict=True):
        assert not urlsplit(link).scheme
        assert (folder.path.parent / unquote(link)).samefile(sample.path)
    assert explored.shown == list(folder.samples)


def test_the_data_say_what_is_known(made, outline):
    folder, _, _ = made
    data = outline.data()
    assert [row["id"] for row in data["samples"]] == [sample.id for sample in folder.samples]
    assert list(data["facets"]) == ["artist", "genre", "model", "seed", "mood", "folder"]
    for row, sample in zip(data["samples"], folder.samples, strict=True):
        assert row["facets"] == {facet: list(values) for facet, values in sample.facets.items()}
        assert row["title"] == sample.title


def test_nothing_leads_outside(made, outline):
    addresses = [
        value
        for _, attributes in outline.elements
        for name, value in attributes.items()
        if name in ("href", "src", "srcset", "action", "poster")
    ]
    assert all(address.startswith(("data:image/webp;base64,", "./")) for address in addresses)
    assert not re.search(r"https?://|url\(|@import", made[2])
    assert "default-src 'none'" in made[2]


def test_names_are_harmless(outline):
    assert len(outline.all("script")) == 2
    assert outline.text_in("h1") == [EVIL]
    assert outline.text_in("a", **{"class": "address"})[1] == EVIL
    assert EVIL in outline.text_in("title")
    assert "b" not in {tag for tag, attributes in outline.elements if attributes}


def test_lyrics_stand_in_spans_with_their_times(outline):
    spans = [each for each in outline.all("span") if "data-from" in each]
    assert [(float(each["data-from"]), float(each["data-to"])) for each in spans] == [
        (one["start_s"], one["end_s"]) for one in LYRICS["sung"]
    ]
    sung = [outline.text_in("span", **each)[0] for each in spans]
    assert sung == ["Twin", "kle", "été"]


def test_what_is_left_out_is_listed(outline):
    said = "".join(text for _, text in outline.texts)
    assert "Files that are not shown: 1" in said
    assert "broken.flac" in said
    assert "Side-cars that are not read: 1" in said


def test_maps_have_a_point_for_all_that_was_heard(made, outline):
    _, explored, _ = made
    points = [each for each in outline.all("circle") if "data-number" in each]
    assert [int(point["data-number"]) for point in points] == [0, 2, 3, 4]
    assert explored.unmapped == ["song.wav"]
    at = {
        int(each["data-number"]): np.array([float(each["cx"]), float(each["cy"])])
        for each in points
    }
    bach, other_bach, chopin = at[2], at[3], at[4]
    assert np.linalg.norm(bach - other_bach) < 0.2 * np.linalg.norm(bach - chopin)
    names = [each["data-value"] for each in outline.all("g", **{"class": "label"})]
    assert names == list(TABLE.names)


def test_two_points_make_no_map(tmp_path):
    for name in "ab":
        write_tone(tmp_path / f"{name}.wav", 400)
    _, text = written(gather(tmp_path), tmp_path / "page.html", tables=())
    assert "<figure" not in text


def test_a_file_that_breaks_off_has_no_card_and_a_reason(tmp_path):
    write_samples(tmp_path)
    file = tmp_path / "cut.flac"
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 4 * RATE), RATE)
    file.write_bytes(file.read_bytes()[:40_000])
    explored, text = written(gather(tmp_path), tmp_path / "page.html", hear=None)
    assert [each.name for each in explored.refused] == ["broken.flac", "cut.flac"]
    assert "truncated" in explored.refused[1].reason
    numbers = [int(card["data-number"]) for card in Outline(text).all("article")]
    assert numbers == list(range(5))


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    write_tone(tmp_path / "samples/a.wav", 400)
    out = tmp_path / "page.html"
    out.write_text("old")
    folder = gather(tmp_path / "samples")

    def fail(sample):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_page(out, folder, PagePlan(title="t", address=fail))
    (tmp_path / "samples/a.wav").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"Left out: a\.wav"):
        write_page(out, folder, PagePlan(title="t", address=linked_from(out)))
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"samples", "page.html"}


def test_too_many_for_the_layout_is_said_before_any_is_read(tmp_path):
    write_tone(tmp_path / "a.wav", 400)
    folder = gather(tmp_path)
    many = type(folder)(path=folder.path, samples=folder.samples * 2001)
    plan = PagePlan(title="t", address=linked_from(tmp_path), hear=hear, layout=LAYOUTS["tsne"])
    with pytest.raises(DataError, match="got 2001"):
        write_page(tmp_path / "page.html", many, plan)


def test_the_embedded_sound_is_the_sample(tmp_path):
    write_tone(tmp_path / "a.wav", 440, seconds=2.0)
    folder = gather(tmp_path)
    _, text = written(folder, tmp_path / "page.html", address=embedded(folder.samples))
    (link,) = Outline(text).all("a")
    kind, _, content = link["href"].partition(";base64,")
    assert kind == "data:audio/mpeg"
    assert "download" in link
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples) == pytest.approx(
        440, abs=3
    )


def test_hours_are_not_embedded():
    hour = [Sample(id="a.wav", path=Path("a.wav"), title="a", duration_s=3600.0)]
    with pytest.raises(DataError, match="60 minutes; a page holds 30"):
        embedded(hour)


def test_the_spectrogram_shows_when_and_where_the_sound_is(tmp_path):
    silence = np.zeros(RATE)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "a.wav", np.concatenate([silence, tone, silence]), RATE)
    (sample,) = gather(tmp_path).samples
    levels_db = spectrogram(sample)
    bands, columns = levels_db.shape
    assert bands == BANDS
    assert abs(columns - 3.0 / 0.02) <= 1  # columns are not shorter than the ear's grain
    loud = np.flatnonzero(levels_db.max(axis=0) > -20) / columns
    assert loud.min() == pytest.approx(1 / 3, abs=0.02)
    assert loud.max() == pytest.approx(2 / 3, abs=0.02)
    mel = np.log10(1 + np.array([30, 1000, RATE / 2]) / 700)
    band = (mel[1] - mel[0]) / (mel[2] - mel[0]) * BANDS
    assert levels_db[:, columns // 2].argmax() == pytest.approx(band, abs=2)
    assert picture(sample).startswith("data:image/webp;base64,")


def test_long_samples_have_no_wider_pictures(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(30 * 8000), 8000)
    (sample,) = gather(tmp_path).samples
    assert abs(spectrogram(sample).shape[1] - COLUMNS) <= 1


# ---- in a browser ----------------------------------------------------------------------------


class Visitor:
    """Somebody in front of the page."""

    def __init__(self, page):
        self.page = page
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def see(self, expression):
        return self.page.evaluate(expression)

    def until(self, expression, patience_s=30):
        # The page's own policy forbids the polling inside the page that playwright has for it.
        end = time.monotonic() + patience_s
        while not self.see(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(30)

    def titles(self):
        # Of what is below the window, which a browser need not have laid out, too.
        return self.page.locator(".sample:visible .address").all_text_contents()

    def current(self):
        return self.see("document.querySelector('.sample.current')?.dataset.number")

    def lit(self):
        return self.see("[...document.querySelectorAll('.lyrics .now')].map(e => e.textContent)")

    def fills(self):
        points = "[...document.querySelectorAll('#map-samples circle')]"
        return dict(self.see(f"{points}.map(each => [each.dataset.number, each.style.fill])"))

    def at(self, seconds):
        self.see(f"document.querySelector('audio').currentTime = {seconds}")


@pytest.fixture(scope="module")
def long_page(tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "it's 100% #1"
    write_samples(path / "samples", seconds=3.0)
    folder = gather(path / "samples")
    written(folder, path / "page.html")
    written(folder, path / "embedded.html", address=embedded(folder.samples))
    return path


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs the program chromium")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(params=["page.html"])
def visitor(request, browser, long_page):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((long_page / request.param).as_uri())
    someone = Visitor(page)
    yield someone
    assert someone.errors == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("visitor", ["page.html", "embedded.html"], indirect=True)
def test_a_player_plays_and_stops(visitor):
    visitor.page.locator("#sample-3 .play").click()
    visitor.until("document.querySelector('audio').currentTime > 0.1")
    assert visitor.current() == "3"
    assert "playing" in visitor.page.locator("#sample-3").get_attribute("class")
    assert visitor.see("document.querySelector('audio').duration") == pytest.approx(3, abs=0.15)
    visitor.page.keyboard.press("Space")
    visitor.until("document.querySelector('audio').paused")
    assert visitor.page.locator("#playing").inner_text() == "bach-1"


@pytest.mark.slow
def test_filters_search_and_order(visitor):
    assert len(visitor.titles()) == 5
    visitor.page.locator("select[name=artist]").select_option("bach")
    assert visitor.titles() == ["bach-0", "bach-1"]
    visitor.page.locator("select[name=seed]").select_option("1")
    assert visitor.titles() == ["bach-1"]
    assert visitor.page.locator("#count").inner_text() == "1 of 5"
    assert visitor.page.locator("#map-samples circle.aside").count() == 3
    visitor.page.locator("button[type=reset]").click()
    visitor.until("document.querySelectorAll('.sample:not([hidden])').length === 5")
    visitor.page.locator("#search").fill("DVORAK ete")
    assert visitor.titles() == [EVIL]
    visitor.page.locator("#search").fill("")
    visitor.page.locator("#sort").select_option("seed")
    assert visitor.titles()[:3] == ["bach-0", "chopin-0", "bach-1"]


@pytest.mark.slow
def test_keys_move_and_play(visitor):
    visitor.page.keyboard.press("ArrowDown")
    assert visitor.current() == "0"
    for _ in range(2):
        visitor.page.keyboard.press("ArrowRight")
    assert visitor.current() == "2"
    visitor.page.keyboard.press("ArrowUp")
    assert visitor.current() == "1"
    visitor.page.keyboard.press("Space")
    visitor.until("!document.querySelector('audio').paused")
    visitor.page.keyboard.press("ArrowDown")  # the next one goes on playing
    visitor.until("document.querySelector('audio').currentTime > 0.1")
    assert visitor.current() == "2"
    visitor.page.locator("#search").focus()
    visitor.page.keyboard.type("a b")
    assert visitor.page.locator("#search").input_value() == "a b"


@pytest.mark.slow
def test_a_point_of_the_map_is_its_sample(visitor):
    visitor.page.locator("#map-samples circle[data-number='4']").click()
    visitor.until("document.querySelector('audio').currentTime > 0.1")
    assert visitor.current() == "4"
    assert "current" in visitor.page.locator("circle[data-number='4']").get_attribute("class")
    fills = visitor.fills()
    assert fills["2"] == fills["3"] != fills["4"]
    visitor.page.locator("#colours select").select_option("seed")
    fills = visitor.fills()
    assert fills["2"] == fills["4"] != fills["3"]
    visitor.page.locator(".label[data-value=dvorak] circle").click()
    assert visitor.titles() == [EVIL]


@pytest.mark.slow
def test_lyrics_light_up_as_time_passes(visitor):
    visitor.page.locator("#sample-1 .picture").click(position={"x": 2, "y": 10})
    visitor.until("document.querySelector('audio').duration > 2")
    visitor.see("document.querySelector('audio').pause()")
    for seconds, lit, sung in (
        (0.1, [], 0),
        (0.7, ["Twin"], 0),
        (1.2, ["kle"], 1),
        (2.0, ["été"], 2),
        (2.8, [], 3),
    ):
        visitor.at(seconds)
        visitor.until("!document.querySelector('audio').seeking")
        visitor.until(f"document.querySelectorAll('.lyrics .sung').length === {sung}")
        visitor.until(f"document.querySelectorAll('.lyrics .now').length === {len(lit)}")
        assert visitor.lit() == lit
    head = visitor.see("parseFloat(document.querySelector('.current .head').style.left)")
    assert head == pytest.approx(100 * 2.8 / 3, abs=1)
    visitor.at(0)
    visitor.see("document.querySelector('audio').play()")
    visitor.until("document.querySelector('.lyrics .now')?.textContent === 'Twin'")
    visitor.until("document.querySelector('.lyrics .now')?.textContent === 'kle'")


@pytest.mark.slow
def test_it_fits_a_phone_and_paper(visitor):
    assert visitor.see("document.documentElement.scrollWidth") <= 390
    assert visitor.page.locator("#player").is_hidden()
    # Maps come first on a phone, though they stand last in the file.
    tops = [visitor.page.locator(name).bounding_box()["y"] for name in ("#maps", "#cards")]
    assert tops[0] < tops[1]
    visitor.page.locator("#sample-0 .play").click()
    visitor.page.emulate_media(media="print")
    for hidden in ("#controls", "#player", "#sample-0 .play"):
        assert visitor.page.locator(hidden).is_hidden()
    assert visitor.page.locator("#sample-4 img").is_visible()


@pytest.mark.slow
def test_a_file_that_is_gone_is_said(visitor, long_page):
    kept = (long_page / "samples/song.wav").rename(long_page / "kept.wav")
    try:
        visitor.page.locator("#sample-1 .play").click()
        visitor.until("document.querySelector('#playing').textContent.includes('the file is gone')")
    finally:
        kept.rename(long_page / "samples/song.wav")
