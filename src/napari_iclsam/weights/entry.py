"""An entry of the catalogue: one file of weights, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["sam", "icl"]
"""A promptable model, or an in-context model."""


Architecture = Literal[
    "starter_sam", "starter_icl", "vit_b", "vit_l", "vit_h", "vit_t", "vit_t_256", "universeg"
]


Scaling = Literal["sam", "medsam", "lite_medsam", "starter", "universeg"]
"""How the model wants its pixels; a property of the weights."""


FusionDefault = Literal["published", "starter"]
"""Fusion weights of Hu et al. 2024, or those of the smaller starter-sam."""


_LARGE = frozenset({"vit_b", "vit_l", "vit_h"})


_FINE_TUNABLE = frozenset({"starter_icl"})


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of weights.

    Attributes
    ----------
    name, title : str
        What the user types, and what the user reads.
    kind : {"sam", "icl"}
    architecture : str
    filename : str
        Under which name it is kept.
    license, license_url : str
        License of the weights (not of the code), and where to read it.
    citation : str
    preprocessing : str
    parameters : int
        Number of parameters.
    memory : int
        Bytes of main memory that loading it and embedding one image takes, roughly, in single
        precision, beside those of Python and PyTorch.
    cost : str
        What one image costs, in words.
    good_for : str
        When to take it, in words.
    urls : tuple of str
        Addresses, tried in this order. None for bundled weights.
    size : int, optional
        Exact length in bytes, where it is known.
    checksum : str, optional
        "sha256:...", "md5:...", "xxh128:..." or "git-blob-sha1:..."; None for bundled weights.
    research_only : bool
        The license allows research only.
    bundled : bool
        Comes with the package: never downloaded.
    """

    name: str
    title: str
    kind: Kind
    architecture: Architecture
    filename: str
    license: str
    license_url: str
    citation: str
    preprocessing: Scaling
    parameters: int
    memory: int
    cost: str
    good_for: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    checksum: str | None = None
    research_only: bool = False
    bundled: bool = False

    @property
    def large(self) -> bool:
        """Whether it is one of SAM's vision transformers: half precision pays."""
        return self.architecture in _LARGE

    @property
    def fine_tunable(self) -> bool:
        """Whether it gains by test-time fine-tuning."""
        return self.architecture in _FINE_TUNABLE

    @property
    def fusion_default(self) -> FusionDefault:
        """Which fusion weights hold before any are cross-validated."""
        return "starter" if self.architecture == "starter_sam" else "published"

    @property
    def about_size(self) -> int:
        """Length in bytes, from the number of parameters where it is not known exactly."""
        if self.size is not None:
            return self.size
        # Bundled weights are in half precision.
        bytes_each = 2 if self.bundled else 4
        return bytes_each * self.parameters
