"""What a run hands over while it works and when it ends. Knows neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from napari_iclsam._qt.run.request import SliceNumber
from napari_iclsam.core.band_canvas import Band
from napari_iclsam.core.objects.instances import Separation
from napari_iclsam.core.prediction import Prediction


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why an image cannot be segmented.

    Attributes
    ----------
    job : int
        Number of the job.
    reason : str
    """

    job: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunStep:
    """A step of a run.

    Attributes
    ----------
    message : str
        The step in words, for the user.
    done, total : int
        Slices.
    fraction : float
        Part of the whole run that is done, in [0, 1], preparation included.
    seconds : float, optional
        Mean time of a slice in this run; None before the first one is done.
    slice_number : SliceNumber, optional
        Of which slice the prediction is.
    prediction : Prediction, optional
    is_preview : bool
        Whether the prediction is a preview, which the slice's own prediction follows.
    failure : JobFailure, optional
        An image of several that cannot be segmented; the others are.
    example_labels : tuple of ndarray, (H, W)
        The labels of all examples, once they are read: those of files are read in the worker.
    bands : tuple of Band
        Rows of a large plane that are finished.
    separations : mapping of int to Separation
        How touching objects of a large plane are told apart, where examples teach it.
    """

    message: str
    done: int = 0
    total: int = 0
    fraction: float = 0.0
    seconds: float | None = None
    slice_number: SliceNumber | None = None
    prediction: Prediction | None = field(default=None, repr=False)
    is_preview: bool = False
    failure: JobFailure | None = None
    example_labels: tuple[NDArray[Any], ...] = field(default=(), repr=False)
    bands: tuple[Band, ...] = field(default=(), repr=False)
    separations: Mapping[int, Separation] = field(default_factory=dict, repr=False)

    @property
    def seconds_left(self) -> float | None:
        """Time that the remaining slices take; None before the first one is done."""
        return None if self.seconds is None else self.seconds * (self.total - self.done)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run went.

    Attributes
    ----------
    slices : int
        Number of slices that were segmented.
    seconds : float, optional
        Mean time of a slice.
    device : str
    sentences : tuple of str
        What the user should know, such as what was not found.
    unit : str
        What was counted: "slice" or "image".
    expected : mapping of str to float
        By name of a label: how well the examples segmented each other, as Dice coefficient.
    expectation : str
        What is expected, in words.
    """

    slices: int
    seconds: float | None
    device: str
    sentences: tuple[str, ...]
    unit: str = "slice"
    expected: Mapping[str, float] = field(default_factory=dict)
    expectation: str = ""
