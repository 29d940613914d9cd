"""The command line as a program: help, version, exit status."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

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


def test_a_warning_of_the_package_is_a_note_and_others_stay_warnings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn() -> None:
        ours = str(Path(napari_iclsam.__file__).parent / "core" / "encoder" / "cache.py")
        warnings.warn_explicit("Embeddings cannot be kept.", UserWarning, ours, 7)
        warnings.warn_explicit("of a library", UserWarning, "library.py", 8)

    monkeypatch.setattr("napari_iclsam.commands.weights.show_models", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["models", "list"]) == 0
    assert capsys.readouterr().err == (
        "Note: Embeddings cannot be kept.\nlibrary.py:8: UserWarning: of a library\n"
    )


def test_too_little_memory_for_pytorch_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    monkeypatch.setattr("napari_iclsam.commands.weights.show_models", fail)
    assert main(["models", "list"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: libtorch_cpu.so: failed to map segment")
    assert said.endswith("leaves too little for PyTorch. Allow 4 GB.\n")
