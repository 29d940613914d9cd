"""The command `napari-iclsam`: its options, and errors as one line. `commands` does the work."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from napari_iclsam.commands.notes import say_notes
from napari_iclsam.options import (
    AS_PATH,
    ExamplesCommand,
    batch_options,
    destination_of,
    destination_options,
    device_option,
    label_options,
    model_of,
    model_options,
    overwrite_option,
    query_option,
    reading_of,
    region_option,
    report_option,
    support_option,
    view_options,
    workers_of,
)

_PACKAGE = Path(__file__).parent

DEMO_FOLDER = "napari-iclsam-demo"
"""Where the results of the demo go unless another folder is given; what lies there is its own."""

BAD_INPUT = 2
"""Exit status when the user can mend what is wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    It is 0; 1 if some images of a batch failed; 2 at bad input (one line on the error stream); 130
    if the user stopped it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Not click's own handling, which ends the process and prints errors of several lines.
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say_warning
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


def _say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say a warning of this package as a note: where it arose tells users nothing."""
    if category is UserWarning and Path(filename).is_relative_to(_PACKAGE):
        say_notes([str(message)])
    else:
        shown = warnings.formatwarning(message, category, filename, lineno, line)
        click.echo(shown, file=file or sys.stderr, nl=False)


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
    if "failed to map segment" in str(error):
        return f"{error}: a limit on memory (ulimit -v) leaves too little for PyTorch. Allow 4 GB."
    return str(error) or type(error).__name__


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
    type=AS_PATH,
    default=DEMO_FOLDER,
    show_default=True,
    metavar="DIR",
    help="Folder for the results.",
)
@click.option(
    "--all", "every", is_flag=True, help="Segment all planes of the sample, not 16 of them."
)
@click.option("--sample", type=click.Choice(["brain", "cells"]), default="brain", show_default=True)
@model_options
@overwrite_option
def demo(
    headless: bool, output: Path, every: bool, sample: str, overwrite: bool, **model: Any
) -> None:
    """Segment a sample, say how well it went, and show it in napari if there is a display."""
    from napari_iclsam.commands.demo import demo as run

    # a second demo replaces what the first one left
    overwrite = overwrite or output == Path(DEMO_FOLDER)
    run(sample, output, model_of(**model), every=every, headless=headless, overwrite=overwrite)


@application.command(cls=ExamplesCommand)
@support_option
@region_option
@query_option
@destination_options
@batch_options
@view_options
@label_options
@model_options
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

    destination = destination_of(output, report, options)
    workers = workers_of(options)
    reading = reading_of(options)
    model = model_of(**options)
    return run.segment(support, queries, reading, model, destination, workers)


@application.command(cls=ExamplesCommand)
@support_option
@region_option
@click.option("--output", required=True, type=AS_PATH, metavar="X.iclsam", help="File to write.")
@overwrite_option
@view_options
@label_options
@model_options
def fit(
    support: Sequence[tuple[Path, Path]], output: Path, overwrite: bool, **options: Any
) -> None:
    """Keep examples and settings in a file, for `predict`, for napari, or for a colleague."""
    from napari_iclsam.commands import fit as run

    reading = reading_of(options)
    run.fit(support, reading, model_of(**options), output, overwrite=overwrite)


@application.command()
@click.option(
    "--task",
    required=True,
    type=AS_PATH,
    metavar="X.iclsam",
    help="File that `fit` or napari has written.",
)
@query_option
@destination_options
@batch_options
@view_options
@device_option
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

    destination = destination_of(output, report, options)
    workers = workers_of(options)
    return run.predict(task, queries, reading_of(options), device, destination, workers)


@application.command(cls=ExamplesCommand)
@support_option
@region_option
@view_options
@label_options
@model_options
@report_option
@overwrite_option
def check(
    support: Sequence[tuple[Path, Path]], report: Path | None, overwrite: bool, **options: Any
) -> None:
    """Segment each example by the others: what to expect, and which part of the method to trust."""
    from napari_iclsam.commands import check as run

    reading = reading_of(options)
    run.check(support, reading, model_of(**options), report, overwrite=overwrite)


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
    type=AS_PATH,
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


if __name__ == "__main__":
    sys.exit(main())
