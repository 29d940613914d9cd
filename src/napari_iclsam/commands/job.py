"""What the commands segment and predict are to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_iclsam.commands.model import Model
from napari_iclsam.commands.outputs import Destination
from napari_iclsam.commands.query_run import Work


@dataclass(frozen=True, slots=True)
class Workers:
    """Who segments.

    Attributes
    ----------
    jobs : int
        Processes of this computer.
    scheduler : str, optional
        Of a dask cluster: an address, or ``local:N``.
    """

    jobs: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.jobs > 1:
            raise ValueError("Give --jobs or --scheduler: the workers of a cluster are its own.")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What to segment by, where to write, who does it, and which files must not be written over."""

    work: Work
    model: Model
    destination: Destination
    workers: Workers
    pairs: Sequence[tuple[Path, Path]]
    task: Path | None = None

    @property
    def read(self) -> list[Path]:
        """Files that the examples come from."""
        files = [path for pair in self.pairs for path in pair]
        return files if self.task is None else [*files, self.task]
