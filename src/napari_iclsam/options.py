"""Options that several commands share, and the values that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from napari_iclsam.commands.inputs import Reading
    from napari_iclsam.commands.job import Workers
    from napari_iclsam.commands.model import Model
    from napari_iclsam.commands.outputs import Destination
    from napari_iclsam.core.images.regions import LabelledRegion


C = TypeVar("C", bound=Callable[..., Any])

AS_PATH = click.Path(path_type=Path)
"""Options that name a file give a `Path`."""


def joined_options(*options: Callable[[C], C]) -> Callable[[C], C]:
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


support_option = click.option(
    "--support",
    "support",
    nargs=2,
    multiple=True,
    required=True,
    type=AS_PATH,
    callback=_in_pairs,
    metavar="IMAGE LABELS",
    help="An example: an image and its labels (0 background, 1, 2, ... objects). Repeat it for "
    "more. Of a stack and "
    "labels of the same size, every plane that has labels is an example.",
)


region_option = click.option(
    "--region",
    "regions",
    nargs=4,
    multiple=True,
    type=int,
    metavar="Y0 X0 Y1 X1",
    help="What is labelled of the example before it, if not the whole: rows Y0 to Y1 and columns "
    "X0 to X1, counted from 0, without the ends. What lies outside is unknown. Repeat it for more.",
)


class ExamplesCommand(click.Command):
    """A command whose ``--region`` belongs to the ``--support`` before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note which example each region belongs to; click itself keeps options apart."""
        # Parsed twice, for the first reading empties the list.
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        examples = -1
        owners: list[int] = []
        for option in order:
            if option.name == "support":
                examples += 1
            elif option.name == "regions":
                owners.append(examples)
        if -1 in owners:
            raise click.UsageError("--region belongs behind the --support that it is part of.", ctx)
        ctx.meta[_OWNERS] = owners
        return super().parse_args(ctx, args)


_OWNERS = "napari_iclsam.regions"
"""Key of the numbers of the examples that regions belong to."""


query_option = click.option(
    "--query",
    "queries",
    multiple=True,
    required=True,
    type=AS_PATH,
    metavar="IMAGE|FOLDER|PATTERN",
    help="An image or a stack to segment, a folder of them, or a pattern in quotes, such as "
    "'scans/**/*.tif'. Repeat it for more.",
)


def _as_axis(_: click.Context, __: click.Parameter, text: str | None) -> int | str | None:
    if text is None:
        return None
    # Imported where it is used, as in every command: --help must not wait for torch.
    from napari_iclsam.commands.inputs import parse_axis

    return parse_axis(text)


view_options = joined_options(
    click.option(
        "--axis",
        callback=_as_axis,
        metavar="N|DIRECTION",
        help="Axis that the planes of a stack lie along: a number, counted from 0 (of a NIfTI file "
        "0 is its third), "
        "or axial, coronal or sagittal, which a NIfTI file's affine tells.  [default: 0; with a "
        "task, as its examples]",
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
        metavar="NAME",
        help="Series of DICOM folders that hold several: its UID, or the end of it. Of files of "
        "microscopes: the number or name of a scene.",
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


label_options = joined_options(
    click.option(
        "--ignore-label",
        "ignored_labels",
        type=int,
        multiple=True,
        metavar="N",
        help=(
            "A number of the labels that is neither an object nor background, such as a rim of "
            "255. Repeat it for more."
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


device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."
)


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace files that exist already."
)


report_option = click.option(
    "--json",
    "report",
    type=AS_PATH,
    metavar="REPORT",
    help="Write what was found, and by which models, as JSON.",
)


model_options = joined_options(
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
    device_option,
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


batch_options = joined_options(
    click.option(
        "--resume",
        is_flag=True,
        help="Leave results alone that the same task has made of the same images, and make the "
        "others.",
    ),
    click.option(
        "--summary",
        type=AS_PATH,
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


destination_options = joined_options(
    click.option(
        "--output",
        required=True,
        type=AS_PATH,
        metavar="PATH",
        help=(
            "File for the labels, or a folder (which several queries need): IMAGE_labels, in the "
            "kind of the image."
        ),
    ),
    click.option(
        "--objects",
        is_flag=True,
        help="Write objects, touching ones separated, each with an id of its own, in the place of "
        "labels.",
    ),
    click.option(
        "--measure",
        type=AS_PATH,
        metavar="CSV|FOLDER",
        help="Write a table of the objects: area or volume, place, axes, intensity. Of several "
        "queries, a folder: IMAGE_objects.csv.",
    ),
    report_option,
    overwrite_option,
)


def reading_of(options: dict[str, Any]) -> Reading:
    """Take out of the options of a command what says how files are to be read."""
    from napari_iclsam.commands.inputs import Reading

    # Taken out, so that what is left over are the options of the model.
    axis = options.pop("axis")
    return Reading(
        axis=0 if axis is None else axis,
        axis_is_given=axis is not None,
        channel=options.pop("channel"),
        level=options.pop("level"),
        series=options.pop("series"),
        window=_window_of(options.pop("window")),
        ignored_labels=tuple(options.pop("ignored_labels", ())),
        instances_as_one=options.pop("instances_as_one", False),
        ignore_affine=options.pop("ignore_affine", False),
        empty_planes=options.pop("empty_planes", ()),
        regions=_regions_of(options.pop("regions", ())),
    )


def _window_of(values: tuple[float, float] | None) -> Any:
    """Return the window that was given, or None."""
    from napari_iclsam.core.images.windows import Window

    if values is None:
        return None
    low, high = values
    if not low < high:
        raise ValueError(
            f"--window takes a lower and a higher grey value; got {low:g} and {high:g}."
        )
    return Window(low, high)


def _regions_of(given: Sequence[Sequence[int]]) -> dict[int, tuple[LabelledRegion, ...]]:
    """Return the regions of each example, by its number."""
    from napari_iclsam.core.images.regions import LabelledRegion

    if not given:
        return {}
    owners = click.get_current_context().meta[_OWNERS]
    regions: dict[int, tuple[LabelledRegion, ...]] = {}
    for owner, numbers in zip(owners, given, strict=True):
        regions[owner] = (*regions.get(owner, ()), LabelledRegion.of(numbers))
    return regions


def model_of(
    models: str, icl: str | None, device: str, mode: str | None, assignments: Sequence[str]
) -> Model:
    """Make of the options of a command which models compute where, and how."""
    from napari_iclsam.commands.inputs import read_settings
    from napari_iclsam.commands.model import Model
    from napari_iclsam.core.model_choice import ModelChoice

    choice = ModelChoice(models, icl or "starter", device)
    return Model(choice, read_settings(mode, assignments))


def destination_of(output: Path, report: Path | None, options: dict[str, Any]) -> Destination:
    """Take out of the options of a command what says where results go."""
    from napari_iclsam.commands.outputs import Destination

    overwrite = options.pop("overwrite")
    return Destination(
        output,
        report,
        overwrite,
        options.pop("resume"),
        options.pop("summary"),
        options.pop("objects"),
        options.pop("measure"),
    )


def workers_of(options: dict[str, Any]) -> Workers:
    """Take out of the options of a command what says who computes."""
    from napari_iclsam.commands.job import Workers

    return Workers(options.pop("jobs"), options.pop("scheduler"))
