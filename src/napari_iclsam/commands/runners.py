"""Who segments the files of a batch: this process, several, or a cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

from napari_iclsam.commands.batch import Plan, Runner
from napari_iclsam.commands.batch_bar import BatchBar
from napari_iclsam.commands.batch_here import run_here
from napari_iclsam.commands.cluster_run import run_on_cluster
from napari_iclsam.commands.file_run import FileReport, FileWork
from napari_iclsam.commands.job import Job
from napari_iclsam.commands.worker import send_task
from napari_iclsam.commands.worker_pool import run_in_processes


def runner_of(job: Job, plan: Plan) -> Runner:
    """Return what segments the files of a plan."""
    scheduler = job.workers.scheduler
    jobs = min(job.workers.jobs, len(plan.files))
    if scheduler is None and jobs <= 1:
        return partial(run_here, job.work, job.model)

    def run(files: Sequence[FileWork], bar: BatchBar) -> Generator[FileReport, None, None]:
        # Names that are unknown are told here, before any process is started.
        job.model.segmenter()
        sent = send_task(job.work, job.model, plan.workshop)
        if scheduler is not None:
            return run_on_cluster(sent, files, scheduler, bar)
        bar.begin()
        return run_in_processes(sent, files, jobs)

    return run
