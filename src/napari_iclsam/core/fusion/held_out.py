"""Examples that are segmented by means of the others, to learn what to believe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.fusion.log_odds import LogOdds, log_odds_of
from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.fusion.weights import Kept
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.steps import evenly_spaced

FOLDS = 4
"""Parts of the support set that are held out one after the other."""

HELD_OUT = 12
"""At most so many examples are held out."""

_PIXELS = 64 * 64
"""About so many pixels of each example are compared, on a lattice. Four times as many change the
mean Dice on the training sets by less than .001, and take four times as long."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An example segmented by means of others, at n of its pixels, for L labels.

    Attributes
    ----------
    log_odds : LogOdds
        (L, n) each.
    full_image : Tensor, (L, n), bool
        Mask of the in-context model by its full-image stage.
    truth : Tensor, (L, n), bool
    """

    log_odds: LogOdds
    full_image: Tensor
    truth: Tensor

    def only(self, kept: Kept) -> HeldOut:
        """Return the example without the parts that do not help."""
        parts = list(kept.of(len(self.log_odds.parts)))
        chosen = LogOdds(
            self.log_odds.parts[parts],
            self.log_odds.agreement[parts],
        )
        return replace(self, log_odds=chosen)


def held_out(
    outputs: StageOutputs,
    masks: NDArray[np.bool_],
    foreground: Sequence[float],
    known: NDArray[np.bool_] | None = None,
) -> HeldOut:
    """Sample the outputs of an example and its masks (L, H, W) on a lattice.

    Parameters
    ----------
    outputs : StageOutputs
    masks : ndarray, (L, H, W), bool
    foreground : sequence of float
        Of `foreground_log_odds` of the other examples.
    known : ndarray, (H, W), bool, optional
        Pixels that are compared; by default all.
    """
    # on all pixels: agreement is measured there, as it will be for a query
    log_odds = log_odds_of(outputs, foreground)
    full_image = resize(outputs.full_image, outputs.size) > 0.5
    truth = torch.from_numpy(np.ascontiguousarray(masks))
    truth = truth.to(log_odds.icl.device)[:, None]
    # hundreds of candidates are scored on each example: all pixels would cost far more and tell
    # little more
    step = math.ceil(math.sqrt(masks[0].size / _PIXELS))

    # from the middle of a step, so that no border is preferred
    lattice = slice(step // 2, None, step)
    if known is None:
        known = np.ones(masks.shape[1:], bool)
    on_lattice = np.ascontiguousarray(known[lattice, lattice])
    compared = torch.from_numpy(on_lattice).to(truth.device).flatten()

    def sample(pixels: Tensor) -> Tensor:
        return pixels[..., lattice, lattice].flatten(-3)[..., compared]

    sampled = LogOdds(sample(log_odds.parts), log_odds.agreement)
    return HeldOut(sampled, sample(full_image), sample(truth))


def folds(count: int) -> list[list[int]]:
    """Split ``count`` examples into parts to hold out.

    At most `HELD_OUT` in all are held out, evenly spaced over the set.
    """
    chosen = evenly_spaced(count, HELD_OUT)
    parts = min(FOLDS, len(chosen))
    # interleaved: neighbors in a set (slices of one scan) are alike and must not all be missing
    return [chosen[start::parts] for start in range(parts)]


def holding(cases: Sequence[HeldOut], label: int) -> list[HeldOut]:
    """Return those examples that hold a label."""
    return [case for case in cases if case.truth[label].any()]


def segmented_by_others(cases: Sequence[HeldOut], label: int) -> list[HeldOut]:
    """Return those examples that hold a label, or none if a single one does.

    The others then did not show it, and what they missed tells nothing of other images.
    """
    known = holding(cases, label)
    return known if len(known) > 1 else []
