"""Run the notebook and keep its output, where there is no screen.

Run ``xvfb-run -a python docs/run_notebook.py``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "notebooks" / "segment_a_stack.ipynb"

PAUSE = 1.5
"""Seconds between two cells. A cell that is sent at the moment in which a kernel enters its Qt
event loop can wait for ever: the kernel has received it, and sleeps until the next one comes. A
person is slower than that."""


async def _wait(**_: Any) -> None:
    await asyncio.sleep(PAUSE)


def main() -> None:
    """Run a notebook (by default the tutorial's) and save it with its outputs."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOK
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", on_cell_execute=_wait).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
