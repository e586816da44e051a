"""`ritornello VERB [TARGET] [--flags] [section.key=value ...]`: the table of verbs.

A verb is a module with `run(argv) -> int`, imported only when it is asked for, so that help
answers at once. This file needs the standard library alone.
"""

import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ritornello import __version__
from ritornello.cli.console import UsageError, guarded
from ritornello.config import nearest

VERBS: dict[str, tuple[str, str]] = {
    "generate": ("ritornello.cli.generate", "write a piece of music, or several takes of it"),
    "band": ("ritornello.cli.band", "a whole arrangement from nothing, stem after stem"),
    "stream": ("ritornello.cli.stream", "music without end: to the speakers, a pipe or a file"),
    "train": ("ritornello.cli.train", "train a system on folders of audio; resumes by itself"),
    "tune": ("ritornello.cli.tune", "population based training of one level of a system"),
    "data": ("ritornello.cli.data", "make a dataset, or look at a folder of audio as one"),
    "reconstruct": ("ritornello.cli.reconstruct", "audio through a model's codec and back"),
    "encode": ("ritornello.cli.encode", "audio to latents or codes"),
    "decode": ("ritornello.cli.decode", "latents or codes back to audio"),
    "replay": ("ritornello.cli.replay", "make a generated file again and compare bit for bit"),
    "evaluate": ("ritornello.cli.evaluate", "judge a model or a folder against real music"),
    "originality": ("ritornello.cli.originality", "find what a model copied from its training"),
    "listen": ("ritornello.cli.listen", "a blind listening test: make it, serve it, read it"),
    "report": ("ritornello.cli.report", "models and folders side by side, on one offline page"),
    "explore": ("ritornello.cli.explore", "a page to hear and look through a folder of samples"),
    "reproduce": ("ritornello.cli.reproduce", "make one of the project's own tables again"),
    "models": ("ritornello.cli.models", "list the models in the box, show the card of one"),
    "bench": ("ritornello.cli.bench", "speed, time to first sound and memory of a model"),
    "doctor": ("ritornello.cli.doctor", "what is installed, what is missing, how to get it"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command line; the process's exit code."""
    words = sys.argv[1:] if argv is None else argv
    with _ended_like_interrupted():
        return guarded(lambda: _dispatch(words), as_json="--json" in words)


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP tidy up as Ctrl-C does: no file half written stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if words else 2
    verb, *rest = words
    if verb == "--version":
        print(f"ritornello {__version__}")
        return 0
    if verb not in VERBS:
        raise UsageError(f"there is no verb {verb!r}; {nearest(verb, VERBS)}")
    module, _ = VERBS[verb]
    return importlib.import_module(module).run(rest)


def help_text() -> str:
    """What `ritornello --help` prints."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {summary}" for verb, (_, summary) in VERBS.items())
    return (
        "usage: ritornello VERB [TARGET] [--flags] [section.key=value ...]\n\n"
        "Music as raw audio, on a laptop's CPU.\n\n"
        f"verbs:\n{verbs}\n\n"
        "Every verb has --help (with examples) and --json (result on stdout, logs on stderr).\n"
        "Start here:  ritornello generate -o piano.wav"
    )


if __name__ == "__main__":
    sys.exit(main())
