"""The listening test's server: pages, clips and votes, for browsers on this machine.

    GET  /                                      the page; /listening.css and /listening.js
    GET  /api/test                              how long, how many, which scales
    POST /api/listeners {name}                  {code} of a new listener
    GET  /api/listeners/CODE                    pages, what was heard, votes
    PUT  /api/listeners/CODE/pages/N/heard      {clip, seconds}
    PUT  /api/listeners/CODE/pages/N/vote       {scale, value}
    GET  /clips/NAME.wav                        a clip; also in parts, as browsers ask for

A browser is told clips by meaningless names only. Nothing but the three files of the page and the
clips of the plan is served; requests must name this machine as their host, and come from its own
pages, so that no other web page can reach in.
"""

import ipaddress
import json
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.errors import ConfigError, DataError, MissingDependencyError
from ritornello.server.listening_plan import CLIP_FOLDER, VOLUME_CLIP
from ritornello.server.listening_store import (
    CODE,
    LISTENED_SHARE,
    GoneError,
    UnknownError,
    VoteStore,
)

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

PAGES = Path(__file__).parent / "listening_pages"
FILES = {
    "": ("index.html", "text/html"),
    "listening.css": ("listening.css", "text/css"),
    "listening.js": ("listening.js", "text/javascript"),
}
MOST_BYTES = 4096
LOCALHOST = "127.0.0.1"

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(folder: Path) -> "FastAPI":
    """The application that serves the listening test in `folder`.

    Raises:
        MissingDependencyError: The extra `serve` is not installed.
        DataError: There is no test in `folder`.
    """
    try:
        from fastapi import FastAPI, Request, Response
        from fastapi.responses import JSONResponse
    except ImportError as error:
        raise MissingDependencyError(
            "the listening test", "fastapi", 'pip install "ritornello[serve]"'
        ) from error

    store = VoteStore(folder)
    app = FastAPI(title="Listening test", openapi_url=None, docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        refusal = refused(request.headers.get("host", ""), request.headers.get("origin"))
        if refusal:
            return JSONResponse({"error": refusal}, status_code=403)
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    def explained(status: int) -> Callable[[Request, Exception], Response]:
        return lambda request, error: JSONResponse({"error": str(error)}, status_code=status)

    def unavailable(request: Request, error: Exception) -> Response:
        told = f"the votes cannot be read or written now ({error}); nothing was kept, try again"
        return JSONResponse({"error": told}, status_code=503)

    app.add_exception_handler(UnknownError, explained(404))
    app.add_exception_handler(ConfigError, explained(422))
    app.add_exception_handler(GoneError, explained(503))
    app.add_exception_handler(sqlite3.OperationalError, unavailable)
    _add_pages(app, store)
    _add_votes(app, store)
    return app


def _add_pages(app: "FastAPI", store: VoteStore) -> None:
    """What is only read: the page, the test's outline, the clips."""
    from fastapi import Response
    from fastapi.responses import FileResponse

    names = {VOLUME_CLIP, *(clip.id for clip in store.plan.clips)}

    def page(name: str) -> Callable[[], Response]:
        file, kind = FILES[name]
        return lambda: FileResponse(PAGES / file, media_type=kind)

    for name in FILES:
        app.add_api_route(f"/{name}", page(name), methods=["GET"], response_model=None)

    @app.get("/api/test")
    def outline() -> dict[str, Any]:
        plan = store.plan
        return {
            "id": plan.id,
            "seconds": plan.seconds,
            "listened_share": LISTENED_SHARE,
            "ratings": plan.per_listener * len(plan.systems),
            "pairs": plan.pairs,
        }

    @app.get("/clips/{name}.wav", response_model=None)
    def clip(name: str) -> Response:
        if name not in names:
            raise UnknownError(f"there is no clip {name!r}")
        path = store.folder / CLIP_FOLDER / f"{name}.wav"
        if not path.is_file():
            raise GoneError(f"the clip {name} has gone from the test's folder: put it back")
        return FileResponse(path, media_type="audio/wav")


def _add_votes(app: "FastAPI", store: VoteStore) -> None:
    """What is written: listeners, what they heard, their votes."""
    from fastapi import Request
    from fastapi.concurrency import run_in_threadpool

    at_page = "/api/listeners/{code}/pages/{page}"

    @app.post("/api/listeners", status_code=201)
    async def join(request: Request) -> dict[str, str]:
        words = await _words(request, name=str)
        return {"code": await run_in_threadpool(store.join, words["name"])}

    @app.get("/api/listeners/{code}")
    def state(code: str) -> dict[str, Any]:
        return store.state(_code(code))

    @app.put(at_page + "/heard")
    async def heard(request: Request, code: str, page: int) -> dict[str, bool]:
        words = await _words(request, clip=str, seconds=float)
        await run_in_threadpool(store.hear, _code(code), page, words["clip"], words["seconds"])
        return {"kept": True}

    @app.put(at_page + "/vote")
    async def vote(request: Request, code: str, page: int) -> dict[str, bool]:
        words = await _words(request, scale=str, value=int)
        await run_in_threadpool(store.vote, _code(code), page, words["scale"], words["value"])
        return {"kept": True}


def refused(host: str, origin: str | None) -> str | None:
    """Why a request with these headers is not answered; None if it is.

    A numeric address cannot be the name that a foreign page has redirected here (DNS rebinding),
    nor can this machine's own names; an origin, where a browser sends one, must be this server.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        ipaddress.ip_address(name.strip("[]"))
        known = True
    except ValueError:
        known = name.lower() in {"localhost", socket.gethostname().lower()}
    if not known:
        return f"got a request for the host {host!r}; expected this machine's address"
    if origin is not None and origin.partition("://")[2] != host:
        return f"got a request from the page {origin!r}; expected the test's own page"
    return None


async def _words(request: "Request", **kinds: type) -> dict[str, Any]:
    """The request's JSON object, which has exactly the fields of `kinds`; ConfigError otherwise."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ConfigError(f"got more than {MOST_BYTES} bytes; expected a short JSON object")

    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, dict) or set(words) != set(kinds):
        raise ConfigError(f"expected a JSON object with {', '.join(kinds)}")
    for name, kind in kinds.items():
        if kind is float and type(words[name]) is int and words[name].bit_length() < 64:
            words[name] = float(words[name])
        if type(words[name]) is not kind:
            raise ConfigError(f"{name} is {words[name]!r}; expected {kind.__name__}")
    return words


def _code(code: str) -> str:
    if not CODE.fullmatch(code):
        raise UnknownError(f"got the code {code[:20]!r}; expected eight letters and digits")
    return code


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket on which browsers may knock already; port 0 takes a free one.

    Raises:
        DataError: The address is not this machine's, or the port is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise DataError(f"cannot listen on {host}: {error}; try {LOCALHOST}") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen()  # before the address is told: who comes early waits
    except OSError as error:
        bound.close()
        raise DataError(
            f"cannot listen on {host} port {port}: {error.strerror}; give another --port, or 0 for "
            "a free one"
        ) from error
    return bound


def serve(app: "FastAPI", bound: socket.socket) -> None:
    """Answer on `bound` until interrupted."""
    try:
        import uvicorn
    except ImportError as error:
        raise MissingDependencyError(
            "the listening test", "uvicorn", 'pip install "ritornello[serve]"'
        ) from error

    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[bound])
