"""What the examples are, in words."""

from __future__ import annotations

from collections.abc import Iterable

from napari_iclsam._qt.forms.support_table import Row
from napari_iclsam._qt.run.origins import remark_on

_LISTED = 4
"""Labels that a sentence names at most; the table of examples has all."""


def labels_in_words(rows: Iterable[Row]) -> str:
    """Return which labels the examples have, with their names."""
    names = {}
    for row in rows:
        for label, style in row.styles.items():
            names[label] = style.name
    if not names:
        return ""
    named = [f"{label} {names[label]}".strip() for label in sorted(names)]
    if len(named) > _LISTED:
        named = [*named[: _LISTED - 1], "…", named[-1]]
    listed = ", ".join(named)
    return f": {'labels' if len(names) > 1 else 'label'} {listed}"


def remark_in_words(rows: Iterable[Row]) -> str:
    """Return what the user has to see to with examples of an opened task; mostly nothing."""
    return remark_on(row.example for row in rows)


def count_in_words(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
