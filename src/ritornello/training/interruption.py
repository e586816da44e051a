"""Ctrl-C and SIGTERM as a wish to stop, so that a step is always finished and saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody asked the training to stop."""

    def __init__(self) -> None:
        """Nobody has."""
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the wish; a second one stops at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Inside, Ctrl-C and SIGTERM set `asked` instead of stopping the process."""
    interruption = Interruption()
    # Python handles signals in the main thread only; elsewhere nothing arrives here.
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interruption) for number in signals}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
