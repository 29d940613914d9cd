"""The command `napari-iclsam`: its options, and errors as one line. `commands` does the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from napari_iclsam.commands.inputs import Reading
    from napari_iclsam.commands.job import Workers
    from napari_iclsam.commands.model import Model
    from napari_iclsam.commands.outputs import Destination

C = TypeVar("C", bound=Callable[..., Any])

BAD_INPUT = 2
"""Exit status when the user can mend what is wrong."""

_PATH = click.Path(path_type=Path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    It is 0; 1 if some images of a batch failed; 2 at bad input (one line on the error stream); 130
    if the user stopped it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Not click's own handling, which ends the process and prints errors of several lines.
    try:
        result = application.main(given, prog_name="napari-iclsam", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return _complain(error.format_message(), getattr(error, "ctx", None))
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped.", err=True)
        return 130
    # Whoever read the output, such as "head", has enough of it.
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        # Asked for here, because the option is parsed by what has just failed.
        if "--traceback" in given:
            raise
        return _complain(_in_words(error))
    return result if isinstance(result, int) else 0


def _complain(message: str, context: click.Context | None = None) -> int:
    # One line, whatever an error's text looks like: logs and scripts read lines.
    hint = f" See {context.command_path} --help." if context is not None else ""
    click.echo(f"Error: {' '.join(message.split())}{hint}", err=True)
    return BAD_INPUT


def _in_words(error: BaseException) -> str:
    """Return what an error says; of the system's errors without their number."""
    # "[Errno 28]" tells users nothing.
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    return str(error) or type(error).__name__


def _options(*options: Callable[[C], C]) -> Callable[[C], C]:
    """Make one decorator of several options, shown in this order."""

    def add(command: C) -> C:
        # Decorators apply from the inside: the last one given is shown first.
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _in_pairs(
    context: click.Context, _: click.Parameter, pairs: Sequence[tuple[Path, Path]]
) -> Any:
    """Return the pairs unless the next option was taken for the second file of one."""
    # "--support a.tif --query b.tif" would be read as a pair of "a.tif" and "--query".
    for pair in pairs:
        if any(str(path).startswith("--") for path in pair):
            raise click.UsageError(
                f"--support takes an image and its labels; got {pair[0]} and {pair[1]}.", context
            )
    return pairs


_support = click.option(
    "--support",
    "support",
    nargs=2,
    multiple=True,
    required=True,
    type=_PATH,
    callback=_in_pairs,
    metavar="IMAGE LABELS",
    help="An example: an image and its labels (0 background, 1, 2, ... objects). Repeat it for "
    "more. Of a stack and "
    "labels of the same size, every plane that has labels is an example.",
)
_query = click.option(
    "--query",
    "queries",
    multiple=True,
    required=True,
    type=_PATH,
    metavar="IMAGE|FOLDER|PATTERN",
    help="An image or a stack to segment, a folder of them, or a pattern in quotes, such as "
    "'scans/**/*.tif'. Repeat it for more.",
)


def _as_axis(_: click.Context, __: click.Parameter, text: str) -> int | str:
    # Imported where it is used, as in every command: --help must not wait for torch.
    from napari_iclsam.commands.inputs import parse_axis

    return parse_axis(text)


