"""Jobs of a batch system, with a command `sbatch` that refuses them, and the script of the page."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from dask_jobqueue import LSFCluster, SGECluster, SLURMCluster

from napari_iclsam.cluster import jobs
from napari_iclsam.cluster.jobs import close_jobs, wait_for_jobs

ROOT = Path(__file__).parents[2]
ANY_PORT = {"dashboard_address": ":0"}
REFUSED = "sbatch: error: Batch job submission failed: Invalid account"

pytestmark = pytest.mark.usefixtures("own_address")


def page() -> Any:
    """Load the script of the documentation, which must not run anything when it is imported."""
    spec = importlib.util.spec_from_file_location("slurm_page", ROOT / "docs" / "slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "sbatch"
    command.write_text(f'#!/bin/sh\necho "{REFUSED}" >&2\nexit 1\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_what_a_batch_system_says_to_a_refused_job_is_passed_on(
    refusing: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = SLURMCluster(
        cores=1, memory="1GB", log_directory=str(tmp_path), scheduler_options=ANY_PORT
    )
    try:
        with pytest.raises(ConnectionError) as caught:
            wait_for_jobs(cluster, 2, timeout=5)
    finally:
        close_jobs(cluster)
    assert str(caught.value) == f"No job works after 5 s. The batch system says: {REFUSED}"
    # two jobs were refused for one reason
    said = [each.getMessage() for each in caplog.records if each.name == "tornado.application"]
    assert said == [f"The batch system has refused a job: {REFUSED}"]


def test_a_later_refusal_is_said_in_one_line_and_other_errors_stay(
    refusing: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = SLURMCluster(
        cores=1, memory="1GB", log_directory=str(tmp_path), scheduler_options=ANY_PORT
    )
    try:
        with pytest.raises(ConnectionError):
            wait_for_jobs(cluster, 1, timeout=5)
    finally:
        close_jobs(cluster)
    caplog.clear()
    logger = logging.getLogger("tornado.application")
    for words in ("stderr:\nsbatch: error: Quota used up\n", "something else"):
        logger.error("Exception in callback", exc_info=RuntimeError(words))
    refusal, other = caplog.records
    assert refusal.getMessage() == (
        "The batch system has refused a job: sbatch: error: Quota used up"
    )
    assert not refusal.exc_info
    assert other.exc_info


ACCEPTS = """#!/bin/sh
if [ -e mended ]; then
  cp "$1" job.sh  # dask removes the script
  sh job.sh >job.log 2>&1 &
  echo "Submitted batch job $!"
else
  echo "sbatch: error: Invalid account" >&2
  exit 1
fi
"""
"""Takes jobs once their cause is mended, and runs them at once; a job's number is its process."""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no shell")
def test_jobs_that_were_refused_come_when_the_cause_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("sbatch", ACCEPTS), ("scancel", '#!/bin/sh\nkill "$@"\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    cluster = SLURMCluster(
        cores=1, memory="1GB", log_directory=str(tmp_path), scheduler_options=ANY_PORT
    )
    monkeypatch.setattr(jobs, "_AGAIN", 1.0)
    try:
        with pytest.raises(ConnectionError, match="Invalid account"):
            wait_for_jobs(cluster, 1, timeout=3)
        Path("mended").touch()
        wait_for_jobs(cluster, 1, timeout=180)
        assert len(cluster.scheduler_info["workers"]) == 1
    finally:
        close_jobs(cluster)


def test_a_job_of_the_page_has_one_worker_that_uses_all_its_cores() -> None:
    cluster = page().cluster_of()
    try:
        script = cluster.job_script()
    finally:
        close_jobs(cluster)
    assert "#SBATCH --cpus-per-task=8" in script
    assert "#SBATCH -t 04:00:00" in script
    assert "--nthreads 1 " in script
    assert "--nworkers" not in script
    # A worker ends by itself before its job is killed, and its work goes to others.
    assert "--lifetime 3h50m" in script


@pytest.mark.parametrize(
    ("kind", "options", "line"),
    [
        (LSFCluster, {"ncpus": 8, "use_stdin": True}, "#BSUB -n 8"),
        (SGECluster, {"job_extra_directives": ["-pe smp 8"]}, "#$ -pe smp 8"),
    ],
    ids=["LSF", "SGE"],
)
def test_other_batch_systems_are_told_the_cores_as_the_page_says(
    kind: Any, options: dict[str, Any], line: str
) -> None:
    cluster = kind(
        cores=1,
        processes=1,
        memory="32GB",
        walltime="04:00",
        scheduler_options=ANY_PORT,
        **options,
    )
    try:
        script = cluster.job_script()
    finally:
        close_jobs(cluster)
    assert line in script
    assert "--nthreads 1 " in script
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    for name, value in options.items():
        assert f"{name}={value!r}".replace("'", '"') in text
