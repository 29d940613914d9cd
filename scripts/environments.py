#!/usr/bin/env python3
"""Try the README's first commands in new environments: Python, Qt binding, napari, wheel or sdist.

    python3 scripts/environments.py                    all combinations
    python3 scripts/environments.py 3.13-pyside6-newest 3.11-pyqt6-lowest
    python3 scripts/environments.py --quick --from wheel

Builds both distributions, then makes each environment in a temporary folder, installs one of them
with its napari, segments the sample, runs some tests, and removes it. Prints a row of a table for
each; the outputs are kept in the folder given by ``--logs``. Pythons are ``pythonX.Y`` of the path
or of pyenv. Needs ``xvfb-run`` and the package ``build``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent

PYTHONS = ("3.11", "3.12", "3.13")
BINDINGS = ("pyqt6", "pyside6")
NAPARIS = {"newest": "napari[optional,{qt}]", "lowest": "napari[optional,{qt}]==0.7.0"}
"""The lowest napari is that of the extra ``all`` in ``pyproject.toml``."""

TESTS = ("tests/test_package.py", "tests/test_sample_data.py", "tests/gui/test_viewer.py")

QUICK = ("--setting", "use_sam=false", "--setting", "fine_tune=false")

SCREEN = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")


@dataclass(frozen=True, slots=True)
class Combination:
    """One environment.

    Attributes
    ----------
    python, qt, napari : str
        Version, binding, and a key of `NAPARIS`.
    distribution : {"wheel", "sdist"}
        What is installed.
    """

    python: str
    qt: str
    napari: str
    distribution: str

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return f"{self.python}-{self.qt}-{self.napari}"


def combinations(wanted: str | None = None) -> list[Combination]:
    """Return all environments, of one distribution or of both by turns."""
    found = []
    for number, (python, qt, napari) in enumerate(itertools.product(PYTHONS, BINDINGS, NAPARIS)):
        # so that each Python installs both
        distribution = wanted or ("sdist" if number % 4 in (1, 2) else "wheel")
        found.append(Combination(python, qt, napari, distribution))
    return found


def main() -> int:
    """Try environments, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 3.12-pyqt6-newest; by default all")
    parser.add_argument("--quick", action="store_true", help="the in-context model alone, as it is")
    parser.add_argument("--logs", type=Path, default=ROOT / "environments")
    parser.add_argument(
        "--dist", type=Path, help="folder of distributions; by default, they are built"
    )
    parser.add_argument(
        "--from", dest="distribution", choices=("wheel", "sdist"), help="by default, by turns"
    )
    parser.add_argument("--uv", action="store_true", help="install with uv, which is faster")
    options = parser.parse_args()
    known = combinations(options.distribution)
    wanted = [each for each in known if not options.names or each.name in options.names]
    options.logs.mkdir(parents=True, exist_ok=True)
    dist = options.dist or build(options.logs / "dist")
    # commands run in other folders
    dist = dist.resolve()
    print("| Python | Qt | napari | from | demo | tests |\n| --- | --- | --- | --- | --- | --- |")
    extra = QUICK if options.quick else ()
    installer = uv if options.uv else pip
    succeeded = []
    for each in wanted:
        log = options.logs / f"{each.name}.txt"
        succeeded.append(attempt(each, dist, log, extra, installer))
    return 0 if all(succeeded) else 1


def build(folder: Path) -> Path:
    """Build the sdist, and from it the wheel."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def attempt(
    combination: Combination,
    dist: Path,
    log: Path,
    extra: Sequence[str],
    installer: Callable[..., list[str]],
) -> bool:
    """Make an environment, use it with extra options, print its row, and remove it."""
    with tempfile.TemporaryDirectory(prefix="environment-") as place, log.open("w") as output:
        environment = Path(place)
        installed = install(combination, dist, environment, output, installer)
        demo = installed and segment_sample(environment, output, extra)
        tests = installed and run_tests(combination, environment, output)
    text = log.read_text(encoding="utf-8", errors="replace")
    version = re.search(r"^napari==(\S+)$", text, re.M)
    cells = (
        combination.python,
        combination.qt,
        version.group(1) if version else "not installed",
        combination.distribution,
        said(r"^│ 2 white matter.*$", text) if demo else "failed",
        said(r"^(?:=+ )?(\d+ (?:passed|failed).* in [\d.]+s)", text),
    )
    print(f"| {' | '.join(cells)} |", flush=True)
    return demo and tests


def install(
    combination: Combination,
    dist: Path,
    environment: Path,
    output: TextIO,
    installer: Callable[..., list[str]],
) -> bool:
    """Install a distribution, napari and what the tests need."""
    pattern = "*.whl" if combination.distribution == "wheel" else "*.tar.gz"
    (package,) = dist.glob(pattern)
    napari = NAPARIS[combination.napari].format(qt=combination.qt)
    steps = (
        [python_of(combination.python), "-m", "venv", str(environment)],
        pip(environment, "install", "--quiet", "--upgrade", "pip>=25.1"),
        installer(environment, "install", "--quiet", f"{package}[samples]", napari),
        installer(environment, "install", "--quiet", "--group", f"{ROOT / 'pyproject.toml'}:test"),
        installer(environment, "freeze"),
    )
    return all(run(step, environment, output) for step in steps)


def segment_sample(environment: Path, output: TextIO, extra: Sequence[str]) -> bool:
    """Run the README's second command."""
    command = [str(environment / "bin" / "napari-iclsam"), "demo", "--headless", *extra]
    return run(command, environment, output)


def run_tests(combination: Combination, environment: Path, output: TextIO) -> bool:
    """Run some tests of the installed package: not of the sources beside them."""
    tests = environment / "tests-of-it"
    kept = shutil.ignore_patterns("__pycache__", ".git", ".venv*", "environments")
    shutil.copytree(ROOT, tests, ignore=kept)
    command = [*SCREEN, str(environment / "bin" / "python"), "-m", "pytest", "-q", *TESTS]
    return run(command, tests, output, QT_API=combination.qt)


def pip(environment: Path, *arguments: str) -> list[str]:
    """Return a command of pip."""
    return [str(environment / "bin" / "python"), "-m", "pip", *arguments]


def uv(environment: Path, *arguments: str) -> list[str]:
    """Return the command of uv for the same."""
    return ["uv", "pip", *arguments, "--python", str(environment / "bin" / "python")]


def python_of(version: str) -> str:
    """Return the interpreter of a version."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    # pyenv's command of this name may refuse: it is looked for behind what pyenv keeps
    found = str(kept[-1]) if kept else shutil.which(f"python{version}")
    if found is None:
        sys.exit(f"Python {version} is not installed.")
    return found


def run(command: list[str], folder: Path, output: TextIO, **variables: str) -> bool:
    """Run a command with a home of its own, and tell whether it succeeded."""
    own = {"NAPARI_ICLSAM_HOME": str(folder / "home"), "NAPARI_CONFIG": "", **variables}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    output.write(f"$ {' '.join(command)}\n")
    output.flush()
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**environment, **own},
        stdout=output,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return ran.returncode == 0


def said(pattern: str, text: str) -> str:
    """Return the last line of an output that has a pattern."""
    found = [match.group(match.lastindex or 0) for match in re.finditer(pattern, text, re.M)]
    return found[-1].replace("│", "").strip() if found else "failed"


if __name__ == "__main__":
    sys.exit(main())
