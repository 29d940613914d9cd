"""Where in a query the objects of the examples are to be expected, by what lies around them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.embeddings import Embedding
from napari_iclsam.core.windows import Region, mean_extent

_CELLS = 32
"""Cells of an image in each direction, whatever its shape."""

_REACH = 0.53
"""Standard deviation of the weight of what lies around an object, relative to the object's extent."""

_MISSED = 0.2
"""Distance from their objects, relative to their extent, by which the median of the examples may be missed."""

_ASKED = 12
"""At most so many examples are looked for by the others."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the examples' objects and what lies around them look like to the image encoder.

    Attributes
    ----------
    features : Tensor, (D, 2 r + 1, 2 r + 1)
        Mean over the examples of their features, weighted by the distance from the object, which is in the middle.
    row, column : float
        Mean of the objects' centres, as shares of the image's height and width.
    reliable : bool
        Whether the objects of the examples are where they are to be expected by the other examples.
    """

    features: Tensor
    row: float
    column: float
    reliable: bool = False


def surroundings_of(embeddings: Sequence[Embedding], regions: Sequence[Region | None]) -> Surroundings:
    """Return the surroundings of a label's objects, given where they lie in each example; one holds the label at least.

    Parameters
    ----------
    embeddings : sequence of Embedding
    regions : sequence of Region or None
        None where an example does not hold the label.
    """
    pairs = [(_cells(e), region) for e, region in zip(embeddings, regions, strict=True) if region]
    cells, known = [own for own, _ in pairs], [region for _, region in pairs]
    views = [_around(own, region) for own, region in pairs]
    missed = []
    for n in range(0, len(known), math.ceil(len(known) / _ASKED)) if len(known) > 1 else ():
        others = _mean(views[:n] + views[n + 1 :], known[:n] + known[n + 1 :])
        place = _expected(cells[n], others)
        missed.append(math.hypot(place.row - known[n].row, place.column - known[n].column) / mean_extent(known))
    own = _mean(views, known)
    return Surroundings(own.features, own.row, own.column, bool(missed) and bool(np.median(missed) < _MISSED))


def expected_places(surroundings: Mapping[int, Surroundings], query: Embedding) -> dict[int, Region]:
    """Return where in a query each label is to be expected; the regions have no extent.

    It is the place p with the largest sum_q w(q) <e(q), f(p + q)> - |p - m|^2, for the unit features f of the query
    about p, e of the examples about their objects, Gaussian weights w, and m where the examples' objects lie; places
    are shares of the image's height and width.
    """
    cells = _cells(query)
    return {label: _expected(cells, own) for label, own in surroundings.items()}


def _cells(embedding: Embedding) -> Tensor:
    """Return an image's features on the cells, less their mean, of length one: (D, _CELLS, _CELLS)."""
    features = embedding.frame.crop_grid(embedding.features.embedding[0]).float()
    cells = F.adaptive_avg_pool2d(features[None], _CELLS)[0]
    return F.normalize(cells - cells.mean(dim=(-2, -1), keepdim=True), dim=0)


def _around(cells: Tensor, region: Region) -> Tensor:
    """Return the weighted features about a region, (D, 2 r + 1, 2 r + 1)."""
    reach = _CELLS // 2
    steps = torch.arange(-reach, reach + 1, device=cells.device)
    weights = torch.exp(-0.5 * (steps / max(0.6, _REACH * _CELLS * region.extent)) ** 2)
    weights = weights[:, None] * weights
    top, left = (min(_CELLS - 1, int(_CELLS * centre)) for centre in (region.row, region.column))
    return F.pad(cells, (reach,) * 4)[:, top : top + len(steps), left : left + len(steps)] * weights / weights.sum()


def _mean(views: Sequence[Tensor], regions: Sequence[Region]) -> Surroundings:
    row, column = (float(np.mean([getattr(region, axis) for region in regions])) for axis in ("row", "column"))
    return Surroundings(torch.stack(list(views)).mean(dim=0), row, column)


def _expected(cells: Tensor, surroundings: Surroundings) -> Region:
    alike = F.conv2d(cells[None], surroundings.features[None], padding=_CELLS // 2)[0, 0]
    centres = (torch.arange(_CELLS, device=cells.device) + 0.5) / _CELLS
    moved = (centres[:, None] - surroundings.row) ** 2 + (centres - surroundings.column) ** 2
    row, column = divmod(int((alike - moved).argmax()), _CELLS)
    return Region((row + 0.5) / _CELLS, (column + 0.5) / _CELLS, 0.0)
