"""What is noticed about files, said before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import click


def say_notes(notes: Sequence[str]) -> None:
    """Say at once what was noticed about the examples, each thing once, apart from the results."""
    for note in dict.fromkeys(notes):
        click.echo(f"Note: {note}", err=True)
