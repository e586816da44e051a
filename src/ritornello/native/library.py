"""The compiled library: where it is, and which of its paths this processor can take.

A path is the same C compiled for another instruction set: "avx512", "avx2" or "scalar". The library
lies beside this file when the package was installed with a C compiler at hand. It is plain C behind
a C interface, so it is opened with ctypes, whose calls release the interpreter's lock.
"""

import ctypes
import functools
import logging
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from ritornello.errors import ConfigError, MissingDependencyError

LAYOUT = 3
"""RITORNELLO_LAYOUT of csrc/border.h, which the kernels here were written for."""

BUILD = "put a C compiler (gcc or clang) on the PATH and run pip install --force-reinstall again"

log = logging.getLogger(__name__)


@functools.cache
def find_library() -> ctypes.CDLL | None:
    """The library, or None when it was not built, or not for this version of the package."""
    folder = Path(__file__).parent
    for suffix in EXTENSION_SUFFIXES:
        file = folder / f"_kernels{suffix}"
        if file.exists():
            return _open(file)
    return None


def _open(file: Path) -> ctypes.CDLL | None:
    """The library in `file`, unless the system or this package cannot use it."""
    try:
        library = ctypes.CDLL(str(file))
        built_for = library.ritornello_layout()
    except (OSError, AttributeError) as error:
        log.warning("%s cannot be used (%s); to build it anew, %s", file, error, BUILD)
        return None
    if built_for != LAYOUT:
        log.warning("%s is of another version (%d); to build it anew, %s", file, built_for, BUILD)
        return None
    library.ritornello_path_name.restype = ctypes.c_char_p
    for name in ("is_usable", "panel", "byte_offset", "has_half"):
        getattr(library, f"ritornello_path_{name}").argtypes = [ctypes.c_char_p]
    return library


def load_library() -> ctypes.CDLL:
    """The library.

    Raises:
        MissingDependencyError: It was not built.
    """
    library = find_library()
    if library is None:
        raise MissingDependencyError("The compiled step", "the compiled library", BUILD)
    return library


def available_paths() -> tuple[str, ...]:
    """Paths this processor can take, fastest first; () without the library."""
    library = find_library()
    if library is None:
        return ()
    names, index = [], 0
    while (name := library.ritornello_path_name(index)) is not None:
        names.append(name.decode())
        index += 1
    return tuple(n for n in names if library.ritornello_path_is_usable(n.encode()))


def choose_path(path: str | None) -> str:
    """`path`, or the fastest one when it is None.

    Raises:
        ConfigError: This processor has no such path.
        MissingDependencyError: The library was not built.
    """
    load_library()
    paths = available_paths()
    if path is None:
        return paths[0]
    if path not in paths:
        raise ConfigError(f"path is {path!r}; this processor has {', '.join(paths)}")
    return path
