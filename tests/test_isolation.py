"""The tests reach neither the network nor the settings and caches of whoever runs them."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from pathlib import Path

import pytest


def test_a_test_that_reaches_for_the_network_fails() -> None:
    with pytest.raises(RuntimeError, match=r"'192\.0\.2\.1'"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with socket.socket() as direct, pytest.raises(RuntimeError, match=r"'192\.0\.2\.1'"):
        direct.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match=r"'example\.org'"):
        urllib.request.urlopen("http://example.org/weights.pth", timeout=1)


def test_a_server_on_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_once() -> None:
            server.accept()[0].close()

        answer = threading.Thread(target=answer_once)
        answer.start()
        with socket.create_connection(server.getsockname(), timeout=5) as connection:
            assert connection.recv(1) == b""
        answer.join(timeout=5)


def test_caches_and_settings_are_those_of_this_run() -> None:
    from napari.settings import get_settings

    assert get_settings().config_path is None
    home = Path(os.environ["NAPARI_ICLSAM_HOME"])
    assert home.is_dir()
    assert Path.home() not in home.parents
