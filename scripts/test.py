#!/usr/bin/env python3
"""Run the tests from nothing: system packages, an environment, the package, a virtual screen.

    python3 scripts/test.py                       everything, in the environment .venv-test
    python3 scripts/test.py tests/core -k boxes   arguments go on to pytest
    python3 scripts/test.py -n 0                  one test after the other, in one process
    python3 scripts/test.py --here                this Python as it is: install nothing
    python3 scripts/test.py --system-packages     install the missing system packages and stop

Needs Python 3.11 or newer and, for the first run, a network. On Debian and Ubuntu, root gets the
missing system packages installed; anybody else is told which they are.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DISPLAY_PACKAGES = (
    "libdbus-1-3",
    "libegl1",
    "libfontconfig1",
    "libgl1",
    "libgl1-mesa-dri",
    "libopengl0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xkb1",
    "libxkbcommon-x11-0",
    "xauth",
    "xvfb",
)
"""What Qt and a virtual screen need of Debian, beyond what the wheels bring."""

VIRTUAL_SCREEN = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")

IN_PARALLEL = ("-n", "auto", "--dist", "loadfile")
"""A process a core. The tests of a file stay together, since they share what is slow to make."""

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""The networks of tests are too small for several threads, which would wait for each other."""


def main() -> int:
    """Prepare what is missing, run pytest, and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--venv",
        type=Path,
        default=ROOT / ".venv-test",
        help="environment to create or to use again",
    )
    parser.add_argument(
        "--here", action="store_true", help="use this Python as it is: install nothing"
    )
    parser.add_argument(
        "--system-packages",
        action="store_true",
        help="install the missing system packages and stop",
    )
    options, pytest_arguments = parser.parse_known_args()

    if sys.version_info < (3, 11):
        sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}.")
    if options.system_packages or not options.here:
        install_system_packages()
    if options.system_packages:
        return 0
    python = Path(sys.executable) if options.here else make_environment(options.venv)
    screen: tuple[str, ...] = ()
    if sys.platform == "linux":
        if shutil.which(VIRTUAL_SCREEN[0]) is None:
            sys.exit(
                "xvfb-run is missing: install what brings it "
                "(Debian: xvfb; Fedora: xorg-x11-server-Xvfb)."
            )
        screen = VIRTUAL_SCREEN
    arguments = [*IN_PARALLEL, *pytest_arguments]
    say(f"{' '.join(screen[:1])} pytest {' '.join(arguments)}".strip())
    return subprocess.run(
        [*screen, python, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=ONE_THREAD | os.environ,
        check=False,
    ).returncode


def install_system_packages() -> None:
    """Install what Debian lacks as root; as anybody else say what it is and stop.

    Other systems are left alone.
    """
    if sys.platform != "linux" or shutil.which("dpkg-query") is None:
        return
    wanted = list(DISPLAY_PACKAGES)
    if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it apart from Python
        wanted.append(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    missing = [name for name in wanted if not is_installed(name)]
    if not missing:
        return
    if os.geteuid() != 0:
        sys.exit(
            "System packages are missing:\n\n"
            f"    sudo apt-get install {' '.join(missing)}\n\nThen run this again."
        )
    say(f"apt-get install {' '.join(missing)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "-qq", "update", environment=environment)
    run(
        "apt-get",
        "-qq",
        "-y",
        "--no-install-recommends",
        "install",
        *missing,
        environment=environment,
    )


def is_installed(package: str) -> bool:
    """Whether dpkg has the package, unpacked and configured."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def make_environment(folder: Path) -> Path:
    """Install the package and its tests' needs in a virtual environment; return its Python.

    A new environment is made if there is none.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        say(f"new virtual environment in {folder}")
        run(sys.executable, "-m", "venv", str(folder))
    # Old versions of pip know no dependency groups (PEP 735).
    pip = (str(python), "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--upgrade", "pip>=25.1")
    say("pip install .[all] with the group 'test'; this takes some minutes the first time")
    run(*pip, "install", "--quiet", ".[all]", "--group", "test")
    return python


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a command in the repository's folder; stop with its status if it fails."""
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if status:
        sys.exit(f"'{' '.join(command)}' failed with status {status}.")


def say(what: str) -> None:
    """Announce a step, in order with the output of the commands."""
    print(f"==> {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
