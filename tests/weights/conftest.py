"""A local server that misbehaves on purpose, and weights that it offers."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.transfer import Patience

CONTENT = np.random.default_rng(0).bytes(700_001)


@pytest.fixture
def content() -> bytes:
    """What the server offers."""
    return CONTENT


@dataclass
class Request:
    """What was asked, and how many bytes of the file went out."""

    path: str
    start: int | None
    sent: int = 0


@dataclass
class Server:
    """Answers each request with the next behaviour of a list; the last one stays."""

    behaviours: list[str] = field(default_factory=lambda: ["ok"])
    content: bytes = CONTENT
    requests: list[Request] = field(default_factory=list)
    half_sent: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    running: Quiet | None = None

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak https from now on."""
        assert self.running is not None
        self.running.socket = context.wrap_socket(self.running.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")


class Handler(http.server.BaseHTTPRequestHandler):
    """One request, answered well or badly."""

    offer: Server

    def log_message(self, *args: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        said = self.headers.get("Range")
        request = Request(
            self.path, None if said is None else int(said.removeprefix("bytes=").removesuffix("-"))
        )
        self.offer.requests.append(request)
        behaviours = self.offer.behaviours
        behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        if behaviour.isdigit():
            self.answer(int(behaviour))
        elif behaviour == "redirect":
            self.answer(302, Location="/elsewhere/weights.pt")
        elif behaviour == "html":
            self.page("text/html; charset=utf-8")
        elif behaviour == "hidden html":
            self.page("application/octet-stream")
        else:
            self.file(request, behaviour)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def page(self, kind: str) -> None:
        page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
        self.answer(200, Content_Type=kind, Content_Length=str(len(page)))
        self.wfile.write(page)

    def file(self, request: Request, behaviour: str) -> None:
        content = self.offer.content
        if behaviour == "wrong":
            content = bytes(len(content))
        if behaviour == "longer":
            content += b"more"
        start = request.start or 0
        headers = {"Content_Type": "application/octet-stream"}
        if request.start is None or "no range" in behaviour:
            start = 0
            self.answer(200, Content_Length=str(len(content)), **headers)
        elif start >= len(content):
            self.answer(416, Content_Range=f"bytes */{len(content)}")
            return
        else:
            if behaviour == "other range":
                start = 0
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(
                206, Content_Length=str(len(content) - start), Content_Range=span, **headers
            )
        body = content[start:]
        half = len(body) // 2
        self.send(request, body[:half])
        self.offer.half_sent.set()
        if "cut" in behaviour:
            self.close_connection = True
            return
        if behaviour in {"stall", "wait"}:
            self.offer.go_on.wait(20)
        if behaviour != "stall":
            self.send(request, body[half:])

    def send(self, request: Request, body: bytes) -> None:
        # counted first: the other side may have read all before this thread goes on
        request.sent += len(body)
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:  # the other side has gone: that is what some tests do
            request.sent -= len(body)
            self.close_connection = True


class Quiet(http.server.ThreadingHTTPServer):
    """Takes no notice of clients that go away."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet."""


def serve(offer: Server) -> Quiet:
    """Start a server on a free port of this machine."""
    offer.running = server = Quiet(("127.0.0.1", 0), type("Bound", (Handler,), {"offer": offer}))
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    offer.url = f"http://127.0.0.1:{server.server_address[1]}/weights.pt"
    return server


@pytest.fixture
def server() -> Iterator[Server]:
    offer = Server()
    running = serve(offer)
    yield offer
    offer.go_on.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, no torch.hub, no proxies, online."""
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("NAPARI_ICLSAM_OFFLINE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "home" / "weights"


@pytest.fixture
def weights(server: Server, home: Path) -> Weights:
    return replace(
        CATALOGUE["mobile_sam"],
        urls=(server.url,),
        filename="weights.pt",
        size=len(CONTENT),
        checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
    )


@pytest.fixture
def hasty() -> Patience:
    return Patience(connect=5, read=5, attempts=3, pause=0)
