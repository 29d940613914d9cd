"""Draw the curves of a run: ``python -m training.plot_sam --log FILE --out PICTURE``."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from matplotlib.figure import Figure

CURVES = {
    "mask": "mask loss (cross-entropy + Dice loss)",
    "dice": "Dice of the prompted masks",
    "probe": "probe loss (balanced cross-entropy)",
    "auc": "AUC of the confidence map, one support",
}
"""Columns of the log and their titles."""


def read_log(path: Path) -> dict[str, list[dict[str, float]]]:
    """Read the rows of each kind (train, validate) as numbers."""
    rows: dict[str, list[dict[str, float]]] = {"train": [], "validate": []}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["kind"]].append(
                {name: float(value) for name, value in row.items() if name != "kind"}
            )
    return rows


def draw_curves(rows: dict[str, list[dict[str, float]]]) -> Figure:
    """One panel a column; training rows as a thin line, held-out subjects as a thick one."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    for axes, (column, title) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        for kind, style in (
            ("train", {"lw": 0.8, "color": "0.6"}),
            ("validate", {"lw": 2, "color": "tab:blue"}),
        ):
            axes.plot(
                [row["step"] for row in rows[kind]], [row[column] for row in rows[kind]], **style
            )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(["training batches", "held-out subjects, averaged weights"], fontsize=8)
    return figure


def main() -> None:
    """Read the log and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw_curves(read_log(options.log)).savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
