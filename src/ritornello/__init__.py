"""Ritornello: music as raw audio, four published systems on one foundation.

    import ritornello

    piano = ritornello.load("piano")
    audio = piano.generate(ritornello.Request(seconds=30, seed=0))

Names are imported when first used, so that `import ritornello` itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ritornello.interfaces import Audio, Request, Section
    from ritornello.loading import load

__version__ = "0.1.0"
__all__ = ["Audio", "Request", "Section", "__version__", "load"]

_HOME = {
    "Audio": "ritornello.interfaces",
    "Request": "ritornello.interfaces",
    "Section": "ritornello.interfaces",
    "load": "ritornello.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'ritornello' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)
