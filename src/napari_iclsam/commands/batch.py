"""Many images segmented by one task: what is to be done, what is done, and what is said of it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click

from napari_iclsam.commands.batch_bar import BatchBar, batch_bar
from napari_iclsam.commands.file_run import FileReport, FileWork
from napari_iclsam.commands.object_results import check_tables, table_path
from napari_iclsam.commands.outputs import (
    Destination,
    check_targets,
    is_folder,
    output_paths,
    spare_inputs,
    written_together,
)
from napari_iclsam.commands.records import FOLDER, read_record
from napari_iclsam.commands.report import write_report
from napari_iclsam.commands.scratch_folder import folder_beside
from napari_iclsam.commands.summary import SUMMARY, read_summary, write_summary
from napari_iclsam.files import check_writable_as, home_of

SOME_FAILED = 1
"""Exit status when some files could not be segmented; the results of the others are kept."""

_NAMED = 5
"""Results are named one by one up to this number."""

Runner = Callable[[Sequence[FileWork], BatchBar], Generator[FileReport, None, None]]
"""Segments files, wherever, and yields what became of each, in any order."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes
    ----------
    paths : tuple of Path
        All images, in the order in which they are reported.
    files : tuple of FileWork
        Those to segment.
    kept : tuple of FileReport
        Those that an earlier run has segmented.
    workshop : Path
        Folder for what is being written; not made yet.
    """

    paths: tuple[Path, ...]
    files: tuple[FileWork, ...]
    kept: tuple[FileReport, ...]
    workshop: Path


@dataclass(slots=True)
class _Ledger:
    """What became of the files so far."""

    plan: Plan
    reports: dict[Path, FileReport] = field(default_factory=dict)

    def in_order(self) -> list[FileReport]:
        """Return the reports in the order of the images."""
        return [self.reports[path] for path in self.plan.paths if path in self.reports]

    def of_state(self, state: str) -> list[FileReport]:
        """Return those of one state, likewise."""
        return [report for report in self.in_order() if report.state == state]


def plan_batch(
    paths: Sequence[Path], read: Sequence[Path], task: str, destination: Destination
) -> Plan:
    """Find out which images are to be segmented, and that their results can be written.

    Parameters
    ----------
    paths : sequence of Path
        Images.
    read : sequence of Path
        Other files that must not be written over.
    task : str
        Checksum of the task.
    destination : Destination

    Raises
    ------
    FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError
    ValueError
        Two images would have one result, or a result cannot be written as what its name says.
    """
    outputs = output_paths(destination.output, paths)
    check_tables(destination.measure, len(paths))
    _check_names(paths, outputs)
    spare_inputs(outputs, [*paths, *read])
    folder = _folder_of(outputs)
    workshop = folder / FOLDER / f"run-{uuid.uuid4().hex[:8]}"
    files = []
    kept = []
    for path, output in zip(paths, outputs, strict=True):
        _check_image(path)
        check_writable_as(output, 1, stack=False)
        report = _kept(path, output, task) if destination.resume else None
        if report is not None:
            kept.append(report)
            continue
        _check_new(output, destination)
        table = table_path(destination.measure, path)
        if table is not None:
            _check_new(table, destination)
        files.append(FileWork(path, output, task, workshop, destination.overwrite, table))
    return Plan(tuple(paths), tuple(files), tuple(kept), workshop)


def run_batch(
    plan: Plan,
    runner: Runner,
    destination: Destination,
    pairs: Sequence[tuple[Path, Path]],
    notes: Sequence[str],
) -> int:
    """Segment the images of a plan, and say what became of each.

    Returns
    -------
    int
        Exit status: 0, or `SOME_FAILED`.

    Raises
    ------
    OSError
        The disk is full, or cannot be written to; what is complete is kept.
    """
    ledger = _Ledger(plan, {report.path: report for report in plan.kept})
    summary = _summary_path(destination)
    targets = [path for path in (destination.report, summary) if path is not None]
    # Of an earlier run of this batch, which a summary is the sum of.
    overwrite = destination.overwrite or destination.resume
    with written_together(targets, overwrite=overwrite) as pending:
        try:
            _run(plan, runner, ledger)
        # Also when the user stops it, which is no Exception.
        except BaseException:
            with suppress(OSError):
                _write_summary(summary, ledger)
            _say_kept(ledger.of_state("done"))
            raise
        _write_summary(summary, ledger)
        if destination.report:
            with pending.writing(destination.report) as place:
                entries = [report.to_dict() for report in ledger.in_order()]
                write_report(place, entries, pairs, notes)
    return _say(ledger, summary)


def _run(plan: Plan, runner: Runner, ledger: _Ledger) -> None:
    if not plan.files:
        return
    with (
        _workshop(plan.workshop),
        batch_bar(len(plan.files)) as bar,
        closing(runner(plan.files, bar)) as reports,
    ):
        for report in reports:
            bar.finish(report.path.name)
            ledger.reports[report.path] = report
            if report.disk_error is not None:
                raise OSError(report.error)


@contextmanager
def _workshop(folder: Path) -> Iterator[None]:
    """Make a folder for what is being written, and remove it when the block ends."""
    results = folder.parent.parent
    is_new = not results.exists()
    # Says in words that a place cannot be written to.
    with folder_beside(results):
        folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # A run that has made nothing leaves nothing.
        with suppress(OSError):
            folder.parent.rmdir()
            if is_new:
                results.rmdir()


def _folder_of(outputs: Sequence[Path]) -> Path:
    """Return the folder of results, in which their records lie, too."""
    folder = outputs[0].parent
    if home_of(outputs[0]) != folder:
        raise ValueError(
            f"{outputs[0]} lies in an OME-Zarr image, which keeps no records of a batch: leave "
            "--resume and --summary out, and segment one image at a time."
        )
    return folder


def _check_names(paths: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Check that no two images have one result: a.png and a.jpg, or a.tif and sub/a.tif."""
    first: dict[Path, Path] = {}
    for path, output in zip(paths, outputs, strict=True):
        other = first.setdefault(output.absolute(), path)
        if other != path:
            raise ValueError(
                f"Two results would both be {output}, of {other} and of {path}: rename one of "
                "them, or segment them into folders of their own."
            )


