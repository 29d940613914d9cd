"""Commands of the documentation that cannot run in a test: that they and their options exist."""

from __future__ import annotations

import click

from napari_iclsam.cli import application


def check_options(words: list[str]) -> None:
    """Fail if there is no such command, or an option of it that is not known."""
    # with the settings of the application: a command keeps the help option of its first context
    context = click.Context(application, **application.context_settings)
    name, command, rest = application.resolve_command(context, words)
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context)
        name, command, rest = command.resolve_command(context, rest)
    assert name is not None
    assert command is not None
    command.make_context(name, list(rest), parent=context, resilient_parsing=True)
    known = {option for each in command.params for option in each.opts}
    assert {word for word in rest if word.startswith("--")} <= known
