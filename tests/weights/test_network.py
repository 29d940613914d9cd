"""Proxies and certificates of institutions."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from napari_iclsam.weights import download
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.transfer import Patience

if TYPE_CHECKING:
    from tests.weights.conftest import Server


def test_a_proxy_from_the_environment_is_used(
    server: Server,
    weights: Weights,
    hasty: Patience,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/weights.pt"))
    beyond = replace(weights, urls=("http://weights.invalid/weights.pt",))
    assert download.fetch(beyond, patience=hasty).read_bytes() == content
    assert [request.path for request in server.requests] == ["http://weights.invalid/weights.pt"]


@pytest.fixture
def certificate(server: Server, tmp_path: Path) -> Path:
    """Make the server speak https; return the file of its own authority's certificate."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.encrypt(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return tmp_path / "authority.pem"


def test_an_unknown_certificate_is_refused_with_the_way_out(
    server: Server, weights: Weights, hasty: Patience, certificate: Path
) -> None:
    with pytest.raises(
        download.DownloadFailed, match=r"certificate of .* was not accepted .* set SSL_CERT_FILE"
    ):
        download.fetch(replace(weights, urls=(server.url,)), patience=hasty)
    assert server.requests == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_named_in_the_environment_is_trusted(
    variable: str,
    server: Server,
    weights: Weights,
    hasty: Patience,
    certificate: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, str(certificate))
    assert (
        download.fetch(replace(weights, urls=(server.url,)), patience=hasty).read_bytes() == content
    )
