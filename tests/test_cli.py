"""The command line as a program: help, version, exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest

import napari_iclsam
from napari_iclsam.cli import main


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--help",),
        ("segment", "--help"),
        ("models", "--help"),
        ("-h",),
        ("cache", "clear", "-h"),
    ],
    ids=" ".join,
)
def test_help_goes_to_the_output(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("Usage: napari-iclsam")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert napari_iclsam.__version__ in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    program = """
import sys
from napari_iclsam.cli import main
status = main(["--help"])
heavy = {"torch", "numpy", "scipy", "rich", "nibabel", "tifffile", "PIL", "sklearn", "requests"}
heavy.add("napari")
print(status, sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stderr.strip() == "0 []"


def test_the_program_ends_with_its_status() -> None:
    command = [sys.executable, "-m", "napari_iclsam.cli", "segment", "--support", "a"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: Option '--support' requires 2 arguments")
