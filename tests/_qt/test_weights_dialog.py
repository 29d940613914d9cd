"""The dialog that fetches weights, in a real event loop."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from napari_iclsam._qt.dialogs import weights_dialog
from napari_iclsam._qt.dialogs.weights_dialog import WeightsDialog, obtain, readable
from napari_iclsam.weights import folders
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.download import DownloadCancelled
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.transfer import Transfer

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

CONTENT = bytes(range(256)) * 2000


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weights]:
    """Weights that a server on this machine offers."""
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("NAPARI_ICLSAM_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "offer").mkdir()
    (tmp_path / "offer" / "weights.pt").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(tmp_path / "offer"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        yield replace(
            CATALOGUE["medsam_vit_b"],
            urls=(f"http://127.0.0.1:{server.server_address[1]}/weights.pt",),
            filename="weights.pt",
            size=len(CONTENT),
            checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
        )
        server.shutdown()


class Held:
    """A download at half that goes on until it is let go or stopped."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.was_stopped = threading.Event()

    def __call__(self, weights: Weights, *, on_progress: Any, cancelled: Any) -> Path:
        on_progress(Transfer("downloading", 256_000, 512_000))
        while not self.let_go.wait(0.01):
            if cancelled():
                self.was_stopped.set()
                raise DownloadCancelled
        return Path("weights.pt")


@pytest.fixture
def held() -> Iterator[Held]:
    download = Held()
    yield download
    download.let_go.set()


def shown(dialog: WeightsDialog, qtbot: QtBot) -> WeightsDialog:
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitExposed(dialog)
    return dialog


def words(dialog: WeightsDialog) -> str:
    labels = dialog.findChildren(weights_dialog.QLabel)
    return "\n".join(label.text() for label in labels)


def test_license_size_and_citation_stand_there_before_anything_is_fetched(
    weights: Weights, qtbot: QtBot
) -> None:
    dialog = shown(WeightsDialog(weights), qtbot)
    for part in (
        "Apache-2.0",
        weights.license_url,
        "512 kB from 127.0.0.1",
        "s41467-024-44824-z",
        "medsam_vit_b",
    ):
        assert part in words(dialog)
    assert dialog.download_button.isEnabled()
    assert not dialog.bar.isVisible()
    assert not folders.weights_folder().exists()


def test_a_click_downloads_checks_and_closes(weights: Weights, qtbot: QtBot) -> None:
    dialog = shown(WeightsDialog(weights), qtbot)
    with qtbot.waitSignal(dialog.accepted):
        dialog.download_button.click()
    assert dialog.path == folders.weights_folder() / "weights.pt"
    assert dialog.path.read_bytes() == CONTENT


def test_research_only_weights_wait_for_a_tick(weights: Weights, qtbot: QtBot) -> None:
    dialog = shown(WeightsDialog(replace(weights, research_only=True)), qtbot)
    assert "research only" in dialog.accepted_license.text()
    assert dialog.accepted_license.isVisible()
    assert not dialog.download_button.isEnabled()
    assert not dialog.file_button.isEnabled()
    assert "research only" in dialog.download_button.toolTip()
    dialog.accepted_license.click()
    assert dialog.download_button.isEnabled()
    assert dialog.file_button.isEnabled()


def test_progress_is_shown_while_the_window_stays_alive(
    weights: Weights, qtbot: QtBot, held: Held
) -> None:
    dialog = shown(WeightsDialog(weights, fetch=held), qtbot)
    dialog.download_button.click()
    qtbot.waitUntil(lambda: dialog.bar.value() == 500)
    assert dialog.bar.isVisible()
    assert "256 kB of 512 kB" in dialog.message.text()
    assert not dialog.download_button.isEnabled()
    with qtbot.waitSignal(dialog.accepted):
        held.let_go.set()


