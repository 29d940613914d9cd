"""How a run went, as a user reads it: a sentence, and a small table of the labels."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from napari_iclsam._qt.run.run_step import RunSummary
from napari_iclsam._qt.viewer.earlier_result import Change

_LABELS_A_ROW = 2


def closing_words(summary: RunSummary, kept: int, change: Change | None) -> str:
    """Return how a run went.

    Parameters
    ----------
    summary : RunSummary
    kept : int
        Slices that stay as a person corrected them.
    change : Change, optional
        What differs from an earlier result, if there was one.
    """
    plural = "" if summary.slices == 1 else "s"
    done = f"Done: {summary.slices} {summary.unit}{plural}"
    if summary.seconds is not None:
        done += f", {in_time(summary.seconds)} each"
    sentences = [f"{done}.", *summary.sentences]
    if kept:
        sentences.append(f"Kept as you corrected them: {kept}.")
    if change is not None:
        sentences.append(change.in_words(summary.unit))
    text = html.escape(" ".join(sentences), quote=False)
    return text + _table(summary.expected, summary.expectation)


def _table(expected: Mapping[str, float], title: str) -> str:
    """Return the expected overlap of each label; empty without any."""
    if not expected:
        return ""
    cells = []
    for name, overlap in expected.items():
        named = html.escape(name)
        cells.append(f"<td>{named}&nbsp;</td><td align='right'>{overlap:.2f}&nbsp;&nbsp;</td>")
    rows = []
    for start in range(0, len(cells), _LABELS_A_ROW):
        rows.append(_row(cells[start : start + _LABELS_A_ROW]))
    return f"<br>{html.escape(title)}<table>{''.join(rows)}</table>"


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def in_time(seconds: float) -> str:
    """Return a time as a user reads it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
