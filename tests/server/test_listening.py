"""Votes and the server: idempotent, persistent, blind, and closed to everybody else."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from ritornello.errors import ConfigError, DataError
from ritornello.server.listening import create_app, is_local, listening_socket, refused
from ritornello.server.listening_plan import load_plan
from ritornello.server.listening_store import LEFT, RIGHT, SCALES, UnknownError, VoteStore
from tests.server.conftest import Client


@pytest.fixture
def client(test_folder):
    return Client(test_folder)


def joined(client, name=""):
    code = client.post("/api/listeners", json={"name": name}).json()["code"]
    return code, client.get(f"/api/listeners/{code}").json()["pages"]


def put(client, code, page, what, **words):
    return client.put(f"/api/listeners/{code}/pages/{page}/{what}", json=words)


def hear(client, code, pages, page):
    for clip in pages[page]["clips"]:
        assert put(client, code, page, "heard", clip=clip, seconds=0.9).status_code == 200


def votes_in(folder):
    with sqlite3.connect(folder / "votes.sqlite") as database:
        rows = database.execute("SELECT page, scale, value FROM votes ORDER BY page, scale")
        found = rows.fetchall()
    database.close()
    return found


def test_a_session_has_ratings_then_pairs_and_names_nobody(client, test_folder):
    code, pages = joined(client, "Ann")
    assert [page["kind"] for page in pages] == ["rate"] * 4 + ["pair"] * 2
    told = client.get("/api/test").text + client.get(f"/api/listeners/{code}").text
    plan = load_plan(test_folder)
    assert not any(name in told for name in (*plan.systems, "wav", "source"))
    assert client.get("/api/test").json()["ratings"] == 4


def test_a_vote_twice_is_one_vote_and_the_last_one_stands(client, test_folder):
    code, pages = joined(client)
    hear(client, code, pages, 0)
    for value in (2, 2, 4):
        assert put(client, code, 0, "vote", scale="fidelity", value=value).status_code == 200
    assert votes_in(test_folder) == [(0, "fidelity", 4)]
    assert client.get(f"/api/listeners/{code}").json()["pages"][0]["votes"] == {"fidelity": 4}


def test_nothing_is_judged_unheard(client, test_folder):
    code, pages = joined(client)
    answer = put(client, code, 0, "vote", scale="fidelity", value=3)
    assert answer.status_code == 422
    assert "listen first" in answer.json()["error"]
    early = put(client, code, 0, "heard", clip=pages[0]["clips"][0], seconds=0.5)
    assert "0.8 s" in early.json()["error"]
    put(client, code, 4, "heard", clip=pages[4]["clips"][0], seconds=1)
    assert put(client, code, 4, "vote", scale="preference", value=1).status_code == 422
    assert votes_in(test_folder) == []


@pytest.mark.parametrize(
    ("page", "words", "status"),
    [
        (0, {"scale": "fidelity", "value": 6}, 422),
        (0, {"scale": "fidelity", "value": 0}, 422),
        (0, {"scale": "fidelity", "value": True}, 422),
        (0, {"scale": "fidelity", "value": "3"}, 422),
        (0, {"scale": "fidelity", "value": 2**70}, 422),
        (0, {"scale": "loudness", "value": 3}, 422),
        (0, {"scale": "preference", "value": 1}, 422),
        (4, {"scale": "fidelity", "value": 3}, 422),
        (4, {"scale": "preference", "value": 2}, 422),
        (0, {"scale": "fidelity"}, 422),
        (0, {"scale": "fidelity", "value": 3, "more": 1}, 422),
        (99, {"scale": "fidelity", "value": 3}, 404),
        (-1, {"scale": "fidelity", "value": 3}, 404),
        (2**63 - 1, {"scale": "fidelity", "value": 3}, 404),
        (2**63, {"scale": "fidelity", "value": 3}, 404),
        (-(10**23), {"scale": "fidelity", "value": 3}, 404),
    ],
)
def test_votes_that_make_no_sense_are_refused(client, test_folder, page, words, status):
    code, pages = joined(client)
    for heard in (0, 4):
        hear(client, code, pages, heard)
    assert put(client, code, page, "vote", **words).status_code == status
    assert votes_in(test_folder) == []


def test_a_folder_that_has_gone_is_said_and_votes_go_on_when_it_is_back(client, test_folder):
    code, pages = joined(client)
    hear(client, code, pages, 0)
    clip = f"/clips/{pages[0]['clips'][0]}.wav"
    away = test_folder.rename(test_folder.with_name("away"))
    for answer in (
        client.get(f"/api/listeners/{code}"),
        client.post("/api/listeners", json={"name": ""}),
        put(client, code, 0, "vote", scale="overall", value=3),
        client.get(clip),
    ):
        assert answer.status_code == 503
        assert "gone" in answer.json()["error"]
    assert not test_folder.exists()
    away.rename(test_folder)
    assert put(client, code, 0, "vote", scale="overall", value=3).status_code == 200
    assert client.get(clip).status_code == 200


def test_votes_that_cannot_be_kept_are_said_and_lost_ones_not_made_anew(client, test_folder):
    code, _ = joined(client)
    with sqlite3.connect(test_folder / "votes.sqlite") as database:
        database.execute("ALTER TABLE listeners RENAME TO lost")
    database.close()
    answer = client.get(f"/api/listeners/{code}")
    assert answer.status_code == 503
    assert "no such table" in answer.json()["error"]
    (test_folder / "votes.sqlite").unlink()
    assert client.get(f"/api/listeners/{code}").status_code == 503
    assert not (test_folder / "votes.sqlite").exists()


def test_monstrous_json_is_refused(client):
    code, pages = joined(client)
    monstrous = put(client, code, 0, "heard", clip=pages[0]["clips"][0], seconds=10**400)
    assert monstrous.status_code == 422
    assert client.post("/api/listeners", content=b"[" * 4000).status_code == 422


def test_strangers_and_foreign_clips_are_unknown(client):
    code, pages = joined(client)
    for wrong in ("aaaaaaaa", "x", "A" * 8, "..%2f..%2fplan"):
        assert client.get(f"/api/listeners/{wrong}").status_code == 404
    foreign = pages[1]["clips"][0]
    assert put(client, code, 0, "heard", clip=foreign, seconds=1).status_code == 404
    assert put(client, code, 0, "heard", clip="volume", seconds=1).status_code == 404


def test_clips_are_served_whole_and_in_parts_and_nothing_else_is(client, test_folder):
    _, pages = joined(client)
    clip = pages[0]["clips"][0]
    whole = client.get(f"/clips/{clip}.wav")
    assert whole.content == (test_folder / "clips" / f"{clip}.wav").read_bytes()
    assert whole.headers["content-type"] == "audio/wav"
    part = client.get(f"/clips/{clip}.wav", headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == whole.content[100:200]
    for path in (
        "/plan.json",
        "/votes.sqlite",
        "/clips/../plan.json",
        "/clips/%2e%2e%2fplan.wav",
        "/clips/..%2f..%2fvotes.sqlite",
        "/clips/00000000.wav",
        "/listening.py",
        "/docs",
        "/openapi.json",
    ):
        assert client.get(path).status_code == 404, path


def test_pages_need_nothing_from_elsewhere(client):
    for path in ("/", "/listening.css", "/listening.js"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert not re.search(r"https?://|//cdn|@import", answer.text)
        assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "origin", "answered"),
    [
        ("127.0.0.1:8765", None, True),
        ("localhost", None, True),
        ("[::1]:8765", "http://[::1]:8765", True),
        ("192.168.1.7:8765", "http://192.168.1.7:8765", True),
        ("evil.example", None, False),
        ("evil.example:8765", "http://evil.example:8765", False),
        ("127.0.0.1:8765", "http://evil.example", False),
        ("127.0.0.1:8765", "http://127.0.0.1:9999", False),
        ("127.0.0.1:8765", "null", False),
        ("", None, False),
    ],
)
def test_only_this_machine_and_its_own_pages_are_answered(host, origin, answered):
    assert (refused(host, origin) is None) == answered


def test_foreign_hosts_and_pages_get_403_and_long_bodies_are_cut(client, test_folder):
    assert client.get("/api/test", headers={"Host": "evil.example"}).status_code == 403
    headers = {"Origin": "http://evil.example"}
    assert client.post("/api/listeners", json={"name": ""}, headers=headers).status_code == 403
    assert client.post("/api/listeners", json={"name": "x" * 9000}).status_code == 422
    assert client.post("/api/listeners", content=b"not json").status_code == 422
    assert VoteStore(test_folder).progress() == {}


def test_a_session_survives_a_restart(test_folder):
    first = Client(test_folder)
    code, pages = joined(first, "Ann")
    hear(first, code, pages, 2)
    put(first, code, 2, "vote", scale="overall", value=5)
    again = Client(test_folder).get(f"/api/listeners/{code}").json()
    assert again["name"] == "Ann"
    assert [page["clips"] for page in again["pages"]] == [page["clips"] for page in pages]
    assert again["pages"][2]["votes"] == {"overall": 5}
    assert again["pages"][2]["heard"] == pages[2]["clips"]


def test_many_join_and_vote_at_once(test_folder):
    store = VoteStore(test_folder)

    def take_part(number):
        code = store.join(f"listener {number}")
        page = store.state(code)["pages"][0]
        store.hear(code, 0, page["clips"][0], 1.0)
        for value in (1, 5, 3):
            store.vote(code, 0, "overall", value)
        return code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(take_part, range(16)))
    assert len(set(codes)) == 16
    assert [rating.score for rating in store.ratings()] == [3] * 16
    assert all(given == 1 and asked == 14 for given, asked in store.progress().values())


def test_votes_come_out_under_the_right_names(test_folder):
    store = VoteStore(test_folder)
    clips = {clip.id: clip for clip in store.plan.clips}
    code = store.join("Ann")
    pages = store.state(code)["pages"]
    for number, page in enumerate(pages):
        for clip in page["clips"]:
            store.hear(code, number, clip, 1.0)
    for number in range(4):
        for score, scale in enumerate(SCALES, start=number % 2 + 1):
            store.vote(code, number, scale, score)
    store.vote(code, 4, "preference", LEFT)
    store.vote(code, 5, "preference", RIGHT)
    assert len(store.ratings()) == 12
    for rating in store.ratings():
        page = next(n for n in range(4) if clips[pages[n]["clips"][0]].system == rating.system)
        assert rating.score == SCALES.index(rating.scale) + page % 2 + 1
        assert rating.position == clips[pages[page]["clips"][0]].position
        assert rating.listener == f"Ann ({code})"
    left, right = store.preferences()
    assert left.winner == clips[pages[4]["clips"][0]].system == left.first
    assert right.winner == clips[pages[5]["clips"][1]].system == right.second


def test_odd_names_and_damaged_files(test_folder, tmp_path):
    store = VoteStore(test_folder)
    assert store.state(store.join("  Zoë <b>  "))["name"] == "Zoë <b>"
    for name in ("x" * 41, "a\nb", "\x00"):
        with pytest.raises(ConfigError, match="printable"):
            store.join(name)
    with pytest.raises(UnknownError, match="no listener"):
        store.state("aaaaaaaa")
    (test_folder / "votes.sqlite").write_bytes(b"not a database" * 100)
    for rest in test_folder.glob("votes.sqlite-*"):
        rest.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        VoteStore(test_folder)
    with pytest.raises(DataError, match="is no listening test"):
        create_app(tmp_path)


def test_sockets():
    with listening_socket("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(DataError, match="give another --port"):
            listening_socket("127.0.0.1", port)
    with pytest.raises(DataError, match=r"cannot listen on 203\.0\.113\.1"):
        listening_socket("203.0.113.1", 0)
    assert is_local("::1")
    assert not is_local("0.0.0.0")
