"""Which models run where. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""How precisely networks compute."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Models by name, and the device that runs them.

    Attributes
    ----------
    sam, icl : str
        Names or paths of the promptable and the in-context model.
    device : str
        "auto", "cpu", "cuda", ...
    """

    sam: str = "starter"
    icl: str = "starter"
    device: str = "auto"
