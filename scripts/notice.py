#!/usr/bin/env python3
"""Write NOTICE: what the package contains, and the licenses of all weights of its catalogue.

``python scripts/notice.py > NOTICE``; a test holds that the file is up to date.
"""

from __future__ import annotations

from textwrap import fill

from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.entry import Weights

_HEAD = """napari-iclsam
Copyright (c) 2026, napari-iclsam developers

The code is under the BSD 3-Clause License: see LICENSE. Parts of other licenses,
and weights, are listed here.
"""

_BUNDLED = """
WEIGHTS IN THE PACKAGE

They lie in src/napari_iclsam/weights/bundled, whose LICENSE credits the data that
they were trained on, and whose LICENSE-Apache-2.0 is the text of that license.
"""

_OTHERS = """
WEIGHTS THAT ARE DOWNLOADED ON REQUEST

Nothing of them is part of the package. `napari-iclsam models download NAME` shows
the license before it takes a file from its publisher.
"""


def main() -> None:
    """Print the notice."""
    print(notice(), end="")


def notice() -> str:
    """Return the text of NOTICE."""
    bundled = [weights for weights in CATALOGUE.values() if weights.bundled]
    others = [weights for weights in CATALOGUE.values() if not weights.bundled]
    parts = [_HEAD, _BUNDLED, *map(_entry, bundled), _OTHERS, *map(_entry, others)]
    return "".join(parts)


def _entry(weights: Weights) -> str:
    """Return the lines of one file of weights."""
    lines = [f"{weights.name}: {weights.title}", f"{weights.license}, {weights.license_url}"]
    folded = [
        fill(
            line,
            80,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in [*lines, weights.citation]
    ]
    return "\n" + "\n".join(folded)[2:] + "\n"


if __name__ == "__main__":
    main()
