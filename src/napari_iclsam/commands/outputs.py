"""Where results go: names beside each other, files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from napari_iclsam.commands.scratch_folder import folder_beside
from napari_iclsam.files import (
    check_replaceable,
    home_of,
    labels_suffix,
    place_name,
    publish,
    result_kind,
    stem,
    suffix,
)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where labels, report and summary go.

    Attributes
    ----------
    output : Path
        A file, or a folder.
    report : Path, optional
    overwrite : bool
        Replace files that exist.
    resume : bool
        Leave results alone that the same task has made of the same image.
    summary : Path, optional
        Of a batch; by default beside the results.
    objects : bool
        Write ids of objects in the place of labels.
    measure : Path, optional
        File, or folder, for the measurements of objects.
    """

    output: Path
    report: Path | None
    overwrite: bool
    resume: bool = False
    summary: Path | None = None
    objects: bool = False
    measure: Path | None = None


def is_folder(output: Path) -> bool:
    """Return whether results go into a folder of this name, and not into one file."""
    # A result may be a folder, too, or have no suffix: a group inside an OME-Zarr.
    if result_kind(output) == "omezarr":
        return False
    # A folder may be called "results.tif": what exists goes before what the name says.
    return output.is_dir() or not suffix(output)


def output_paths(output: Path, queries: Sequence[Path]) -> list[Path]:
    """Return where the labels of each query go.

    Parameters
    ----------
    output : Path
        A folder, or a file (it has a suffix) if there is one query. In a folder, the labels of
        ``a.tif`` are called ``a_labels.tif``.
    queries : sequence of Path

    Raises
    ------
    ValueError
        One file is named for several queries.
    """
    if is_folder(output):
        return [output / f"{stem(query)}_labels{labels_suffix(query)}" for query in queries]
    if len(queries) > 1:
        raise ValueError(
            f"There are {len(queries)} queries: name a folder as --output, not the file {output}."
        )
    return [output]


def spare_inputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Check that no result would replace a file that is read.

    Raises
    ------
    ValueError
    """
    # --overwrite is meant for results: no option gives up an image.
    read = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise ValueError(f"{output} is one of the images read: name another file as --output.")


@dataclass(frozen=True, slots=True, eq=False)
class PendingFiles:
    """Files that are being written under temporary names.

    Attributes
    ----------
    places : mapping of Path to Path
        Where to write each target for the time being.
    published : list of Path
        Targets that are there already, and stay whatever happens to the others.
    """

    places: Mapping[Path, Path]
    published: list[Path] = field(default_factory=list)

    def __getitem__(self, target: Path) -> Path:
        """Return where to write a target."""
        return self.places[target]

    def publish(self, target: Path) -> None:
        """Let a file that is complete appear under its own name."""
        # Made now, not before: a run that fails leaves no empty folder.
        target.parent.mkdir(parents=True, exist_ok=True)
        publish(self.places[target], target)
        self.published.append(target)

    @contextmanager
    def writing(self, target: Path) -> Iterator[Path]:
        """Yield where to write a target; errors of the disk name the target.

        Raises
        ------
        OSError
            Such as a full disk.
        """
        try:
            yield self.places[target]
        except OSError as error:
            # One without a number is a message of ours, which names the file already.
            if error.errno is None:
                raise
            why = error.strerror or os.strerror(error.errno)
            raise OSError(
                error.errno, f"{why}; nothing of this file was kept", str(target)
            ) from error


@contextmanager
def written_together(targets: Sequence[Path], *, overwrite: bool) -> Iterator[PendingFiles]:
    """Give each file a temporary name; all appear under their own when the block ends well.

    If it does not end well, only those appear that were published before.

    Parameters
    ----------
    targets : sequence of Path
        Folders that do not exist are made.
    overwrite : bool
        Whether files that exist may be replaced.

    Yields
    ------
    PendingFiles
        What is not written does not appear.

    Raises
    ------
    FileExistsError, IsADirectoryError, PermissionError, NotADirectoryError
        Before anything is done.
    ValueError
        Two of them are the same file.
    """
    check_targets(targets, overwrite=overwrite)
    with ExitStack() as stack:
        folders: dict[Path, Path] = {}
        places: dict[Path, Path] = {}
        for number, target in enumerate(targets):
            home = home_of(target)
            if home not in folders:
                folders[home] = stack.enter_context(folder_beside(home))
            # The whole name is kept: writers choose the format by its suffix.
            places[target] = folders[home] / f"{number}-{place_name(target)}"
        pending = PendingFiles(places)
        yield pending
        for target, place in places.items():
            if place.exists():
                pending.publish(target)


def check_targets(targets: Sequence[Path], *, overwrite: bool) -> None:
    """Check that files may be written under these names.

    Raises
    ------
    IsADirectoryError, FileExistsError
    ValueError
        Two of them are the same file.
    """
    for target in targets:
        if target.is_dir() and result_kind(target) != "omezarr":
            raise IsADirectoryError(
                f"{target} is a folder, and a file of this name was to be written."
            )
        if target.is_dir():
            check_replaceable(target)
        if target.exists() and not overwrite:
            raise FileExistsError(
                f"{target} exists already: give --overwrite to replace it, or another name."
            )
    # a.tif and sub/a.tif have one name in a folder of results.
    names = [target.absolute() for target in targets]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"Two results would both be {twice}: run images of the same name one by one."
        )
