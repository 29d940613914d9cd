"""A table of a batch as CSV: a row an image, for spreadsheets and pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_iclsam.commands.file_run import FileReport

SUMMARY = "summary.csv"
"""Its name beside the results, unless another is given."""

_FIRST = ("image", "result", "state")
_LAST = ("seconds", "notes", "error")

Row = Mapping[str, Any]


def write_summary(place: Path, reports: Sequence[FileReport], earlier: Sequence[Row] = ()) -> None:
    """Write a row a file: its state, and of each label the pixels and the estimated Dice.

    Of a stack the pixels are those of all planes, and the Dice is that of its worst plane.

    Parameters
    ----------
    place : Path
    reports : sequence of FileReport
    earlier : sequence of mapping
        Rows of an earlier run, which stay where they are about other results.
    """
    rows = [_row(report) for report in reports]
    about = {row["image"] for row in rows}
    kept = [row for row in earlier if row.get("image") not in about]
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns([*kept, *rows]), restval="")
    writer.writeheader()
    writer.writerows([*kept, *rows])
    # A byte order mark lets spreadsheets read "µ" and umlauts.
    place.write_text(text.getvalue(), encoding="utf-8-sig", newline="")


def read_summary(path: Path) -> list[dict[str, str]]:
    """Return the rows of a summary; none if there is none, or the file is another kind of table."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        is_ours = set(_FIRST) <= set(reader.fieldnames or ())
        return list(reader) if is_ours else []


def _row(report: FileReport) -> dict[str, Any]:
    entry = report.entry
    row: dict[str, Any] = {
        "image": str(report.path),
        "result": "" if report.state == "failed" else str(report.output),
        "state": report.state,
        "seconds": round(sum(entry.get("seconds", {}).values()), 2) if entry else "",
        "notes": " ".join(entry.get("notes", ())),
        "error": report.error,
    }
    for label in entry.get("labels", ()):
        name = label["name"]
        estimates = [estimate["dice"] for estimate in label["estimated_dice"]]
        row[f"{name}: pixels"] = label["pixels"]
        row[f"{name}: estimated Dice"] = min(estimates, default="")
    return row


def _columns(rows: Sequence[Row]) -> list[str]:
    """Return the columns of all rows: those that say what, those of labels, those that say how."""
    of_labels: dict[str, None] = {}
    for row in rows:
        for column in row:
            if column not in _FIRST and column not in _LAST:
                of_labels[column] = None
    return [*_FIRST, *of_labels, *_LAST]
