"""What the window costs: processor time of a run with the dock shown and hidden; opening; memory.

Each run is a process of its own, in turn. Under a virtual screen, where OpenGL is drawn by
software: ``xvfb-run -a python -m benchmarks.window``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

KINDS = ("shown", "hidden", "alone")
"""The dock in sight, the dock hidden, and the method without a viewer."""

PLANES = range(14)


def run_in_dock(*, shown: bool) -> dict[str, float]:
    """Segment planes of the brain sample by the dock; return seconds and megabytes."""
    began = time.perf_counter()
    # what importing costs belongs to opening
    import napari
    import psutil

    viewer = napari.Viewer()
    opened = time.perf_counter()
    dock_window, dock = viewer.window.add_plugin_dock_widget("napari-iclsam")
    enabled = time.perf_counter()
    viewer.open_sample("napari-iclsam", "brain")
    image, labels = viewer.layers["brain"], viewer.layers["brain labels"]
    dock_window.setVisible(shown)
    processor = time.process_time()
    dock.start_run(image, labels, PLANES).wait(1200)
    spent = time.process_time() - processor
    memory = psutil.Process().memory_info().rss / 1e6
    viewer.close()
    return {
        "run": spent,
        "viewer": opened - began,
        "dock": enabled - opened,
        "memory": memory,
    }


def run_alone() -> dict[str, float]:
    """Segment the same planes without a viewer."""
    import psutil

    from napari_iclsam import ICLSAM, samples

    sample = samples.brain()
    processor = time.process_time()
    ICLSAM().fit_stack(sample.image, sample.labels).predict(PLANES)
    spent = time.process_time() - processor
    return {"run": spent, "memory": psutil.Process().memory_info().rss / 1e6}


def measure(kind: str) -> dict[str, float]:
    """Run one kind in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.window", "--kind", kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(kind: str, runs: Sequence[dict[str, float]]) -> None:
    """Print the medians of a kind."""
    parts = []
    for name in runs[0]:
        median = statistics.median(run[name] for run in runs)
        unit = "MB" if name == "memory" else "s"
        parts.append(f"{name} {median:.1f} {unit}")
    print(f"{kind}: {', '.join(parts)}", flush=True)


def main() -> None:
    """Measure in turn and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, help="one run of one kind, for the other process")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.kind == "alone":
        print(json.dumps(run_alone()))
        return
    if options.kind:
        print(json.dumps(run_in_dock(shown=options.kind == "shown")))
        return
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(options.repeats):
        for kind in KINDS:
            runs[kind].append(measure(kind))
    for kind, of_kind in runs.items():
        report(kind, of_kind)


if __name__ == "__main__":
    main()
