"""What a run is asked to do, as values, and the generator that does it in the worker. Knows no Qt."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.slice_stacks import Planes
from napari_iclsam.core.images.intensity import check_image
from napari_iclsam.core.images.planes import PlaneError
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.settings import Settings

if TYPE_CHECKING:
    from napari_iclsam.core.segmenter import ICLSAM
    from napari_iclsam.core.task import Task
    from napari_iclsam.core.task_file import SavedTask


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One example: stacks of one plane, or arrays in memory."""

    image: Planes | NDArray[Any]
    labels: Planes | NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Planes of one image to segment.

    Attributes
    ----------
    number : int
        In the order of the jobs of a run.
    name : str
        Of the image.
    planes : Planes
    """

    number: int
    name: str
    planes: Planes


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """All that a run needs: nothing is read from the viewer while it runs.

    Attributes
    ----------
    models : ModelChoice
    settings : Settings
    pairs : tuple of Pair
    styles : mapping of int to LabelStyle
    jobs : tuple of Job
    first_look : (int, int), optional
        Job and plane to show first, as the in-context model alone sees it: what the user is looking
        at.
    """

    models: ModelChoice
    settings: Settings
    pairs: tuple[Pair, ...]
    styles: Mapping[int, LabelStyle]
    jobs: tuple[Job, ...]
    first_look: tuple[int, int] | None = None

    @property
    def total(self) -> int:
        """Number of planes to segment."""
        return sum(len(job.planes) for job in self.jobs)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run.

    Attributes
    ----------
    message : str
    done, total : int
        Planes.
    seconds : float, optional
        That a plane takes, the mean of this run; None before the first one.
    job, plane : int, optional
        Of which plane the prediction is: its number among the planes of its job.
    prediction : Prediction, optional
    """

    message: str
    done: int = 0
    total: int = 0
    seconds: float | None = None
    job: int | None = None
    plane: int | None = None
    prediction: Prediction | None = field(default=None, repr=False)

    @property
    def is_first_look(self) -> bool:
        """Whether the prediction is a first look, which the plane's own follows."""
        return self.prediction is not None and not self.done


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes
    ----------
    planes : int
    seconds : float, optional
        That a plane took.
    device : str
    sentences : tuple of str
        What the user should know: expected quality, what was not found.
    """

    planes: int
    seconds: float | None
    device: str
    sentences: tuple[str, ...]


class Session:
    """Networks and the last task, kept from run to run: the second run is quick.

    Parameters
    ----------
    cache_bytes : int, optional
        How much the cache of embeddings may hold on disk.
    make : callable, optional
        Makes a segmenter of models and settings; by default of the models' names.
    """

    def __init__(
        self,
        cache_bytes: int | None = None,
        make: Callable[[ModelChoice, Settings], ICLSAM] | None = None,
    ) -> None:
        self._cache_bytes = cache_bytes
        self._make = self._of_names if make is None else make
        self._models: ModelChoice | None = None
        self._segmenter: ICLSAM | None = None
        self._task: Task | None = None
        self._fitted_by: ICLSAM | None = None

    def steps(self, request: Request) -> Generator[Step, None, Outcome]:
        """Fit the task and segment all planes, step by step. Iterated in the worker.

        Raises
        ------
        ValueError, TypeError, OSError, MemoryError
            See `napari_iclsam.core`; the messages are for the user.
        """
        total = request.total
        yield Step("Loading the models", 0, total)
        segmenter = self._segmenter_of(request)
        support = support_of(request)
        with _no_collection():
            segmenter.networks  # noqa: B018 (loads them)
        with _no_collection(), _threads_kept():
            layers.prepare_colors(support.styles)
        task = yield from self._task_steps(segmenter, request, support)
        done, spent, missing = 0, 0.0, dict.fromkeys(support.ids, 0)
        for job in request.jobs:
            began = time.perf_counter()
            for progress in _named_steps(task, job):
                prediction, plane = progress.prediction, progress.plane
                if prediction is None:
                    message = f"Looking at slice {done + 1} of {total}"
                    yield Step(message, done, total, spent / done if done else None)
                    continue
                spent += time.perf_counter() - began
                began = time.perf_counter()
                done += 1
                for label, boxes in prediction.boxes.items():
                    missing[label] += not len(boxes)
                message = f"Slice {done} of {total} is done"
                yield Step(message, done, total, spent / done, job.number, plane, prediction)
        never = [support.name(label) for label, times in missing.items() if done and times == done]
        sentences = tuple(_quality(task)) + (
            (f"Nothing found of: {', '.join(never)}.",) if never else ()
        )
        return Outcome(done, spent / done if done else None, task.provenance.device, sentences)

    def _task_steps(
        self, segmenter: ICLSAM, request: Request, support: SupportSet
    ) -> Generator[Step, None, Task]:
        """Return the last task if it is this one, else fit it."""
        task = self._task
        if task is not None and self._fitted_by is segmenter and _same(task.support, support):
            return task
        steps = segmenter.fit_steps(support, _first_look(request))
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                self._task = end.value
                self._fitted_by = segmenter
                return self._task
            at = request.first_look if progress.prediction is not None else None
            job, plane = at or (None, None)
            yield Step(progress.message, 0, request.total, None, job, plane, progress.prediction)

    def _segmenter_of(self, request: Request) -> ICLSAM:
        from napari_iclsam.core.segmenter import ICLSAM  # (torch)

        old = self._segmenter
        if (
            old is None
            or self._models != request.models
            or old.settings.mode != request.settings.mode
        ):
            self._segmenter = self._make(request.models, request.settings)
            self._models = request.models
        elif old.settings != request.settings:
            self._segmenter = ICLSAM(
                settings=request.settings, cache=old.cache, networks=old.networks
            )
        assert self._segmenter is not None
        return self._segmenter

    def _of_names(self, models: ModelChoice, settings: Settings) -> ICLSAM:
        from napari_iclsam.core.encoder.cache import DISK_LIMIT, EmbeddingCache, default_folder
        from napari_iclsam.core.segmenter import ICLSAM

        new = EmbeddingCache(default_folder(), disk_limit=self._cache_bytes or DISK_LIMIT)
        cache = new if self._segmenter is None else self._segmenter.cache
        return ICLSAM(
            models.sam, icl=models.icl, device=models.device, settings=settings, cache=cache
        )


def _named_steps(task: Task, job: Job) -> Generator[Progress, None, None]:
    """Segment the planes of a job; an error names the image and where the plane lies in it."""
    try:
        yield from task.stack_steps(job.planes)
    except PlaneError as error:
        where = ", ".join(map(str, job.planes.positions[error.plane]))
        place = f"{job.name}, slice {where}: " if where else f"{job.name}: "
        raise ValueError(place + error.reason) from error


def _first_look(request: Request) -> NDArray[Any] | None:
    """Read the plane that is shown first; None if it is no good, which is said when its turn comes."""
    if request.first_look is None:
        return None
    job, plane = request.first_look
    try:
        return check_image(request.jobs[job].planes[plane])
    except (ValueError, TypeError):
        return None


def support_of(request: Request) -> SupportSet:
    """Read the examples and check them."""
    images = [_read(pair.image) for pair in request.pairs]
    labels = [_read(pair.labels) for pair in request.pairs]
    return SupportSet.of(images, labels, request.styles)


def task_of(request: Request) -> SavedTask:
    """Return what a task file keeps of a request. Called in the worker."""
    from napari_iclsam.core.task_file import SavedTask

    return SavedTask(support_of(request), request.settings, request.models)


def device_steps(name: str) -> Generator[None, None, str]:
    """Find out, in the worker, what the device "auto" is here; this also imports all that a run needs."""
    yield
    with _no_collection():
        import napari_iclsam.core.segmenter  # noqa: F401 (takes a second, and holds up the window now and then)
        from napari_iclsam.core.encoder.device import choose_device

    return str(choose_device(name))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Make many objects that stay, without the garbage collector's passes over all there are.

    A full pass stops the window for some tenths of a second; imports, networks and compiled code
    cause several.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()  # what was made has grown old now, without a pass
        if was_on:
            gc.enable()


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Keep the number of PyTorch's threads in this one. Numba, which compiles colors, makes it the number of cores."""
    import torch

    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _read(source: Planes | NDArray[Any]) -> NDArray[Any]:
    return np.asarray(source[0]) if isinstance(source, Planes) else source


def _same(a: SupportSet, b: SupportSet) -> bool:
    return a.fingerprint() == b.fingerprint() and a.styles == b.styles


def _quality(task: Task) -> list[str]:
    """Say what the examples make expect, label by label."""
    names = ((task.support.name(label), score) for label, score in task.cross_validated.items())
    return [f"{name}: expected Dice about {score.fused:.2f}." for name, score in names]
