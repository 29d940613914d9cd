"""The installed package: what its import loads, what its wheel holds, its entry points."""

from __future__ import annotations

import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import napari_iclsam
from napari_iclsam.weights.catalogue import CATALOGUE
from scripts.notice import notice

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def in_a_new_python(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_imports_neither_torch_nor_napari_nor_qt() -> None:
    loaded = in_a_new_python(
        "import sys, napari_iclsam; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ).split()
    assert "napari_iclsam" in loaded
    forbidden = {
        "torch",
        "torchvision",
        "napari",
        "qtpy",
        "PyQt5",
        "PyQt6",
        "PySide2",
        "PySide6",
        "magicgui",
        "superqt",
    }
    assert forbidden.isdisjoint(loaded)


@pytest.mark.parametrize("name", ["ICLSAM", "Settings", "load_task"])
def test_the_public_names_are_found_on_first_use(name: str) -> None:
    assert name in napari_iclsam.__all__
    assert name in dir(napari_iclsam)
    assert callable(getattr(napari_iclsam, name))


def test_a_name_that_the_package_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = napari_iclsam.no_such_name


def test_the_version_is_that_of_the_installed_package() -> None:
    assert napari_iclsam.__version__ == importlib.metadata.version("napari-iclsam")
    assert re.match(r"\d+\.\d+", napari_iclsam.__version__)


def test_the_command_and_the_manifest_are_declared_where_the_shell_and_napari_look() -> None:
    declared = importlib.metadata.distribution("napari-iclsam").entry_points
    (manifest,) = declared.select(group="napari.manifest")
    assert (manifest.name, manifest.value) == ("napari-iclsam", "napari_iclsam:napari.yaml")
    (command,) = declared.select(group="console_scripts")
    assert command.name == "napari-iclsam"
    assert callable(command.load())


def test_every_requirement_says_what_it_is_for() -> None:
    lines = (
        (ROOT / "pyproject.toml")
        .read_text(encoding="utf-8")
        .split("dependencies = [")[1]
        .split("]")[0]
        .splitlines()
    )
    requirements = [line for line in lines if line.strip()]
    assert len(requirements) == len(PYPROJECT["project"]["dependencies"])
    assert all(re.search(r'",\s+# \w', line) for line in requirements)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy without git, as from an archive of the sources, offline."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "_version.py")
    shutil.copytree(ROOT / "src", copy / "src", ignore=ignored)
    shutil.copytree(ROOT / "training", copy / "training", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(built),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return next(built.glob("*.whl"))


def test_the_wheel_holds_all_that_runs_and_nothing_else(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    package, metadata = {file for file in files if file.startswith("napari_iclsam/")}, ".dist-info/"
    assert all(metadata in file for file in files - package)
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert package >= sources
    assert package >= {"napari_iclsam/napari.yaml", "napari_iclsam/py.typed"}
    weights = {
        path.name for path in (ROOT / "src/napari_iclsam/weights/bundled").glob("*.safetensors")
    }
    assert weights
    assert package >= {f"napari_iclsam/weights/bundled/{name}" for name in weights}
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert any(
        file.endswith("licenses/src/napari_iclsam/weights/bundled/LICENSE") for file in files
    )
    assert any(
        file.endswith("licenses/src/napari_iclsam/weights/bundled/LICENSE-Apache-2.0")
        for file in files
    )


def test_the_wheel_says_its_version_license_and_framework(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [file for file in archive.namelist() if file.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == PYPROJECT["tool"]["hatch"]["version"]["fallback-version"]
    assert metadata["License-Expression"] == "BSD-3-Clause AND CC-BY-SA-4.0 AND Apache-2.0"
    assert "Framework :: napari" in metadata.get_all("Classifier", [])
    assert metadata.get_payload()
    assert "License-File: NOTICE" in str(metadata)


def test_the_notice_names_the_license_of_all_weights() -> None:
    written = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert written == notice(), "python scripts/notice.py > NOTICE"
    for weights in CATALOGUE.values():
        assert weights.name in written
        assert weights.license_url in written


def test_the_wheel_is_smaller_than_forty_megabytes(wheel: Path) -> None:
    """PyPI takes 100 MB; what grows beyond this was added by mistake."""
    sizes = {info.filename: info.file_size for info in zipfile.ZipFile(wheel).infolist()}
    assert sum(sizes.values()) < 45e6
    code = sum(size for name, size in sizes.items() if not name.endswith(".safetensors"))
    assert code < 2.5e6
    assert wheel.stat().st_size < 40e6


def test_the_bundled_weights_fit_a_small_package(wheel: Path) -> None:
    sizes = [
        info.file_size
        for info in zipfile.ZipFile(wheel).infolist()
        if info.filename.endswith(".safetensors")
    ]
    assert 0 < sum(sizes) <= 38_000_000
    assert wheel.stat().st_size < 40_000_000


def test_no_base_requirement_is_napari_or_a_qt_binding() -> None:
    names = {
        re.split(r"[><=!~\[; ]", requirement)[0].lower()
        for requirement in PYPROJECT["project"]["dependencies"]
    }
    assert names.isdisjoint({"napari", "pyqt5", "pyqt6", "pyside2", "pyside6"})
