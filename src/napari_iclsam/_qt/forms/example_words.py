"""What the examples are, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from napari.layers import Layer

from napari_iclsam._qt.forms.support_table import Row
from napari_iclsam._qt.run.origins import remark_on
from napari_iclsam._qt.viewer.example import Example
from napari_iclsam._qt.viewer.labelled_slices import MOST
from napari_iclsam._qt.viewer.shown_size import remark_on_size

_LISTED = 4
"""Labels that a sentence names at most; the table of examples has all."""

_NAMED = 5
"""Labels that a message names at most."""


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


def remark_in_words(rows: Sequence[Row], image: Layer | None, labels: Layer | None) -> str:
    """Return what the user has to see to with examples and their layers; mostly nothing."""
    if not rows:
        return ""
    remarks = (remark_on(row.example for row in rows), remark_on_size(image, labels))
    return " ".join(filter(None, remarks))


def count_in_words(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def slices_in_words(total: int, along: str) -> str:
    """Return how many labelled slices were found along axes, and how many of them are taken."""
    left_out = f", {MOST} of them taken" if total > MOST else ""
    return f"{count_in_words(total, 'labelled slice')} found along {along}{left_out}"


def objection_to_emptiness(example: Example) -> str:
    """Return why an example cannot be declared to hold nothing; empty if it holds nothing."""
    painted = np.unique(example.pair().read_labels())
    held = painted[painted > 0]
    if not len(held):
        return ""
    numbers = ", ".join(map(str, held[:_NAMED].tolist()))
    return (
        f"{example.title()} holds labels ({numbers}), so it cannot be declared empty. Erase "
        "them, or choose another slice."
    )
