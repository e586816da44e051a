"""Every module imports; the package itself costs nothing to import."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import ritornello

NO_MODULES = {
    "ritornello.__main__",  # runs the command line
    "ritornello.native._kernels",  # a plain C library, opened with ctypes
}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ritornello.__path__, "ritornello.")
    if module.name not in NO_MODULES
)
TORCH_FREE = ["ritornello", "ritornello.cli.main", "ritornello.config", "ritornello.systems"] + [
    name for name in MODULES if name.startswith("ritornello.cli.")
]


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name):
    assert importlib.import_module(name).__doc__


def test_torch_free_modules_stay_torch_free():
    code = (
        f"import sys; [__import__(name) for name in {TORCH_FREE}];"
        "sys.exit(', '.join({'torch', 'numpy', 'rich', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_lazy_and_listed():
    assert set(ritornello.__all__) <= set(dir(ritornello))
    assert ritornello.Request(seconds=1.0).seed == 0
    assert ritornello.Audio.__module__ == "ritornello.interfaces"
    assert callable(ritornello.load)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = ritornello.lod
