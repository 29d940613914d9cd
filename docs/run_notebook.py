"""Run the notebooks and keep their output, where there is no screen.

``xvfb-run -a python docs/run_notebook.py [--check] [NOTEBOOK ...]``; by default all notebooks. With
``--check`` they are run, and their files stay as they are.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent / "notebooks"

PAUSE = 1.5
"""Seconds between two cells. A cell that is sent at the moment in which a kernel enters its Qt
event loop can wait for ever: the kernel has received it, and sleeps until the next one comes. A
person is slower than that."""


async def _wait(**_: Any) -> None:
    await asyncio.sleep(PAUSE)


def run(path: Path, *, is_check: bool) -> None:
    """Run a notebook, and save it with its outputs unless that is a check."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, kernel_name="python3", on_cell_execute=_wait).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        kept = [each for each in cell.get("outputs", []) if each.get("name") != "stderr"]
        if "outputs" in cell:
            # warnings name folders of this computer
            cell["outputs"] = kept
    if not is_check:
        nbformat.write(notebook, path)
    print(f"{path.name}: {len(notebook.cells)} cells", flush=True)


def main() -> None:
    """Run notebooks; a cell that fails ends the program with its error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="keep the files as they are")
    options = parser.parse_args()
    for path in options.notebooks or sorted(FOLDER.glob("*.ipynb")):
        run(path, is_check=options.check)


if __name__ == "__main__":
    main()
