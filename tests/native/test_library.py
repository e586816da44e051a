"""The library: found, refused when it is not ours, and missed with one clear line."""

import subprocess
import sys

import numpy as np
import pytest

from ritornello.errors import MissingDependencyError
from ritornello.native import library
from ritornello.native.wavenet import WaveNetKernel
from tests.markdown import ROOT
from tests.native.networks import constant_weights


@pytest.fixture
def forgotten():
    """The library is looked for again in this test, and after it."""
    library.find_library.cache_clear()
    yield
    library.find_library.cache_clear()


@pytest.mark.skipif(not library.available_paths(), reason="the library was not built")
def test_any_processor_has_the_scalar_path():
    assert library.available_paths()[-1] == "scalar"
    assert library.choose_path(None) == library.available_paths()[0]


def test_without_the_library_there_are_no_paths_and_a_clear_error(monkeypatch, forgotten):
    monkeypatch.setattr(library, "EXTENSION_SUFFIXES", [".not-built"])
    assert library.available_paths() == ()
    with pytest.raises(MissingDependencyError, match="C compiler"):
        WaveNetKernel(constant_weights(np.zeros(4)))


@pytest.mark.skipif(not library.available_paths(), reason="the library was not built")
def test_a_library_of_another_version_is_not_used(monkeypatch, forgotten, caplog):
    monkeypatch.setattr(library, "LAYOUT", -1)
    assert library.available_paths() == ()
    assert "another version" in caplog.text


def test_a_file_that_is_no_library_is_not_used(monkeypatch, forgotten, caplog, tmp_path):
    (tmp_path / "_kernels.broken").write_bytes(b"not a library")
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    monkeypatch.setattr(library, "EXTENSION_SUFFIXES", [".broken"])
    assert library.available_paths() == ()
    assert "cannot be used" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "built"), [("cc", True), ("false", False)])
def test_the_package_builds_with_and_without_a_compiler(tmp_path, monkeypatch, compiler, built):
    pytest.importorskip("setuptools")
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("LDSHARED", f"{compiler} -shared")
    command = ["build_ext", "--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path)]
    subprocess.run([sys.executable, "setup.py", "-q", *command], cwd=ROOT, check=True)
    assert bool(list((tmp_path / "lib").rglob("_kernels*"))) == built