_view = _options(
    click.option(
        "--axis",
        default="0",
        show_default=True,
        callback=_as_axis,
        metavar="N|DIRECTION",
        help="Axis that the planes of a stack lie along: a number, counted from 0 (of a NIfTI file "
        "0 is its third), "
        "or axial, coronal or sagittal, which a NIfTI file's affine tells.",
    ),
    click.option(
        "--channel",
        metavar="N|NAME",
        help="Channel that is meant, of images with several: a number, counted from 0, or a name.",
    ),
    click.option(
        "--level",
        type=click.IntRange(0),
        metavar="N",
        help="Resolution of an OME-Zarr, 0 is the finest.  [default: as fine as the objects need; "
        "queries as the examples]",
    ),
    click.option(
        "--series",
        metavar="UID",
        help="Series of DICOM folders that hold several: its UID, or the end of it.",
    ),
    click.option(
        "--window",
        nargs=2,
        type=float,
        metavar="LOW HIGH",
        help=(
            "Grey values that become black and white, in all images.  [default: each image by "
            "itself; CT together]"
        ),
    ),
)
_labels = _options(
    click.option(
        "--ignore-label",
        "ignored_labels",
        type=int,
        multiple=True,
        metavar="N",
        help=(
            "A number of the labels that counts as background, such as a rim of 255. Repeat it "
            "for more."
        ),
    ),
    click.option(
        "--instances-as-one",
        is_flag=True,
        help="Take all numbers of the labels but 0 for one object.",
    ),
    click.option(
        "--empty-planes",
        "empty_planes",
        type=int,
        multiple=True,
        metavar="N",
        help="A plane of the stack of examples that holds no object for sure. Repeat it for more.",
    ),
    click.option(
        "--ignore-affine",
        is_flag=True,
        help=(
            "Take NIfTI labels pixel by pixel, although they say that they lie elsewhere than "
            "their image."
        ),
    ),
)
_device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."
)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace files that exist already.")
_report = click.option(
    "--json",
    "report",
    type=_PATH,
    metavar="REPORT",
    help="Write what was found, and by which models, as JSON.",
)
_model = _options(
    click.option(
        "--models",
        default="starter",
        show_default=True,
        metavar="NAME",
        help="Promptable model: a name or a file.",
    ),
    click.option(
        "--icl", metavar="NAME", help="In-context model: a name or a file.  [default: starter]"
    ),
    _device,
    click.option(
        "--mode",
        metavar="auto|paper",
        help="auto: with known gaps closed. paper: step by step as published.",
    ),
    click.option(
        "--setting",
        "assignments",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any other setting. Repeat it for more.",
    ),
)
_batch = _options(
    click.option(
        "--resume",
        is_flag=True,
        help="Leave results alone that the same task has made of the same images, and make the "
        "others.",
    ),
    click.option(
        "--summary",
        type=_PATH,
        metavar="CSV",
        help="Table with a row an image.  [default: summary.csv beside the results of a batch]",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes that segment images side by side; they share the processor's cores, and "
        "each holds the models.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS|local:N",
        help="Let the workers of a dask cluster segment: its scheduler's address, or N workers of "
        "this computer.",
    ),
)
_destination = _options(
    click.option(
        "--output",
        required=True,
        type=_PATH,
        metavar="PATH",
        help=(
            "File for the labels, or a folder (which several queries need): IMAGE_labels, in the "
            "kind of the image."
        ),
    ),
    _report,
    _overwrite,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--traceback", is_flag=True, help="At an error, show where in the program it came from."
)
@click.version_option(package_name="napari-iclsam")
def application(traceback: bool) -> None:
    """Segment images and stacks from a few labelled examples (ICL-SAM, Hu et al. 2024).

    Without files of your own, begin with `napari-iclsam demo`.
    """


@application.command()
@click.option("--headless", is_flag=True, help="Open no window, even if there is a display.")
@click.option(
    "--output",
    type=_PATH,
    default="napari-iclsam-demo",
    show_default=True,
    metavar="DIR",
    help="Folder for the results.",
)
@click.option(
    "--all", "every", is_flag=True, help="Segment all planes of the sample, not 16 of them."
)
@click.option("--sample", type=click.Choice(["brain", "cells"]), default="brain", show_default=True)
@_model
@_overwrite
def demo(
    headless: bool, output: Path, every: bool, sample: str, overwrite: bool, **model: Any
) -> None:
    """Segment a sample, say how well it went, and show it in napari if there is a display."""
    from napari_iclsam.commands.demo import demo as run

    run(sample, output, _model_of(**model), every=every, headless=headless, overwrite=overwrite)


@application.command()
@_support
@_query
@_destination
@_batch
@_view
@_labels
@_model
def segment(
    support: Sequence[tuple[Path, Path]],
    queries: Sequence[Path],
    output: Path,
    report: Path | None,
    **options: Any,
) -> int:
    """Segment images or stacks by examples.

    TIFF, PNG, JPEG, NIfTI, OME-Zarr and DICOM are read; labels are written in the kind of the image
    (of DICOM as NIfTI), with its spatial metadata.
    """
    from napari_iclsam.commands import segment as run

    destination = _destination_of(output, report, options)
    workers = _workers_of(options)
    reading = _reading_of(options)
    model = _model_of(**options)
    return run.segment(support, queries, reading, model, destination, workers)


@application.command()
@_support
@click.option("--output", required=True, type=_PATH, metavar="X.iclsam", help="File to write.")
@_overwrite
@_view
@_labels
@_model
def fit(
    support: Sequence[tuple[Path, Path]], output: Path, overwrite: bool, **options: Any
) -> None:
    """Keep examples and settings in a file, for `predict`, for napari, or for a colleague."""
    from napari_iclsam.commands import fit as run

    reading = _reading_of(options)
    run.fit(support, reading, _model_of(**options), output, overwrite=overwrite)


