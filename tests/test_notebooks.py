"""The notebooks of the documentation: what they call, and the output that is stored with them."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_is_a_notebook_with_the_widget_and_one_without() -> None:
    texts = [path.read_text(encoding="utf-8") for path in NOTEBOOKS]
    assert [("add_plugin_dock_widget" in text, "fit_stack" in text) for text in texts] == [
        (True, False),
        (False, True),
    ]


def test_a_notebook_uses_public_calls_only(notebook: Path) -> None:
    called = set()
    for cell in cells(notebook):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.Attribute):
                called.add(node.attr)
                # parts of the dock are not for programs: `start_run` is
                is_of_widget = isinstance(node.value, ast.Name) and node.value.id == "widget"
                assert not is_of_widget or node.attr == "start_run"
    assert not {name for name in called if name.startswith("_")}
    assert "processEvents" not in called


def test_the_stored_output_is_that_of_a_whole_run(notebook: Path) -> None:
    code = cells(notebook)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert "/site-packages/" not in notebook.read_text(encoding="utf-8")
    pictures = [each for each in outputs if "image/png" in str(each.get("data", ""))]
    html = [each for each in outputs if "data:image/png" in str(each.get("data", ""))]
    assert pictures or html
