"""Rules for every test: one thread, checked shapes and types, no network."""

import ipaddress
import socket

from jaxtyping import install_import_hook

import tests.typechecking  # noqa: F401 - the hook finds it as an attribute of `tests`

# Before the first import of the package: every annotation is checked while tests run.
install_import_hook("ritornello", "tests.typechecking.checked")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

torch.set_num_threads(1)

# The same examples on every run, and no verdict on how busy the machine is.
settings.register_profile(
    "here", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("here")

real_connect = socket.socket.connect


def connect_locally(self, address):
    if self.family != socket.AF_UNIX and not is_loopback(address[0]):
        raise RuntimeError(f"tests have no network: connection to {address} refused")
    return real_connect(self, address)


def is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    socket.socket.connect = connect_locally
    yield
    socket.socket.connect = real_connect


@pytest.fixture(scope="session")
def nano_model(tmp_path_factory):
    """A model folder of Musika's nano preset whose weights were drawn, not trained."""
    from ritornello.musika.codec import MusikaCodec
    from ritornello.musika.controls import ControlScale
    from ritornello.musika.generate import Musika
    from ritornello.musika.model import Generator, initialise
    from ritornello.musika.presets import nano

    config, init = nano(), torch.Generator().manual_seed(0)
    codec, generator = MusikaCodec.untrained(config), Generator(config.generator)
    for network in (codec.level1, codec.level2, generator):
        initialise(network, init)
    with torch.no_grad():  # quiet enough to be sound, not clipping
        for weight in codec.level1["decoder"].parameters():
            weight.mul_(0.5)
    ranges = {"density": (0.5, 9.0), "loudness": (-40.0, -12.0)}
    scales = {name: ControlScale(low=low, high=high) for name, (low, high) in ranges.items()}
    folder = tmp_path_factory.mktemp("models") / "nano"
    Musika(config, codec, generator, scales).save(folder)
    return folder
