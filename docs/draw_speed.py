"""Plot the times of benchmarks/speed.csv, which are those of RESULTS.md.

Run ``python docs/draw_speed.py``.
"""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).parent
TIMES = DOCS.parent / "benchmarks" / "speed.csv"
PLOT = DOCS / "images" / "speed.svg"

OURS = "#2563a8"
THEIRS = "#9aa5b1"
SETTINGS = {
    "svg.hashsalt": "napari-iclsam",  # the same numbers give the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
}

Rows = list[dict[str, str]]


def draw_bars(axes: Axes, rows: Rows, names: list[str]) -> None:
    """Draw one bar a row, the value at its end."""
    seconds = [float(row["seconds"]) for row in rows]
    colors = [OURS if row["side"] == "napari-iclsam" else THEIRS for row in rows]
    bars = axes.bar(names, seconds, color=colors, width=0.6)
    axes.bar_label(bars, fmt="%g s", padding=2)
    axes.set_ylabel("seconds")
    axes.margins(y=0.15)


def draw_in_context(axes: Axes, rows: Rows) -> None:
    """Draw time against the number of examples, for both sides."""
    for side, color in (("published", THEIRS), ("napari-iclsam", OURS)):
        of_side = [row for row in rows if row["side"] == side]
        examples = [int(row["case"]) for row in of_side]
        seconds = [float(row["seconds"]) for row in of_side]
        axes.loglog(examples, seconds, "o-", color=color, label=side)
    axes.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    axes.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.minorticks_off()
    axes.set_xlabel("examples")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False)


def main() -> None:
    """Write the plot."""
    with TIMES.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    of_panel = {
        name: [row for row in rows if row["panel"] == name]
        for name in ("encoder", "in-context", "plane")
    }
    plt.rcParams.update(SETTINGS)
    figure, (encoder, in_context, plane) = plt.subplots(1, 3, figsize=(10, 3.2))
    names = ["segment-\nanything", "float32", "bfloat16"]
    draw_bars(encoder, of_panel["encoder"], names)
    encoder.set_title("Encoder of SAM ViT-B, one image")
    draw_in_context(in_context, of_panel["in-context"])
    in_context.set_title("UniverSeg, one query")
    draw_bars(plane, of_panel["plane"], ["first run,\n2 examples", "second run,\n4 examples"])
    plane.set_title("Whole method, one plane")
    figure.tight_layout(w_pad=2)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
