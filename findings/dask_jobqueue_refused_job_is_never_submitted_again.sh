#!/usr/bin/env bash
# One would guess that adapt(minimum_jobs=n, maximum_jobs=n) of dask-jobqueue keeps
# n jobs: that a job which the batch system refused is submitted anew, once the
# cause is mended. But a job that was refused stays among the workers of the
# cluster as one that is still to begin, so that nothing is left to be done:
# sbatch is called once, and within half a minute not again.
# Forgetting it by scale_down brings a new submission.
# Seen with dask-jobqueue 0.9.0, dask and distributed 2026.8.0, and a command
# sbatch that is made here and refuses the first job only.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    dask==2026.8.0 distributed==2026.8.0 dask-jobqueue==0.9.0

cat > sbatch <<'SH'
#!/bin/sh
echo call >> calls
if [ -e mended ]; then
  cp "$1" job.sh
  sh job.sh >job.log 2>&1 &
  echo "Submitted batch job $!"
else
  echo "sbatch: error: Invalid account" >&2
  exit 1
fi
SH
printf '#!/bin/sh\nkill "$@"\n' > scancel
chmod +x sbatch scancel

cat > seen.py <<'PYTHON'
import logging
import sys
import time
from contextlib import suppress
from pathlib import Path

import dask
import dask_jobqueue
import distributed
from dask_jobqueue import SLURMCluster


def calls():
    """Return how often sbatch was called."""
    return len(Path("calls").read_text().split())


def workers_within(cluster, seconds):
    """Return how many workers there are after a while, or as soon as there is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not cluster.scheduler_info["workers"]:
        time.sleep(0.2)
    return len(cluster.scheduler_info["workers"])


if __name__ == "__main__":
    print("dask-jobqueue", dask_jobqueue.__version__, "dask", dask.__version__,
          "distributed", distributed.__version__)
    for name in ("tornado.application", "asyncio"):
        logging.getLogger(name).disabled = True  # the refusal, with its traceback
    cluster = SLURMCluster(cores=1, memory="1GB", log_directory=".", interface="lo",
                           scheduler_options={"dashboard_address": None, "interface": "lo"})
    cluster.adapt(minimum_jobs=1, maximum_jobs=1)
    refused = workers_within(cluster, 5), calls()
    Path("mended").touch()
    waiting = workers_within(cluster, 30), calls()
    cluster.sync(cluster.scale_down, list(cluster.worker_spec))
    forgotten = workers_within(cluster, 60), calls()
    print("refused:             workers, calls of sbatch =", refused)
    print("mended, 30 s later:  workers, calls of sbatch =", waiting)
    print("after scale_down:    workers, calls of sbatch =", forgotten)
    with suppress(AssertionError):
        cluster.close()
    if (refused, waiting, forgotten) != ((0, 1), (0, 1), (1, 2)):
        sys.exit("DIFFERS: the refused job was submitted again, or the forgotten one was not")
    print("AS STATED")
PYTHON
PATH=$folder:$PATH venv/bin/python seen.py