def _check_image(path: Path) -> None:
    # A mistyped name is told before hours of work; what is in the file, when its turn comes.
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")


def _check_new(output: Path, destination: Destination) -> None:
    if not output.exists() or destination.overwrite:
        check_targets([output], overwrite=True)
        return
    if destination.resume:
        raise FileExistsError(
            f"{output} exists already and is not what this task makes of this image: give "
            "--overwrite to replace it, or another --output."
        )
    raise FileExistsError(
        f"{output} exists already: give --overwrite to replace it, --resume to keep what this task "
        "has made, or another --output."
    )


def _kept(path: Path, output: Path, task: str) -> FileReport | None:
    """Return the report of an earlier run, if its result is there and is of this task and image."""
    if not output.exists():
        return None
    record = read_record(output)
    if record is None or not record.is_of(path, task):
        return None
    line = f"{path} -> {output}  (kept)"
    return FileReport(path, output, "kept", record.entry, (line,))


def _summary_path(destination: Destination) -> Path | None:
    """Return where the summary goes: beside results in a folder, else only if a file was named."""
    if destination.summary is None and is_folder(destination.output):
        return destination.output / SUMMARY
    return destination.summary


def _write_summary(path: Path | None, ledger: _Ledger) -> None:
    """Write the summary, if there is anything to say; a row an image that is known of."""
    reports = ledger.in_order()
    if path is None or not reports:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        write_summary(place, reports, read_summary(path))
        place.replace(path)
    except OSError as error:
        why = error.strerror or os.strerror(error.errno or 0)
        raise OSError(error.errno, f"{why}; the results are kept", str(path)) from error
    finally:
        place.unlink(missing_ok=True)


def _say_kept(done: Sequence[FileReport]) -> None:
    """Say which results are complete, of a run that ended too soon."""
    if not done:
        return
    named = ", ".join(str(report.output) for report in done[:_NAMED])
    rest = len(done) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    click.echo(f"Done before that, and kept: {named}{more}. --resume goes on from here.", err=True)


def _say(ledger: _Ledger, summary: Path | None) -> int:
    """Say what was found, and what failed; return the exit status."""
    for report in ledger.in_order():
        if report.lines:
            click.echo("\n".join(report.lines))
    _say_task(ledger)
    failed = ledger.of_state("failed")
    click.echo(_total(ledger, summary))
    for report in failed:
        click.echo(f"Failed: {_said_once(report)}", err=True)
    return SOME_FAILED if failed else 0


def _said_once(report: FileReport) -> str:
    """Return what is wrong with a file, with its name, which most messages hold already."""
    named = str(report.path) in report.error
    return report.error if named else f"{report.path}: {report.error}"


def _say_task(ledger: _Ledger) -> None:
    for report in ledger.in_order():
        if report.facts is not None:
            report.facts.say_models()
            report.facts.say_expectation()
            return


def _total(ledger: _Ledger, summary: Path | None) -> str:
    """Return how many files are done, kept and failed."""
    counts = []
    for state, word in (("done", "segmented"), ("kept", "kept"), ("failed", "failed")):
        count = len(ledger.of_state(state))
        if count:
            counts.append(f"{count} {word}")
    where = f"; table: {summary}" if summary is not None else ""
    return f"{len(ledger.plan.paths)} images: {', '.join(counts)}{where}."