@application.command()
@click.option(
    "--task",
    required=True,
    type=_PATH,
    metavar="X.iclsam",
    help="File that `fit` or napari has written.",
)
@_query
@_destination
@_batch
@_view
@_device
def predict(
    task: Path,
    queries: Sequence[Path],
    output: Path,
    report: Path | None,
    device: str,
    **options: Any,
) -> int:
    """Segment images or stacks by the examples in a task file."""
    from napari_iclsam.commands import segment as run

    destination = _destination_of(output, report, options)
    workers = _workers_of(options)
    return run.predict(task, queries, _reading_of(options), device, destination, workers)


@application.command()
@_support
@_view
@_labels
@_model
@_report
@_overwrite
def check(
    support: Sequence[tuple[Path, Path]], report: Path | None, overwrite: bool, **options: Any
) -> None:
    """Segment each example by the others: what to expect, and which part of the method to trust."""
    from napari_iclsam.commands import check as run

    reading = _reading_of(options)
    run.check(support, reading, _model_of(**options), report, overwrite=overwrite)


@application.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List, download and verify the weights of models."""
    # Without a word more, the list is what people look for.
    if context.invoked_subcommand is None:
        context.invoke(models_list)


@models.command("list")
def models_list() -> None:
    """Show all models, their licenses, and which are on this computer."""
    from napari_iclsam.commands import weights

    weights.show_models()


@models.command()
@click.argument("name")
@click.option(
    "--from",
    "file",
    type=_PATH,
    metavar="FILE",
    help="Copy it from this file instead of downloading it.",
)
def download(name: str, file: Path | None) -> None:
    """Download the weights NAME from their publisher, check them, and keep them."""
    from napari_iclsam.commands import weights

    weights.download(name, file)


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME or FILE]...")
def verify(names: Sequence[str]) -> None:
    """Compare weights with what their publishers say: by default all that are here."""
    from napari_iclsam.commands import weights

    weights.verify_models(names)


@models.command()
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Print the folder of downloaded weights, or the file of the weights NAME."""
    from napari_iclsam.commands import weights

    weights.show_path(name)


@application.group(invoke_without_command=True)
@click.pass_context
def cache(context: click.Context) -> None:
    """Embeddings of images, kept so that they are computed once."""
    if context.invoked_subcommand is None:
        context.invoke(info)


@cache.command()
def info() -> None:
    """Show where they are and how much room they take."""
    from napari_iclsam.commands import weights

    weights.show_cache()


@cache.command()
def clear() -> None:
    """Delete them all."""
    from napari_iclsam.commands import weights

    weights.clear_cache()


def _reading_of(options: dict[str, Any]) -> Reading:
    """Take out of the options of a command what says how files are to be read."""
    from napari_iclsam.commands.grey_scale import Window
    from napari_iclsam.commands.inputs import Reading

    # Taken out, so that what is left over are the options of the model.
    window = options.pop("window")
    return Reading(
        axis=options.pop("axis"),
        channel=options.pop("channel"),
        level=options.pop("level"),
        series=options.pop("series"),
        window=None if window is None else Window(*window),
        ignored_labels=tuple(options.pop("ignored_labels", ())),
        instances_as_one=options.pop("instances_as_one", False),
        ignore_affine=options.pop("ignore_affine", False),
        empty_planes=options.pop("empty_planes", ()),
    )


def _model_of(
    models: str, icl: str | None, device: str, mode: str | None, assignments: Sequence[str]
) -> Model:
    from napari_iclsam.commands.inputs import read_settings
    from napari_iclsam.commands.model import Model
    from napari_iclsam.core.model_choice import ModelChoice

    choice = ModelChoice(models, icl or "starter", device)
    return Model(choice, read_settings(mode, assignments))


def _destination_of(output: Path, report: Path | None, options: dict[str, Any]) -> Destination:
    """Take out of the options of a command what says where results go."""
    from napari_iclsam.commands.outputs import Destination

    overwrite = options.pop("overwrite")
    resume = options.pop("resume")
    return Destination(output, report, overwrite, resume, options.pop("summary"))


def _workers_of(options: dict[str, Any]) -> Workers:
    """Take out of the options of a command what says who computes."""
    from napari_iclsam.commands.job import Workers

    return Workers(options.pop("jobs"), options.pop("scheduler"))


if __name__ == "__main__":
    sys.exit(main())
