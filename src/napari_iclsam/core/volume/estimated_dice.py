"""The Dice that a settled plane is expected to reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_iclsam.core.volume.presence import PresenceEvidence

_INTERCEPT = -1.89
_WEIGHTS = np.array([1.81, -0.76, 0.47, 0.06, 2.91])
"""Regression on planes of the development volumes, in the order of `dice_features`.

Each volume left out in turn, the mean absolute error is .11 and the mean error -.002; without the
votes they are .13 and 0.
"""

_FAR = 4.0
"""Distance from which on a larger one tells no more."""


def dice_features(evidence: PresenceEvidence, area: int, agreement: float) -> NDArray[np.float64]:
    """Return what the regression is fitted to.

    That the 2-D method agrees tells as much as it is right itself: overlap times its own estimate.

    Parameters
    ----------
    evidence : PresenceEvidence
    area : int
        Pixels of the mask on the working grid: of a small one, a large part is edge.
    agreement : float
        Of `vote_agreement`.
    """
    return np.array(
        [
            evidence.overlap * special.expit(evidence.estimate),
            min(evidence.distance, _FAR),
            float(evidence.enclosed),
            np.log(area + 1),
            agreement,
        ]
    )


def estimate_settled_dice(evidence: PresenceEvidence, area: int, agreement: float) -> float:
    """Return the expected Dice of a mask; see `dice_features`. It is 0 for an empty mask."""
    if area == 0:
        return 0.0
    return float(special.expit(_INTERCEPT + _WEIGHTS @ dice_features(evidence, area, agreement)))
