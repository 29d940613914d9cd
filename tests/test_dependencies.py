"""What the package requires is what its modules import, and the other way round."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

IMPORT_NAMES = {
    "pillow": "PIL",
    "pynrrd": "nrrd",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "simpleitk": "SimpleITK",
}
"""Distributions whose module is not their name with underscores."""

IMPORTED_BY_OTHERS = {
    "imagecodecs": "tifffile loads it to read compressed TIFF files",
    "npe2": "napari reads the manifest with it; its version is that of the manifest's schema",
    "torchvision": "segment-anything imports it and does not require it",
}
"""Requirements that no module of the package imports, with the reason to require them all the
same."""

BROUGHT_BY_OTHERS = {
    "napari": "only `_qt` imports it, and napari is what opens the widget",
    "tornado": "a requirement of distributed, whose event loop it is",
    "urllib3": "a requirement of requests, whose exceptions it raises",
}
"""Modules that the package imports without requiring them, with the reason."""


def distribution_of(requirement: str) -> str:
    """Return the name of the distribution, without extras and versions, in lower case."""
    return re.split(r"[\[><=!~; ]", requirement, maxsplit=1)[0].lower()


def module_of(distribution: str) -> str:
    """Return the module that a distribution installs."""
    return IMPORT_NAMES.get(distribution, distribution.replace("-", "_"))


def imported_modules() -> set[str]:
    """Return the top-level names of all absolute imports in the package, in functions, too."""
    names: set[str] = set()
    for path in (ROOT / "src" / "napari_iclsam").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


BASE = sorted(distribution_of(requirement) for requirement in PROJECT["dependencies"])
IMPORTED = imported_modules()


@pytest.mark.parametrize("distribution", BASE)
def test_each_base_requirement_is_imported_by_the_package_or_is_a_named_exception(
    distribution: str,
) -> None:
    imported = module_of(distribution) in IMPORTED
    assert imported != (distribution in IMPORTED_BY_OTHERS)


def needed_modules() -> set[tuple[str, str]]:
    """Return the modules that `files.optional.needed` loads, each with its extra."""
    found: set[tuple[str, str]] = set()
    for path in (ROOT / "src" / "napari_iclsam").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "needed":
                module, _, extra = (ast.literal_eval(each) for each in node.args)
                found.add((module.partition(".")[0], extra))
    return found


@pytest.mark.parametrize(("module", "extra"), sorted(needed_modules()))
def test_each_module_of_some_kinds_of_files_is_in_the_extra_that_is_named(
    module: str, extra: str
) -> None:
    requirements = PROJECT["optional-dependencies"][extra]
    assert module in {module_of(distribution_of(each)) for each in requirements}


def test_each_exception_is_a_base_requirement() -> None:
    assert set(IMPORTED_BY_OTHERS) <= set(BASE)


def test_each_module_that_the_package_imports_is_required() -> None:
    extras = []
    for extra in ("cluster", "samples"):
        extras += PROJECT["optional-dependencies"][extra]
    optional = [distribution_of(requirement) for requirement in extras]
    required = {module_of(distribution) for distribution in [*BASE, *optional]}
    third_party = IMPORTED - set(sys.stdlib_module_names) - {"napari_iclsam"}
    assert third_party - required == set(BROUGHT_BY_OTHERS)
