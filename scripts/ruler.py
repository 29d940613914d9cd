#!/usr/bin/env python3
"""Measure how densely packages are written: ``python3 scripts/ruler.py FOLDER [FOLDER ...]``.

One line a folder: tokens of a function's body (median, 90th percentile, largest), tokens a line,
comments per 100 lines of code, and per 1000 statements comprehensions and double assignments
(``a, b = x, y``). Below the first, its largest functions. ``tests/test_density.py`` holds limits.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 20
"""Functions that are listed."""

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
"""Tokens that are not code."""

_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, order=True, slots=True)
class Function:
    """A function's body, without its docstring.

    Attributes
    ----------
    tokens, lines : int
        Tokens of code, and lines with any.
    place : str
        File, line and name.
    """

    tokens: int
    lines: int
    place: str


@dataclass(slots=True)
class Density:
    """Counts of the files of a package.

    Attributes
    ----------
    functions : list of Function
    lines, comments : int
        Lines that are neither empty nor a comment alone (docstrings included), and comments.
    statements, comprehensions, doubles : int
        Statements, and among them comprehensions and double assignments.
    """

    functions: list[Function] = field(default_factory=list)
    lines: int = 0
    comments: int = 0
    statements: int = 0
    comprehensions: int = 0
    doubles: int = 0

    @property
    def median(self) -> float:
        """Tokens of the median body."""
        return statistics.median(function.tokens for function in self.functions)

    @property
    def ninetieth(self) -> int:
        """Tokens of the body that is larger than nine tenths of all."""
        ordered = sorted(self.functions)
        return ordered[int(0.9 * len(ordered))].tokens

    @property
    def largest(self) -> Function:
        """The function with the largest body."""
        return max(self.functions)

    @property
    def tokens_a_line(self) -> float:
        """Tokens a line of all bodies together."""
        tokens = sum(function.tokens for function in self.functions)
        lines = sum(function.lines for function in self.functions)
        return tokens / max(1, lines)

    @property
    def comments_per_hundred(self) -> float:
        """Comments per 100 lines."""
        return 100 * self.comments / max(1, self.lines)

    def per_thousand(self, count: int) -> float:
        """Return a count per 1000 statements."""
        return 1000 * count / max(1, self.statements)

    def __str__(self) -> str:
        return (
            f"{len(self.functions)} functions, tokens a body {self.median:.0f} / "
            f"{self.ninetieth} / {self.largest.tokens}, tokens a line {self.tokens_a_line:.1f}, "
            f"comments {self.comments_per_hundred:.1f}, "
            f"comprehensions {self.per_thousand(self.comprehensions):.0f}, "
            f"double assignments {self.per_thousand(self.doubles):.0f}"
        )


def measure(folder: Path) -> Density:
    """Measure all files of a package but its tests."""
    density = Density()
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if not {"tests", "_tests"} & set(inside.parts):
            _add_file(density, path)
    return density


def _add_file(density: Density, path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    by_line = Counter(token.start[0] for token in tokens if token.type not in _LAYOUT)
    density.comments += sum(token.type == tokenize.COMMENT for token in tokens)
    for line in source.splitlines():
        stripped = line.strip()
        density.lines += bool(stripped) and not stripped.startswith("#")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        density.statements += isinstance(node, ast.stmt)
        density.comprehensions += isinstance(node, _COMPREHENSIONS)
        density.doubles += isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
    density.functions.extend(_functions(tree, by_line, path))


def _functions(tree: ast.Module, by_line: Counter[int], path: Path) -> Iterator[Function]:
    """Go through the functions of a file that hold more than a docstring."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        documented = ast.get_docstring(node) is not None
        body = node.body[1:] if documented else node.body
        if body:
            last = body[-1].end_lineno or body[-1].lineno
            own = [by_line[line] for line in range(body[0].lineno, last + 1)]
            place = f"{path}:{node.lineno} {node.name}"
            yield Function(sum(own), sum(map(bool, own)), place)


def main(folders: list[str]) -> None:
    """Print a line a folder, and the largest functions of the first."""
    for number, folder in enumerate(folders):
        density = measure(Path(folder))
        print(f"{folder}: {density}")
        if number == 0:
            for function in sorted(density.functions, reverse=True)[:LARGEST]:
                size = f"{function.tokens:4d} tokens in {function.lines:2d} lines"
                print(f"    {size}  {function.place}")


if __name__ == "__main__":
    main(sys.argv[1:])
