"""Where results of a run go, how they look, and what else is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from napari.layers import Labels

from napari_iclsam.core.images.support import LabelStyle

Destination = Literal["update", "new", "fill"]
"""The previous result of the image, a new layer, or unlabelled pixels of the user's labels."""

Extra = Literal["probability", "confidence", "icl", "sam", "boxes"]


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """What the user chose for results.

    Attributes
    ----------
    destination : {"update", "new", "fill"}
    replace_corrections : bool
        Write over slices that were corrected by hand.
    extras : frozenset of Extra
    """

    destination: Destination = "update"
    replace_corrections: bool = False
    extras: frozenset[Extra] = frozenset()

    @property
    def shows_models(self) -> bool:
        """Whether something is shown that exists only for slices that the models have seen."""
        return bool(self.extras - {"probability"})


@dataclass(frozen=True, slots=True, eq=False)
class ResultStyle:
    """How results of a run look and where they go.

    Attributes
    ----------
    options : ResultOptions
    styles : mapping of int to LabelStyle
    dtype : dtype
        Of new labels layers.
    colormap : LabelColormapBase, optional
        Of new labels layers; by default napari's.
    user_labels : Labels, optional
        The labels that the user painted, if there are any.
    """

    options: ResultOptions
    styles: Mapping[int, LabelStyle]
    dtype: np.dtype[Any]
    colormap: Any = None
    user_labels: Labels | None = None

    @property
    def labels_to_fill(self) -> Labels | None:
        """The user's labels, if their unlabelled pixels are to be filled."""
        return self.user_labels if self.options.destination == "fill" else None
