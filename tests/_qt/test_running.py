"""While a run is on: cancel, another run, layers that change or vanish, windows that close."""

from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest

from napari_iclsam._qt.background.process_state import without_garbage_collection
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.run.segmenter_store import SegmenterStore
from napari_iclsam._qt.run.session import Session
from napari_iclsam.core.networks import Networks
from napari_iclsam.core.segmenter import ICLSAM
from tests._qt.conftest import Dock, Gate, press, some, stack


def test_cancel_keeps_what_is_done(dock: Dock, gate: Gate, qtbot: Any) -> None:
    press(dock, qtbot)
    assert dock.widget.bar.cancel.isEnabled()
    dock.widget.bar.cancel.click()
    gate.let(1)
    dock.finish()
    result = dock.result()
    # the slice beside a labelled one comes first, of those that are not interpolated
    assert result.data[3].any()
    assert not result.data[[0, 1, 5, 6, 7]].any()
    np.testing.assert_array_equal(result.data[2], dock.viewer.layers["painted"].data[2])
    assert dock.widget.bar.message.text() == "Cancelled. What was done is kept."
    assert not dock.widget.bar.cancel.isEnabled()
    assert dock.widget.bar.segment.isEnabled()


@pytest.mark.parametrize("replace", [False, True])
def test_what_is_painted_while_it_runs_stays(
    dock: Dock, gate: Gate, qtbot: Any, replace: bool
) -> None:
    dock.widget.output.replace.setChecked(replace)
    press(dock, qtbot)
    result = dock.result()
    result.paint((6, 3, 3), 1)
    painted = result.data[6].copy()
    gate.let(100)
    dock.finish()
    np.testing.assert_array_equal(result.data[6], painted)
    assert dock.widget.bar.message.text().count("Kept as you corrected them: 1.") == 1


def test_segmenting_again_supersedes_the_run(dock: Dock, gate: Gate, qtbot: Any) -> None:
    press(dock, qtbot)
    dock.widget.bar.segment.click()
    assert dock.widget.run.runner.is_running
    gate.let(100)
    dock.finish()
    assert gate.started == 2
    assert dock.widget.bar.message.text().startswith("Done: 6 slices")
    assert sum(layer.name.startswith("scan [ICL-SAM]") for layer in dock.viewer.layers) == 1


def test_removing_the_image_and_the_labels_does_not_stop_the_run(
    dock: Dock, gate: Gate, qtbot: Any
) -> None:
    press(dock, qtbot)
    dock.viewer.layers.remove("painted")
    dock.viewer.layers.remove("scan")
    gate.let(100)
    dock.finish()
    assert all(dock.result().data[plane].any() for plane in range(8))
    assert not dock.widget.bar.segment.isEnabled()


def test_deleting_the_result_stops_the_run(dock: Dock, gate: Gate, qtbot: Any) -> None:
    press(dock, qtbot)
    dock.viewer.layers.remove("scan [ICL-SAM]")
    assert not dock.widget.run.runner.is_running
    gate.let(100)
    dock.finish()
    assert "scan [ICL-SAM]" not in dock.viewer.layers
    assert dock.widget.bar.message.text() == "Stopped: the result layer was deleted."


def test_an_error_is_shown_in_words_and_the_widget_stays_usable(
    dock: Dock, qtbot: Any, capture: list[str]
) -> None:
    image, labels = stack(planes=4)
    broken = image.astype(np.float32)
    broken[3, 5, 5] = np.nan
    dock.viewer.add_image(broken, name="scan", contrast_limits=(0, 255))
    dock.viewer.add_labels(some(labels, 1, 2), name="painted")
    dock.viewer.dims.axis_labels = ("depth", "row", "column")
    dock.segment()
    # nobody sees the dock here: napari tells it, too
    assert any("scan, depth 3: The image has" in message for message in capture), capture
    assert "not finite" in dock.widget.bar.message.text()
    assert dock.result().data[0].any()
    dock.viewer.layers["scan"].data = np.nan_to_num(broken)
    dock.segment()
    assert dock.widget.bar.message.text().startswith("Done: 2 slices")


def test_an_error_that_the_dock_shows_does_not_cover_the_image(
    dock: Dock, qtbot: Any, capture: list[str]
) -> None:
    dock.widget.setParent(None)
    dock.widget.show()
    qtbot.waitExposed(dock.widget)
    dock.widget.run.failed.emit(ValueError("The image is too small."))
    dock.widget.hide()
    assert not capture
    dock.widget.run.failed.emit(ValueError("The image is too small."))
    assert capture == ["The image is too small."]


def test_of_several_waiting_runs_only_the_last_begins(qtbot: Any) -> None:
    gate, began, returned = threading.Event(), [], []

    def steps(name: str) -> Callable[[], Generator[int, None, str]]:
        def run() -> Generator[int, None, str]:
            began.append(name)
            yield 0
            gate.wait(30)
            yield 1
            return name

        return run

    runner = Runner()
    runner.returned.connect(returned.append)
    runner.start(steps("first"))
    qtbot.waitUntil(lambda: began == ["first"])
    runner.start(steps("second"))
    runner.start(steps("third"))
    gate.set()
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert began == ["first", "third"]
    assert returned == ["third"]


