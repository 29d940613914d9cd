"""Downloads that are killed, from a server of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

from benchmarks.drill_outcome import Outcome, killed_after
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.download import fetch
from napari_iclsam.weights.entry import Weights

SIZE = 8 << 20
PIECE = 64 << 10

PAUSE = 0.005
"""Seconds between two pieces: a download takes a second or so."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends a file slowly, from where it is asked for."""

    content: bytes
    sent = 0

    def do_GET(self) -> None:
        """Answer a request, perhaps of a part."""
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{SIZE - 1}/{SIZE}")
        self.send_header("Content-Length", str(SIZE - start))
        self.end_headers()
        # the other end is killed in the middle of it
        with contextlib.suppress(ConnectionError):
            self._send_from(start)

    def _send_from(self, start: int) -> None:
        for place in range(start, SIZE, PIECE):
            piece = self.content[place : place + PIECE]
            self.wfile.write(piece)
            type(self).sent += len(piece)
            time.sleep(PAUSE)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def served(content: bytes) -> Iterator[Weights]:
    """Offer a file as weights."""
    Handler.content, Handler.sent = content, 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield replace(
            CATALOGUE["mobile_sam"],
            urls=(f"http://127.0.0.1:{server.server_address[1]}/weights.pt",),
            size=SIZE,
            checksum=f"sha256:{hashlib.sha256(content).hexdigest()}",
        )
    finally:
        server.shutdown()
        server.server_close()


def downloads(trials: int, rng: random.Random) -> Outcome:
    """Kill downloads, each in the middle of what the one before has left."""
    content = rng.randbytes(SIZE)
    whole = broken = lost = finished = 0
    with tempfile.TemporaryDirectory() as place, served(content) as weights:
        target = Path(place) / "weights" / weights.filename
        with mock.patch.dict(os.environ, {"NAPARI_ICLSAM_HOME": place}):
            kept = 0
            for _ in range(trials):
                killed_after(lambda: fetch(weights), rng.uniform(0.05, 0.8))
                if target.exists():
                    is_whole = target.read_bytes() == content
                    whole += is_whole
                    broken += not is_whole
                    target.unlink()
                    kept = 0
                else:
                    now = sum(path.stat().st_size for path in target.parent.glob("*.part*"))
                    lost += now < kept
                    kept = now
            finished = fetch(weights).read_bytes() == content
    share = 100 * Handler.sent / (SIZE * (whole + 1))
    found = (
        f"{whole} files found whole, {broken} broken; what had come was kept {trials - lost} times "
        f"({share:.0f} % of the bytes of {whole + 1} files were sent); the last download "
        f"{'is whole' if finished else 'is BROKEN'}"
    )
    return Outcome("kill: a download", str(trials), found, finished and not broken and not lost)
