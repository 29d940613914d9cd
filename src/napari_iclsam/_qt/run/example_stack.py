"""The stack that all examples of a run are slices of, if there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Job, Request
from napari_iclsam._qt.viewer.slice_stacks import SliceOrientation, SliceStack
from napari_iclsam.core.images.intensity import check_image
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.volume.scaled_volume import ScaledVolume


@dataclass(frozen=True, slots=True, eq=False)
class ExampleStack:
    """A stack some of whose slices are the examples.

    Attributes
    ----------
    volume : ScaledVolume
        All its slices along axis 0, on one scale of grey values.
    pairs : mapping of int to int
        By slice: its number among the examples.
    """

    volume: ScaledVolume
    pairs: Mapping[int, int]

    def on_one_scale(self, support: SupportSet) -> SupportSet:
        """Return the examples on the scale of the stack."""
        images = [self.volume.scale.to_uint8(image) for image in support.images]
        return support.with_images(images)

    @staticmethod
    def planes_of(job: Job) -> list[int]:
        """Return the slices that a job is to segment."""
        return [position[0] for position in job.slices.positions]


def example_stack_of(request: Request) -> ExampleStack | None:
    """Return the stack that all examples and jobs are slices of, in one orientation, if any."""
    stacks: list[SliceStack] = [job.slices for job in request.jobs]
    examples: list[SliceStack] = []
    for pair in request.pairs:
        # a slice that is known in part does not tell where the objects of a stack end
        if not isinstance(pair.image, SliceStack) or pair.region is not None:
            return None
        examples.append(pair.image)
    first = stacks[0]
    if first.orientation.ndim != 3 or not _are_of(first, [*stacks, *examples]):
        return None
    pairs = {image.positions[0][0]: number for number, image in enumerate(examples)}
    if len(pairs) < len(examples):
        # one slice with two sets of labels: which of them holds is not known
        return None
    volume = _whole(first.array, first.orientation)
    wanted: list[int] = []
    for job in request.jobs:
        wanted += ExampleStack.planes_of(job)
    return ExampleStack(ScaledVolume.of(volume, 0, pairs, wanted), pairs)


def _are_of(stack: SliceStack, others: Sequence[SliceStack]) -> bool:
    """Return whether all are slices of the array of one, in its orientation."""
    return all(
        other.array is stack.array and other.orientation == stack.orientation for other in others
    )


def _whole(array: ArrayLike, orientation: SliceOrientation) -> SliceStack:
    return SliceStack(array, orientation, tuple(orientation.positions(array.shape)))


def read_preview(request: Request, stack: ExampleStack | None) -> NDArray[Any] | None:
    """Read the slice of the preview; None if it is no image, which is said when its turn comes."""
    if request.preview is None:
        return None
    slices = request.jobs[request.preview.job].slices
    try:
        image = check_image(slices[request.preview.number])
    except (ValueError, TypeError):
        return None
    return image if stack is None else stack.volume.scale.to_uint8(image)
