"""What every test stands on: no network, no home folder, settings of nobody."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

os.environ["NAPARI_CONFIG"] = (
    ""  # before napari is imported: its settings are then kept in memory only
)
os.environ["MPLBACKEND"] = "Agg"

HOME = tempfile.mkdtemp(prefix="napari-iclsam-tests-")
os.environ["NAPARI_ICLSAM_HOME"] = (
    HOME  # before napari_iclsam is imported: caches and weights of this run
)


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the user one whom the system does not know: no HOME, no entry in passwd."""
    for name in list(os.environ):
        if name in ("HOME", "USERPROFILE", "NAPARI_ICLSAM_HOME", "TORCH_HOME") or "XDG" in name:
            monkeypatch.delenv(name)
    # expanduser leaves "~" as it is where it finds nobody
    monkeypatch.setattr("os.path.expanduser", str)


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Let Python's sockets reach this machine and nothing else."""

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        def reach(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                check(address[0])
            return method(self, address)

        return reach

    def getaddrinfo(
        host: Any, *args: Any, resolve: Callable[..., Any] = socket.getaddrinfo, **kwargs: Any
    ) -> Any:
        check(host)
        return resolve(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(scope="session")
def own_address() -> Iterator[None]:
    """Let dask take this machine's own address, which it would ask the network for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed.utils._get_ip", lambda *args, **kwargs: "127.0.0.1")
        yield


def check(host: str | bytes | None) -> None:
    """Raise unless the host is this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    try:
        address = ipaddress.ip_address(str(name))
        # A server that listens to all addresses reaches nobody.
        here = address.is_loopback or address.is_unspecified
    except ValueError:
        here = False
    if not here:
        raise RuntimeError(f"A test may not use the network: it wanted to reach {name!r}.")
