"""Where in a query the objects of the examples are to be expected, by what lies around them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.encoder.cache import Embedding
from napari_iclsam.core.images.crops import Region, mean_extent

_CELLS = 32
"""Cells of an image in each direction, whatever its shape."""

_REACH = _CELLS // 2
"""Cells that are seen on each side of an object."""

_SPREAD = 0.53
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
    spectrum : Tensor, (D, 64, 33), complex64
        Of their features, the mean over the examples, weighted by the distance from the object; see `_spectrum`.
    row, column : float
        Mean of the objects' centres, as shares of the image's height and width.
    reliable : bool
        Whether the objects of the examples are where they are to be expected by the other examples.
    """

    spectrum: Tensor
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
    known = [region for _, region in pairs]
    spectra = torch.stack([_spectrum(_around(cells, region)) for cells, region in pairs])
    total, missed = spectra.sum(dim=0), []
    for n in range(0, len(known), math.ceil(len(known) / _ASKED)) if len(known) > 1 else ():
        others = _mean((total - spectra[n]) / (len(known) - 1), known[:n] + known[n + 1 :])
        place = _expected(_spectrum(pairs[n][0]), others)
        missed.append(math.hypot(place.row - known[n].row, place.column - known[n].column) / mean_extent(known))
    reliable = bool(missed) and bool(np.median(missed) < _MISSED)
    return replace(_mean(total / len(known), known), reliable=reliable)


def expected_places(surroundings: Mapping[int, Surroundings], query: Embedding) -> dict[int, Region]:
    """Return where in a query each label is to be expected; the regions have no extent.

    It is the place p with the largest sum_q w(q) <e(q), f(p + q)> - |p - m|^2, for the unit features f of the query
    about p, e of the examples about their objects, Gaussian weights w, and m where the examples' objects lie; places
    are shares of the image's height and width.
    """
    spectrum = _spectrum(_cells(query))
    return {label: _expected(spectrum, own) for label, own in surroundings.items()}


def _cells(embedding: Embedding) -> Tensor:
    """Return an image's features on the cells, less their mean, of length one: (D, 32, 32)."""
    features = embedding.frame.crop_grid(embedding.features.embedding[0]).float()
    cells = F.adaptive_avg_pool2d(features[None], _CELLS)[0]
    return F.normalize(cells - cells.mean(dim=(-2, -1), keepdim=True), dim=0)


def _around(cells: Tensor, region: Region) -> Tensor:
    """Return the weighted features about a region, which is in the middle, (D, 33, 33)."""
    steps = torch.arange(-_REACH, _REACH + 1, device=cells.device)
    weights = torch.exp(-0.5 * (steps / max(0.6, _SPREAD * _CELLS * region.extent)) ** 2)
    weights = weights[:, None] * weights
    top, left = (min(_CELLS - 1, int(_CELLS * centre)) for centre in (region.row, region.column))
    return F.pad(cells, (_REACH,) * 4)[:, top : top + len(steps), left : left + len(steps)] * weights / weights.sum()


def _mean(spectrum: Tensor, regions: Sequence[Region]) -> Surroundings:
    row, column = (float(np.mean([getattr(region, axis) for region in regions])) for axis in ("row", "column"))
    return Surroundings(spectrum, row, column)


def _spectrum(cells: Tensor) -> Tensor:
    """Return the Fourier transform of (D, h, w), padded with zeros to twice the cells, (D, 64, 33)."""
    spectrum: Tensor = torch.fft.rfft2(cells, s=(2 * _CELLS, 2 * _CELLS))
    return spectrum


def _expected(query: Tensor, surroundings: Surroundings) -> Region:
    """Return where a label is to be expected in a query, given its spectrum: the sum over q is a product there."""
    alike = torch.fft.irfft2((query * surroundings.spectrum.conj()).sum(dim=0), s=(2 * _CELLS, 2 * _CELLS))
    alike = alike.roll((_REACH, _REACH), (0, 1))[:_CELLS, :_CELLS]
    centres = (torch.arange(_CELLS, device=alike.device) + 0.5) / _CELLS
    moved = (centres[:, None] - surroundings.row) ** 2 + (centres - surroundings.column) ** 2
    row, column = divmod(int((alike - moved).argmax()), _CELLS)
    return Region((row + 0.5) / _CELLS, (column + 0.5) / _CELLS, 0.0)