def test_stop_keeps_the_dialog_open_to_go_on(weights: Weights, qtbot: QtBot, held: Held) -> None:
    dialog = shown(WeightsDialog(weights, fetch=held), qtbot)
    dialog.download_button.click()
    qtbot.waitUntil(lambda: dialog.bar.value() == 500)
    assert dialog.cancel_button.text() == "Stop"
    dialog.cancel_button.click()
    qtbot.waitUntil(lambda: "Stopped" in dialog.message.text())
    assert dialog.isVisible()
    assert dialog.download_button.isEnabled()
    with qtbot.waitSignal(dialog.rejected):
        dialog.cancel_button.click()


def test_an_unfinished_download_is_offered_to_go_on(weights: Weights, qtbot: QtBot) -> None:
    folders.weights_folder().mkdir(parents=True)
    folders.partial(weights).write_bytes(CONTENT[:1000])
    dialog = shown(WeightsDialog(weights), qtbot)
    assert dialog.download_button.text() == "Go on downloading"
    with qtbot.waitSignal(dialog.accepted):
        dialog.download_button.click()


@pytest.mark.parametrize("how", ["close", "reject"])
def test_closing_the_window_stops_the_download(
    how: str, weights: Weights, qtbot: QtBot, held: Held
) -> None:
    dialog = shown(WeightsDialog(weights, fetch=held), qtbot)
    dialog.download_button.click()
    with qtbot.waitSignal(dialog.finished):
        getattr(dialog, how)()
    assert held.was_stopped.wait(5)
    assert dialog.path is None


def test_a_failure_is_a_sentence_and_can_be_tried_again(weights: Weights, qtbot: QtBot) -> None:
    dialog = shown(WeightsDialog(replace(weights, urls=(weights.urls[0] + ".gone",))), qtbot)
    dialog.download_button.click()
    qtbot.waitUntil(lambda: "HTTP 404" in dialog.message.text())
    assert "To install it manually: get weights.pt from" in dialog.message.text()
    assert dialog.isVisible()
    assert dialog.download_button.isEnabled()
    assert dialog.path is None


def test_a_manual_install_is_checked_and_copied(
    weights: Weights, qtbot: QtBot, tmp_path: Path
) -> None:
    dialog = shown(WeightsDialog(weights), qtbot)
    (tmp_path / "page.pt").write_bytes(b"<html>")
    dialog.install_from(tmp_path / "page.pt")
    qtbot.waitUntil(lambda: "it is a web page" in dialog.message.text())
    (tmp_path / "brought.pt").write_bytes(CONTENT)
    with qtbot.waitSignal(dialog.accepted):
        dialog.install_from(tmp_path / "brought.pt")
    assert dialog.path == folders.weights_folder() / "weights.pt"


def test_choosing_no_file_changes_nothing(
    weights: Weights, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_dialog.QFileDialog, "getOpenFileName", lambda *args: ("", ""))
    dialog = shown(WeightsDialog(weights), qtbot)
    dialog.file_button.click()
    assert dialog.download_button.isEnabled()
    assert dialog.message.text() == ""


def test_offline_only_a_file_can_be_used(
    weights: Weights, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_OFFLINE", "1")
    dialog = shown(WeightsDialog(weights), qtbot)
    assert not dialog.download_button.isEnabled()
    assert "NAPARI_ICLSAM_OFFLINE" in dialog.download_button.toolTip()
    assert dialog.file_button.isEnabled()


def test_only_missing_weights_are_offered(
    weights: Weights, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        WeightsDialog, "exec", lambda self: asked.append(self.weights.filename) or 0
    )
    folders.weights_folder().mkdir(parents=True)
    (folders.weights_folder() / "weights.pt").write_bytes(CONTENT)
    assert obtain([weights])
    assert asked == []
    assert not obtain(
        [weights, replace(weights, filename="other.pt"), replace(weights, filename="third.pt")]
    )
    assert asked == ["other.pt"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (512_000, "512 kB"),
        (40_728_226, "40.7 MB"),
        (375_042_383, "375 MB"),
        (2_564_550_879, "2.56 GB"),
    ],
    ids=str,
)
def test_bytes_are_written_as_people_write_them(count: int, text: str) -> None:
    assert readable(count) == text
