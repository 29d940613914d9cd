"""Tables and listings of the reference, made from the code when the documentation is built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from napari_iclsam.cli import application
from napari_iclsam.core.recipe import AUTO, PAPER, Recipe
from napari_iclsam.core.settings import RENAMED, Description, describe
from napari_iclsam.weights.catalogue import ALIASES, CATALOGUE
from napari_iclsam.weights.entry import Weights

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


class Generated(SphinxDirective):
    """A directive without content whose lines of reStructuredText a subclass makes."""

    def lines(self) -> Iterator[str]:
        """Yield reStructuredText."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the lines where the directive stands."""
        return self.parse_text_to_nodes(
            StringList(list(self.lines()), source=self.get_source_info()[0])
        )


def list_table(
    head: tuple[str, ...], widths: tuple[int, ...], rows: list[tuple[str, ...]]
) -> Iterator[str]:
    """Yield a table."""
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield f"   :widths: {' '.join(map(str, widths))}"
    yield ""
    for row in (head, *rows):
        for n, cell in enumerate(row):
            yield f"   {'* -' if n == 0 else '  -'} {cell}"
    yield ""


class SettingsTable(Generated):
    """Every field of `Settings`."""

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        rows = [
            (f"``{name}``", allowed(field), f"``{field.default!r}``", field.text)
            for name, field in describe().items()
        ]
        yield from list_table(("Setting", "Values", "Default", "Meaning"), (18, 18, 12, 52), rows)


def allowed(field: Description) -> str:
    """Say which values a setting may have."""
    if field.choices:
        return " | ".join(f"``{choice!r}``" for choice in field.choices)
    if field.limits:
        return f"{field.kind.__name__}, {field.limits.low:g} to {field.limits.high:g}"
    return field.kind.__name__


class RenamedSettingsTable(Generated):
    """The old names of settings, which still work."""

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        rows = [(f"``{old}``", f"``{new}``") for old, new in RENAMED.items()]
        yield from list_table(("Old setting", "Name today"), (50, 50), rows)


class ModesTable(Generated):
    """What `PAPER` and `AUTO` do where they differ: each field of `Recipe` that has a text."""

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        hints = get_type_hints(Recipe, include_extras=True)
        rows = []
        for field in fields(Recipe):
            hint = hints[field.name]
            if get_origin(hint) is Annotated:
                _, text = get_args(hint)
                paper = value(getattr(PAPER, field.name))
                auto = value(getattr(AUTO, field.name))
                rows.append((text, paper, auto))
        yield from list_table(("Step", "paper", "auto"), (64, 18, 18), rows)


def value(of_field: Any) -> str:
    """Return a value of a recipe in words."""
    if isinstance(of_field, bool):
        return "yes" if of_field else "no"
    return str(of_field)


class ModelsTable(Generated):
    """The weights of one kind."""

    required_arguments: ClassVar[int] = 1

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        rows = [
            (
                names(weights),
                size(weights),
                linked_license(weights),
                weights.good_for,
                weights.citation,
            )
            for weights in CATALOGUE.values()
            if weights.kind == self.arguments[0]
        ]
        yield from list_table(
            ("Name", "Size", "License", "Good for", "Cite"), (18, 10, 18, 24, 30), rows
        )


def names(weights: Weights) -> str:
    """Return the name of the weights and their shorter names."""
    short = [
        alias
        for (kind, alias), name in ALIASES.items()
        if name == weights.name and kind == weights.kind
    ]
    return ", ".join(f"``{name}``" for name in (weights.name, *short))


def size(weights: Weights) -> str:
    """Return how much there is to download."""
    return "in the package" if weights.bundled else f"{weights.about_size / 1e6:,.0f} MB"


def linked_license(weights: Weights) -> str:
    """Return the license with its address."""
    return f"`{weights.license} <{weights.license_url}>`__"


class CommandLine(Generated):
    """The help of each command."""

    def lines(self) -> Iterator[str]:
        """Yield a heading and the help text, command by command."""
        for path, text in helps(application, ["napari-iclsam"]):
            yield f".. rubric:: {path}"
            yield ""
            yield ".. code-block:: text"
            yield ""
            yield from (f"   {line}" for line in text.splitlines())
            yield ""


def helps(
    command: click.Command, path: list[str], parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the name and the help text of a command and of those below it."""
    with click.Context(command, info_name=path[-1], parent=parent, terminal_width=100) as context:
        yield " ".join(path), command.get_help(context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                if below is not None and not below.hidden:
                    yield from helps(below, [*path, name], context)


def link_short_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.reference | None:
    """Link a name that a docstring gives without its module, if the reference holds one such."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    ending = f".{node['reftarget']}"
    found = [
        (name, entry)
        for name, entry in env.domains.python_domain.objects.items()
        if name.endswith(ending) and not entry.aliased
    ]
    if len(found) != 1:
        return None
    name, entry = found[0]
    return make_refnode(
        app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, title=name
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.connect("missing-reference", link_short_name)
    app.add_directive("settings-table", SettingsTable)
    app.add_directive("renamed-settings-table", RenamedSettingsTable)
    app.add_directive("modes-table", ModesTable)
    app.add_directive("models-table", ModelsTable)
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
