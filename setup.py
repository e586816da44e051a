"""The optional C library; everything else about the package stands in pyproject.toml.

Without a C compiler the build goes on without it, and sampling takes the slower torch path.
"""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = "src/ritornello/native/csrc"
# Products and sums may become one instruction; nothing else that changes results is allowed, and
# no -march: each path names its own instructions, so that a wheel runs on any processor.
FLAGS = ["-std=c99", "-O3", "-ffp-contract=fast", "-Wno-psabi"]

setup(
    ext_modules=[
        Extension(
            "ritornello.native._kernels",
            [f"{SOURCES}/{name}.c" for name in ("library", "scalar", "avx2", "avx512")],
            depends=[str(header) for header in Path(SOURCES).glob("*.h")],
            extra_compile_args=FLAGS,
            optional=True,
        )
    ]
)
