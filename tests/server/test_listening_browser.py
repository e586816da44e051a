"""A whole session in a real browser, by clicks and keys, against the votes that it leaves."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

from ritornello.cli.main import main
from ritornello.server.listening_store import VoteStore

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 30_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium"),
]


@contextmanager
def served(folder, port=0):
    """The address of `ritornello listen serve` in a process of its own."""
    command = [sys.executable, "-m", "ritornello", "listen", "serve", str(folder)]
    command += ["--port", str(port), "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            text = ""
            while not text.endswith("}\n"):
                line = process.stdout.readline()
                assert line, "the server ended before it told its address"
                text += line
            yield json.loads(text)["url"]
        finally:
            process.terminate()
            assert process.wait(20) == 0


@pytest.fixture
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Listener:
    """Somebody in front of the page."""

    def __init__(self, context):
        self.context = context
        self.page = self.open()

    def open(self):
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        return page

    def hear(self, side=0):
        self.page.locator(".play").nth(side).click()
        told = self.page.locator(".told").nth(side)
        told.get_by_text("heard").wait_for()

    def rate(self, scale, score):
        self.page.locator(f"[data-scale={scale}] input[value='{score}']").click()

    def checked(self):
        return {
            one.get_attribute("name"): int(one.get_attribute("value"))
            for one in self.page.locator("input:checked").all()
        }

    def next(self):
        place = self.place()
        self.page.locator(".next").click()
        self.page.wait_for_function(
            "before => !document.querySelector('#saved').textContent.startsWith(before + ' ')",
            arg=str(place),
        )

    def place(self):
        return int(self.page.locator("#saved").text_content().split()[0])

    def wait_until_saved(self):
        self.page.wait_for_function(
            "() => document.querySelector('#saved').textContent.endsWith('saved')"
        )


def votes(folder):
    """{page: {scale: value}} as SQLite has it, and how many listeners there are."""
    with closing(sqlite3.connect(folder / "votes.sqlite")) as database:
        (listeners,) = database.execute("SELECT count(*) FROM listeners").fetchone()
        found = {}
        for page, scale, value in database.execute("SELECT page, scale, value FROM votes"):
            found.setdefault(page, {})[scale] = value
    return found, listeners


def test_a_whole_session(browser, test_folder, capsys):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    ann = Listener(context)
    errors = []
    ann.page.on("pageerror", lambda error: errors.append(str(error)))
    with served(test_folder) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        begin_twice(ann, url)
        rate_by_keys(ann)
        rate_by_clicks_with_a_reload(ann)
        change_an_earlier_answer(ann)
        ann.page.keyboard.press("Enter")
        ann.hear()
    vote_while_the_server_is_away(ann)
    with served(test_folder, port):
        ann.wait_until_saved()
        assert ann.page.locator("#problem").is_hidden()
        ann.next()
        rate_in_two_tabs(ann, url)
        compare(ann)
        ann.page.get_by_text("Thank you").wait_for()
        ann.wait_until_saved()
        assert ann.page.evaluate("document.documentElement.scrollWidth") == 390
        code = ann.page.locator("code").text_content()
        come_back_with_the_code(browser, url, code)
    assert errors == []
    expected = {
        0: {"fidelity": 2, "musicality": 3, "overall": 5},
        1: {"fidelity": 1, "musicality": 2, "overall": 3},
        2: {"fidelity": 4, "musicality": 4, "overall": 4},
        3: {"fidelity": 5, "musicality": 1, "overall": 2},
        4: {"preference": 1},
        5: {"preference": 0},
    }
    assert votes(test_folder) == (expected, 1)
    assert VoteStore(test_folder).progress() == {f"Ann ({code})": (14, 14)}
    assert main(["listen", "results", str(test_folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert sum(figures["overall"]["value"] for figures in result["systems"].values()) == 14


def begin_twice(ann, url):
    """A double click makes one listener."""
    ann.page.goto(url)
    assert ann.page.evaluate("document.documentElement.scrollWidth") == 390
    ann.page.get_by_label("Your name").fill("Ann")
    ann.page.get_by_role("button", name="Begin").dblclick()
    ann.page.locator("[data-scale=overall]").wait_for()
    assert ann.place() == 1


def rate_by_keys(ann):
    """Nothing counts before the clip was heard; then space, digits and enter are enough."""
    keys = ann.page.keyboard
    assert ann.page.locator("fieldset:disabled").count() == 3
    keys.press("3")
    keys.press("Enter")
    assert (ann.place(), ann.checked()) == (1, {})
    keys.press(" ")
    ann.page.locator("fieldset:not(:disabled)").first.wait_for()
    for key in ("4", "3", "5"):
        keys.press(key)
    assert ann.checked() == {"fidelity": 4, "musicality": 3, "overall": 5}
    keys.press("Enter")
    assert ann.place() == 2


def rate_by_clicks_with_a_reload(ann):
    """A double click on a score is one vote; a reload keeps what was heard and said."""
    ann.hear()
    ann.page.locator("[data-scale=fidelity] input[value='1']").dblclick()
    ann.rate("musicality", 5)
    ann.rate("musicality", 2)
    assert ann.page.locator(".next").is_disabled()
    ann.wait_until_saved()
    ann.page.reload()
    ann.page.locator("[data-scale=overall]").wait_for()
    assert ann.place() == 2
    assert ann.checked() == {"fidelity": 1, "musicality": 2}
    assert ann.page.locator(".told").text_content() == "heard"
    ann.rate("overall", 3)


def change_an_earlier_answer(ann):
    ann.page.locator(".back").click()
    assert ann.place() == 1
    assert ann.checked() == {"fidelity": 4, "musicality": 3, "overall": 5}
    ann.rate("fidelity", 2)
    ann.next()
    assert ann.checked() == {"fidelity": 1, "musicality": 2, "overall": 3}


def vote_while_the_server_is_away(ann):
    for scale in ("fidelity", "musicality", "overall"):
        ann.rate(scale, 4)
    ann.page.locator("#problem").get_by_text("Trying again").wait_for()


def rate_in_two_tabs(ann, url):
    """Both tabs are the same listener; what one has said the other shows when it is seen again."""
    first, ann.page = ann.page, ann.open()
    ann.page.goto(url)
    ann.page.locator("[data-scale=overall]").wait_for()
    assert ann.place() == 4
    ann.hear()
    for scale, score in (("fidelity", 5), ("musicality", 1), ("overall", 2)):
        ann.rate(scale, score)
    ann.wait_until_saved()
    ann.page.close()
    ann.page = first
    first.evaluate("window.dispatchEvent(new Event('focus'))")
    first.locator("input:checked").nth(2).wait_for(state="attached")
    assert ann.checked() == {"fidelity": 5, "musicality": 1, "overall": 2}
    ann.next()


def compare(ann):
    """Two pairs, one by clicks and one by keys; the second is first decided otherwise."""
    ann.hear(0)
    assert ann.page.locator("fieldset:disabled").count() == 1
    ann.hear(1)
    ann.page.get_by_label("Your choice: A is better").click()
    ann.next()
    keys = ann.page.keyboard
    for side, key in enumerate("ab"):
        keys.press(key)
        ann.page.locator(".told").nth(side).get_by_text("heard").wait_for()
    keys.press("3")
    keys.press("2")
    keys.press("Enter")


def come_back_with_the_code(browser, url, code):
    """Another browser with the code sees the finished session."""
    other = Listener(browser.new_context())
    other.page.goto(url)
    other.page.get_by_text("Continue with a code").click()
    other.page.get_by_label("The code").fill("aaaaaaaa")
    other.page.get_by_role("button", name="Continue").click()
    other.page.locator("#problem").get_by_text("no listener").wait_for()
    other.page.get_by_label("The code").fill(code.upper())
    other.page.get_by_role("button", name="Continue").click()
    other.page.get_by_text("Thank you").wait_for()
