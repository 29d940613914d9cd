"""Show failures and their cures, for ``when-it-does-not-work.md``.

``python docs/jobs/run_failures.py``; a minute with the real models.
Each picture has the example, the result that it leads to, a better example, and its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from run_jobs import HERE, panel, save
from scipy import ndimage

from napari_iclsam import ICLSAM, dice

SIDE = 128


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image with its objects, both (H, W)."""

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]


def cells(seed: int, contrast: float = 80, ground: float = 60) -> Drawn:
    """Draw eight cells that are brighter than the ground, or darker."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIDE, SIDE))
    labels = np.zeros((SIDE, SIDE), np.int32)
    for place in range(8):
        y, x = rng.normal((24 + 40 * (place // 3), 24 + 40 * (place % 3)), 3)
        labels[np.hypot(rows - y, columns - x) < rng.uniform(8, 12)] = 1
    image = ground + contrast * ndimage.gaussian_filter(labels.astype(float), 1)
    image += rng.normal(0, 6, image.shape)
    return Drawn(np.clip(image, 0, 255).astype(np.uint8), labels)


def in_part(drawn: Drawn) -> Drawn:
    """Return an example in which the objects of the right half were left out."""
    labels = drawn.labels.copy()
    parts, count = ndimage.label(labels)
    for part in range(1, count + 1):
        if np.nonzero(parts == part)[1].mean() > SIDE / 2:
            labels[parts == part] = 0
    return Drawn(drawn.image, labels)


def half_labelled() -> tuple[list[Drawn], list[Drawn], Drawn]:
    """Leave out objects of the examples; label all of them."""
    whole = [cells(1), cells(2)]
    return [in_part(each) for each in whole], whole, cells(3)


def unlike_the_image() -> tuple[list[Drawn], list[Drawn], Drawn]:
    """Take examples of bright cells for an image of dark ones; add an example like it."""
    bright = [cells(4), cells(5)]
    dark = cells(6, -70, 170)
    return bright, [bright[0], dark], cells(7, -70, 170)


CASES: dict[str, Callable[[], tuple[list[Drawn], list[Drawn], Drawn]]] = {
    "half-labelled": half_labelled,
    "unlike-the-image": unlike_the_image,
}


def main() -> None:
    """Segment with poor and with good examples; write pictures and a table of Dice."""
    rows = ["| failure | Dice before | Dice with the cure |", "| --- | --- | --- |"]
    for name, make in CASES.items():
        poor, good, query = make()
        panels = []
        scores = []
        for examples in (poor, good):
            task = ICLSAM("starter").fit(
                [each.image for each in examples], [each.labels for each in examples]
            )
            found = task.predict(query.image).labels
            scores.append(f"{dice(found > 0, query.labels > 0):.2f}")
            # the last example is the one that differs
            panels += [panel(examples[-1].image, examples[-1].labels), panel(query.image, found)]
        save(name, panels)
        rows.append(f"| {name.replace('-', ' ')} | {' | '.join(scores)} |")
        print(rows[-1], flush=True)
    (HERE / "failures_numbers.md").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
