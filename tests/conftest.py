"""Rules for every test: one thread, checked shapes and types, no network."""

import ipaddress
import socket

from jaxtyping import install_import_hook

# Before the first import of the package: every annotation is checked while tests run.
install_import_hook("ritornello", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

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