def test_an_expected_error_is_handed_over_and_an_unexpected_one_is_not_swallowed(
    qtbot: Any,
) -> None:
    def fail() -> Generator[int, None, None]:
        yield 0
        raise ValueError("too small")

    runner, failed = Runner(), []
    runner.failed.connect(failed.append)
    runner.start(fail)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert [str(error) for error in failed] == ["too small"]


def test_no_garbage_is_collected_within_and_all_of_it_is_found_later() -> None:
    class Node:
        pass

    passes: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        passes.append(info["generation"])

    gc.callbacks.append(note)
    try:
        with without_garbage_collection():
            kept = [[n] for n in range(200_000)]
            circle = Node()
            circle.itself = circle  # type: ignore[attr-defined]
            gone = weakref.ref(circle)
            del circle
        assert not passes
    finally:
        gc.callbacks.remove(note)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert gone() is None
    assert len(kept) == 200_000


def test_compiling_colors_leaves_the_worker_as_many_threads_as_the_user_allows() -> None:
    code = """
import threading, torch
from napari_iclsam._qt.viewer.label_styles import compile_colors
from napari_iclsam._qt.background.process_state import with_thread_count_kept
from napari_iclsam.core.images.support import LabelStyle
counts = []
def work():
    with with_thread_count_kept():
        compile_colors({1: LabelStyle("", (1, 0, 0, 1))})
    counts.append(torch.get_num_threads())
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(counts)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[1]"


def test_a_preview_shows_at_once_and_replaces_no_result(dock: Dock, networks: Networks) -> None:
    finds_all = copy.deepcopy(networks)
    finds_all.icl.out_conv.conv.bias.add_(100)
    dock.widget.run.session = Session(
        SegmenterStore(make=lambda _, settings: ICLSAM(settings=settings, networks=finds_all))
    )
    image, labels = stack(planes=8)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 2, 4), name="painted")
    dock.settle()
    previews: list[tuple[int, np.ndarray]] = []

    def note(step: Any) -> None:
        if step.is_preview:
            previews.append((step.slice_number.number, dock.result().data.copy()))

    dock.widget.run.runner.stepped.connect(note)
    dock.segment()
    plane, shown = previews.pop()
    where = [0, 1, 3, 5, 6, 7][plane]
    assert shown[where].all()
    assert not np.delete(shown, [where, 2, 4], axis=0).any()
    dock.result().data[where, 0, 0] = 9
    # as if the run had written it, so that it is free to write over it
    dock.widget.results.record(dock.result()).note_written(dock.result(), (where,))
    dock.widget.run.session.forget_task()  # as if the examples had changed
    dock.segment()
    assert previews.pop()[1][where, 0, 0] == 9
    assert dock.result().data[where, 0, 0] != 9


def test_a_program_starts_a_run_on_slices_and_waits_for_its_result(dock: Dock) -> None:
    image, labels = stack(planes=6)
    scan = dock.viewer.add_image(image, name="scan")
    dock.viewer.add_image(image[::-1], name="another")
    painted = dock.viewer.add_labels(some(labels, 2), name="painted")
    run = dock.widget.start_run(scan, painted, slices=range(3, 5))
    assert run.summary is None
    result = run.wait(120)
    assert result.name == "scan [ICL-SAM]"
    assert run.is_done
    assert run.summary is not None
    assert run.summary.slices == 2
    assert np.flatnonzero(result.data.any(axis=(1, 2))).tolist() == [3, 4]
    # at once: it is over
    assert run.wait() is result


@pytest.mark.parametrize("slices", [range(4, 9), range(0, 6, 2), range(3, 3), range(-1, 2)])
def test_a_program_is_told_which_slices_there_are(dock: Dock, slices: range) -> None:
    image, labels = stack(planes=6)
    scan = dock.viewer.add_image(image, name="scan")
    painted = dock.viewer.add_labels(some(labels, 2), name="painted")
    with pytest.raises(ValueError, match=r"within range\(0, 6\); got range"):
        dock.widget.start_run(scan, painted, slices=slices)


def test_a_program_is_told_why_nothing_can_be_segmented(dock: Dock) -> None:
    scan = dock.viewer.add_image(np.zeros((4, 8, 8)), name="scan")
    empty = dock.viewer.add_labels(np.zeros((4, 8, 8), np.uint8), name="painted")
    with pytest.raises(ValueError, match="Nothing is painted yet"):
        dock.widget.start_run(scan, empty)


def test_a_program_hears_of_a_run_that_fails_or_is_stopped(
    dock: Dock, gate: Gate, qtbot: Any
) -> None:
    scan = dock.viewer.layers["scan"]
    run = dock.widget.start_run(scan)
    with pytest.raises(TimeoutError, match="goes on"):
        run.wait(0.05)
    qtbot.waitUntil(lambda: dock.widget.run.live is not None, timeout=60_000)
    dock.widget.bar.cancel.click()
    gate.let(100)
    with pytest.raises(RuntimeError, match="stopped before its end"):
        run.wait(60)
    broken = np.array(scan.data, np.float32)
    broken[0, 0, 0] = np.nan
    scan.data = broken
    with pytest.raises(ValueError, match="not finite"):
        dock.widget.start_run(scan).wait(60)
