"""Where an object is to be expected: cross-correlation with a template, and a position prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.images.crops import Region, mean_size

_CELLS = 32
"""Cells of an image in each direction, whatever its shape."""

_REACH = _CELLS // 2
"""Cells of the template on each side of an object."""

_SPREAD = 0.53
"""Standard deviation of the template's weights, relative to the object's size."""

_RELIABLE = 0.2
"""Median distance of the localised examples from their true place, relative to their size, up to
which it is reliable."""

_LOCALISED = 12
"""At most so many examples are localised by means of the others."""


@dataclass(frozen=True, slots=True)
class ObjectTemplate:
    """Features of the examples' objects and of what lies around them.

    Attributes
    ----------
    spectrum : Tensor, (F, 64, 33), complex64
        Fourier transform of the mean over the examples, weighted by the distance from the object;
        see `_spectrum`.
    row, column : float
        Mean of the objects' centers, relative to the image's height and width: the prior of
        position.
    reliable : bool
        Whether the examples are found by means of each other.
    """

    spectrum: Tensor
    row: float
    column: float
    reliable: bool = False


def fit_template(
    embeddings: Sequence[Embedding], regions: Sequence[Region | None]
) -> ObjectTemplate:
    """Fit the template of a label.

    Parameters
    ----------
    embeddings : sequence of Embedding
    regions : sequence of Region or None
        Where the label lies in each example, None where it is absent; one example holds it at
        least.
    """
    grids = []
    known = []
    for embedding, region in zip(embeddings, regions, strict=True):
        if region is not None:
            grids.append(_unit_features(embedding))
            known.append(region)
    transforms = []
    for grid, region in zip(grids, known, strict=True):
        patch = _patch_around(grid, region)
        transforms.append(_spectrum(patch))
    spectra = torch.stack(transforms)
    template = _template(spectra.sum(dim=0) / len(known), known)
    # whether places are to be trusted depends on the task: hearts lie alike, lesions do not
    errors = _leave_one_out_errors(grids, spectra, known)
    reliable = bool(errors) and bool(np.median(errors) < _RELIABLE)
    return replace(template, reliable=reliable)


def localise(templates: Mapping[int, ObjectTemplate], query: Embedding) -> dict[int, Region]:
    """Return where in a query each label is to be expected; the regions have no size.

    It is the place p with the largest sum_q w(q) <e(q), f(p + q)> - |p - m|^2, for the unit
    features f of the query about p, e of the examples about their objects, Gaussian weights w, and
    m where the examples' objects lie; places are relative to the image's height and width.
    """
    # the query's transform serves all labels
    spectrum = _spectrum(_unit_features(query))
    expected = {}
    for label, template in templates.items():
        expected[label] = _best_place(spectrum, template)
    return expected


def _leave_one_out_errors(
    grids: Sequence[Tensor], spectra: Tensor, regions: Sequence[Region]
) -> list[float]:
    """Localise examples by means of the others.

    Return distances from their true place, relative to their size.
    """
    count = len(regions)
    if count < 2:
        return []
    total = spectra.sum(dim=0)
    errors = []
    for left_out in range(0, count, math.ceil(count / _LOCALISED)):
        others = [region for index, region in enumerate(regions) if index != left_out]
        # the transform is linear: leaving one out is a difference, no new transform
        template = _template((total - spectra[left_out]) / (count - 1), others)
        place = _best_place(_spectrum(grids[left_out]), template)
        true = regions[left_out]
        distance = math.hypot(place.row - true.row, place.column - true.column)
        errors.append(distance / mean_size(regions))
    return errors


def _unit_features(embedding: Embedding) -> Tensor:
    """Return an image's features less their mean, of length one, on a fixed grid, (F, 32, 32)."""
    # one grid for all shapes, so that places are relative to height and width
    cells = F.adaptive_avg_pool2d(embedding.cells.float()[None], _CELLS)[0]
    # what all cells of an image share would correlate everywhere
    mean = cells.mean(dim=(-2, -1), keepdim=True)
    return F.normalize(cells - mean, dim=0)


def _patch_around(cells: Tensor, region: Region) -> Tensor:
    """Return the weighted features around a region, which is in the middle, (F, 33, 33)."""
    steps = torch.arange(
        -_REACH,
        _REACH + 1,
        device=cells.device,
    )
    # not narrower than a cell, or the template of a small object would be a single one
    spread = max(0.6, _SPREAD * _CELLS * region.size)
    gaussian = torch.exp(-0.5 * (steps / spread) ** 2)
    weights = gaussian[:, None] * gaussian
    top = min(_CELLS - 1, int(_CELLS * region.row))
    left = min(_CELLS - 1, int(_CELLS * region.column))
    # objects at the border: beyond the image is nothing, which correlates with nothing
    padded = F.pad(cells, (_REACH,) * 4)
    patch = padded[:, top : top + len(steps), left : left + len(steps)]
    return patch * weights / weights.sum()


def _template(spectrum: Tensor, regions: Sequence[Region]) -> ObjectTemplate:
    row = float(np.mean([region.row for region in regions]))
    column = float(np.mean([region.column for region in regions]))
    return ObjectTemplate(spectrum, row, column)


def _spectrum(cells: Tensor) -> Tensor:
    """Return the Fourier transform (F, 64, 33) of (F, h, w), zero-padded to twice the cells."""
    # without padding, what leaves the image at one side would come in at the other
    spectrum: Tensor = torch.fft.rfft2(cells, s=(2 * _CELLS, 2 * _CELLS))
    return spectrum


def _best_place(query: Tensor, template: ObjectTemplate) -> Region:
    """Return the best place in a query, given its spectrum.

    In the spectrum, the cross-correlation is a product.
    """
    product = (query * template.spectrum.conj()).sum(dim=0)
    correlation = torch.fft.irfft2(product, s=(2 * _CELLS, 2 * _CELLS))
    # the object is in the middle of its patch and the transform counts from the corner
    correlation = correlation.roll((_REACH, _REACH), (0, 1))[:_CELLS, :_CELLS]
    centers = (torch.arange(_CELLS, device=correlation.device) + 0.5) / _CELLS
    down = centers[:, None] - template.row
    right = centers - template.column
    moved = down**2 + right**2
    best = int((correlation - moved).argmax())
    row, column = divmod(best, _CELLS)
    return Region(
        (row + 0.5) / _CELLS,
        (column + 0.5) / _CELLS,
        0.0,
    )
