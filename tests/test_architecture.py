"""Who may import what when: the modules that must be quick to import leave torch alone."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
from grimp import ImportGraph

SPEC = importlib.util.find_spec("napari_iclsam")
assert SPEC is not None
assert SPEC.submodule_search_locations is not None
PACKAGE = Path(next(iter(SPEC.submodule_search_locations)))

WITHOUT_TORCH = {
    "__init__.py",
    "cli.py",
    "options.py",
    "sample_data.py",
    "core/__init__.py",
    "core/images/__init__.py",
    "core/images/crops.py",
    "core/images/intensity.py",
    "core/images/overlay.py",
    "core/images/planes.py",
    "core/images/support.py",
    "core/images/thinness.py",
    "core/metrics.py",
    "core/model_choice.py",
    "core/prediction.py",
    "core/recipe.py",
    "core/settings.py",
    "core/steps.py",
    *(
        path.relative_to(PACKAGE).as_posix()
        for folder in ("weights", "_qt")
        for path in (PACKAGE / folder).rglob("*.py")
    ),
}
HEAVY = {"torch", "torchvision", "segment_anything", "timm", "safetensors"}
LARGEST_FAN_OUT = 15
"""Modules of the package that one of them may import."""

NAPARI_AND_QT = {"napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide2", "PySide6"}


def imported_at_once(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the top-level names that running a module imports.

    Imports of functions and those for types alone are left out.
    """
    for statement in body:
        match statement:
            case ast.Import(names=names):
                yield from (name.name.split(".")[0] for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.split(".")[0]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                yield from imported_at_once(orelse)
            case _:
                for field in ("body", "orelse", "finalbody"):
                    yield from imported_at_once(getattr(statement, field, []))
                for handler in getattr(statement, "handlers", []):
                    yield from imported_at_once(handler.body)


def test_imports_are_found_wherever_a_module_runs_them() -> None:
    source = """
import a.b, c
from d.e import f
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import never
else:
    import g
try:
    import h
except ImportError:
    import i
class K:
    import j
    def method(self):
        import never
def function():
    import never
"""
    assert sorted(imported_at_once(ast.parse(source).body)) == [
        "a",
        "c",
        "d",
        "g",
        "h",
        "i",
        "j",
        "typing",
    ]


@pytest.fixture(scope="module")
def imports() -> ImportGraph:
    """Which module imports which of the package, also for types and inside of functions."""
    return grimp.build_graph("napari_iclsam")


@pytest.fixture(scope="module")
def imports_when_run() -> ImportGraph:
    """Which module imports which of the package when it runs: not for types alone."""
    return grimp.build_graph("napari_iclsam", exclude_type_checking_imports=True)


def imported_by(graph: ImportGraph, module: str) -> set[str]:
    """Return the modules that a module imports; the package itself is imported with each."""
    return graph.find_modules_directly_imported_by(module) - {"napari_iclsam"}


def test_no_module_imports_more_than_fifteen_others(imports: ImportGraph) -> None:
    counts = {module: len(imported_by(imports, module)) for module in imports.modules}
    assert {module: count for module, count in counts.items() if count > LARGEST_FAN_OUT} == {}


def test_no_modules_import_each_other_in_a_circle(imports_when_run: ImportGraph) -> None:
    graph = imports_when_run
    sorter = TopologicalSorter({module: imported_by(graph, module) for module in graph.modules})
    # it raises CycleError, which names the circle
    sorter.prepare()


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_importing_the_module_does_not_import_torch(name: str) -> None:
    module = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    assert HEAVY.isdisjoint(imported_at_once(module.body))


def test_the_modules_without_torch_do_not_bring_it_by_way_of_others() -> None:
    names = [name for name in sorted(WITHOUT_TORCH) if not name.startswith("_qt")]
    modules = ["napari_iclsam." + name.removesuffix(".py").replace("/", ".") for name in names]
    modules = [module.removesuffix(".__init__") for module in modules]
    program = f"""
import importlib, sys
for module in {modules}:
    importlib.import_module(module)
    loaded = {HEAVY | NAPARI_AND_QT} & set(sys.modules)
    assert not loaded, (module, loaded)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.relative_to(PACKAGE).as_posix())
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] != "_qt"
    ],
)
def test_only_the_dock_widget_knows_napari_and_qt_when_imported(path: Path) -> None:
    assert NAPARI_AND_QT.isdisjoint(
        imported_at_once(ast.parse(path.read_text(encoding="utf-8")).body)
    )


def test_a_request_for_a_run_knows_neither_napari_nor_qt_nor_torch() -> None:
    program = f"""
import sys
import napari_iclsam._qt.run.request, napari_iclsam._qt.run.run_step
loaded = {HEAVY | NAPARI_AND_QT} & set(sys.modules)
assert not loaded, loaded
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
