"""Curves of a training as a picture: ``python -m training.plot_icl LOG.csv OUT.png``."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from matplotlib.figure import Figure


def draw(log: Path, picture: Path) -> None:
    """Draw loss, Dice of training batches, and Dice of validation against the step."""
    rows = [row for row in csv.reader(log.read_text().splitlines()) if row]
    steps = [int(row[0]) for row in rows]
    checks = [(int(row[0]), float(row[5])) for row in rows if row[5]]
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steps, [float(row[2]) for row in rows], color="tab:red")
    left.set(xlabel="step", ylabel="soft Dice loss + cross-entropy")
    right.plot(steps, [float(row[3]) for row in rows], label="training batches", color="tab:blue")
    right.plot(
        *zip(*checks, strict=True), "o-", label="validation, 128 x 128, K = 4", color="tab:green"
    )
    right.set(xlabel="step", ylabel="Dice", ylim=(0, 1))
    right.legend(frameon=False, fontsize=8)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
