"""The commands models and cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from napari_iclsam.commands.progress import transfer_bar
from napari_iclsam.weights import folders
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.checksums import ChecksumError
from napari_iclsam.weights.download import MissingWeights, fetch, install_from, status
from napari_iclsam.weights.entry import Kind, Weights
from napari_iclsam.weights.lookup import lookup
from napari_iclsam.weights.transfer import OnProgress
from napari_iclsam.weights.verification import verify

if TYPE_CHECKING:
    from napari_iclsam.core.encoder.cache import EmbeddingCache

_WIDTH = 140
"""Columns of a table that does not go to a terminal."""

_PLACES = {"bundled": "in the package", "cache": "yes", "torch hub": "yes (torch hub)"}


def show_models() -> None:
    """Print a table of all weights."""
    console = Console()
    # rich takes a pipe for 80 columns, which cuts addresses and names.
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(_table_of_models())
    click.echo(
        "Research-only licenses are said so. A path of a SAM checkpoint of your own works as "
        "--models, too."
    )


def _table_of_models() -> Table:
    table = Table("name", "good for", "size", "license of the weights", "file", "here")
    table.columns[2].justify = "right"
    for column in (table.columns[0], table.columns[2]):
        column.no_wrap = True
    # Names of files are there to be copied: shown whole, on as many lines as it takes.
    table.columns[4].overflow = "fold"
    _add_models(table, "sam", "promptable models: --models")
    _add_models(table, "icl", "in-context models: --icl")
    return table


def _add_models(table: Table, kind: Kind, title: str) -> None:
    table.add_section()
    table.add_row(f"[bold]{title}[/bold]")
    for weights in CATALOGUE.values():
        if weights.kind == kind:
            table.add_row(
                weights.name,
                weights.good_for,
                _megabytes(weights.about_size),
                weights.license,
                weights.filename,
                _place(weights),
            )


def download(name: str, file: Path | None) -> None:
    """Bring weights into the folder of this package, from their address or from a file."""
    weights = lookup(name)
    click.echo(f"{weights.title}, {_megabytes(weights.about_size)}")
    click.echo(f"  license: {weights.license} {weights.license_url}")
    click.echo(f"  cite: {weights.citation}")
    with transfer_bar(weights.name) as show:
        path = _installed(weights, file, show)
    click.echo(f"{path}: checked, ready as {weights.name}.")


def _installed(weights: Weights, file: Path | None, show: OnProgress) -> Path:
    if file is None:
        return fetch(weights, on_progress=show)
    return install_from(weights, file, on_progress=show)


def verify_models(names: Sequence[str]) -> None:
    """Compare files with what their publishers say: those named, or all that are here.

    Raises
    ------
    ChecksumError
        If one differs, after all were looked at.
    """
    wrong = []
    for name in names or _names_here():
        result = verify(name)
        known = "as published" if result.expected else "no published checksum to compare with"
        click.echo(f"{name}: {result.path}\n  found {result.found}")
        if result.matches:
            click.echo(f"  {known}")
        else:
            click.echo(f"  expected {result.expected}")
            # The others are looked at, too: one run tells all that is wrong.
            wrong.append(name)
    if wrong:
        raise ChecksumError(
            f"Not the published file: {', '.join(wrong)}. "
            "Nothing was changed; move it and download again."
        )


def _names_here() -> list[str]:
    return [name for name, weights in CATALOGUE.items() if status(weights).path is not None]


def show_path(name: str | None) -> None:
    """Print the folder of downloaded weights, or where the file of some weights is."""
    if name is None:
        click.echo(folders.weights_folder() or folders.NO_HOME)
        return
    path = status(lookup(name)).path
    if path is None:
        raise MissingWeights(lookup(name))
    click.echo(path)


def show_cache() -> None:
    """Print where embeddings are kept and how many there are."""
    info = _cache().info()
    click.echo(
        f"{info.folder}: {info.count} embeddings, {_megabytes(info.size)} of at most "
        f"{_megabytes(info.limit)}"
    )


def clear_cache() -> None:
    """Delete all embeddings."""
    cache = _cache()
    info = cache.info()
    cache.clear()
    click.echo(f"{info.folder}: {info.count} embeddings deleted, {_megabytes(info.size)} freed")


def _cache() -> EmbeddingCache:
    """Return the cache on disk; there is none without a home folder."""
    from napari_iclsam.core.encoder.cache import EmbeddingCache, default_folder  # torch

    folder = default_folder()
    if folder is None:
        raise FileNotFoundError(folders.NO_HOME)
    return EmbeddingCache(folder)


def _megabytes(size: int) -> str:
    # The networks that come with the package are small enough for a digit to matter.
    digits = 0 if size >= 10e6 or not size else 1
    return f"{size / 1e6:.{digits}f} MB"


def _place(weights: Weights) -> str:
    found = status(weights)
    if found.place is not None:
        return _PLACES[found.place]
    # A download that was broken off goes on from there.
    return f"{_megabytes(found.partial)} of it" if found.partial else "no"
