"""Segment a folder by jobs of SLURM: run this script on a login node."""

import sys

from dask_jobqueue import SLURMCluster

from napari_iclsam.cli import main as napari_iclsam
from napari_iclsam.cluster.jobs import close_jobs, wait_for_jobs

JOBS = 4
COMMAND = "predict --task cells.iclsam --query scans --output results --resume".split()


def cluster_of() -> SLURMCluster:
    """Describe a job: one worker that uses 8 cores for one image at a time."""
    return SLURMCluster(
        cores=1,  # images at a time
        job_cpu=8,  # cores of the job
        processes=1,
        memory="32GB",
        walltime="04:00:00",  # dask's own default is 30 minutes
        # the worker ends before its job is killed
        worker_extra_args=["--lifetime", "3h50m"],
        # others on this node may have dask's own port
        scheduler_options={"dashboard_address": ":0"},
        # queue="gpu", account="my-lab", job_extra_directives=["--gres=gpu:1"],
    )


def main() -> int:
    """Wait for the first job, then run the command."""
    cluster = cluster_of()
    try:
        wait_for_jobs(cluster, JOBS, timeout=1800)
        return napari_iclsam([*COMMAND, "--scheduler", cluster.scheduler_address])
    except ConnectionError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        close_jobs(cluster)


# Without this line, dask starts the script anew in each process that it starts.
if __name__ == "__main__":
    sys.exit(main())
