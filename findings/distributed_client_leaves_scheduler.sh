#!/usr/bin/env bash
# One would guess that closing all clients of dask.distributed gives dask its
# own scheduler back, in whatever order they are closed: each client makes itself
# the default when it is made, and steps back when it is closed. It is so if the
# last one is closed first. If the first one is closed first, dask's
# configuration keeps scheduler = "dask.distributed" when no client is left, and
# every later compute() in the process raises RuntimeError, also of arrays that
# never had to do with a cluster.
# Seen with dask and distributed 2026.8.0. It matters where one process holds
# lazy images and uses a cluster now and then, such as a viewer: a client that is
# made with set_as_default=False leaves nothing behind.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    dask==2026.8.0 distributed==2026.8.0 numpy==2.4.6

cat > seen.py <<'PYTHON'
import sys

import dask
import dask.array as da
import distributed
from distributed import Client, LocalCluster


def outcome(order, default):
    """Close two clients in an order; return what is left in the configuration, and of compute."""
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        clients = [Client(cluster, set_as_default=default) for _ in range(2)]
        for number in order:
            clients[number].close()
    left = dask.config.get("scheduler", None)
    try:
        total = float(da.ones(3).sum().compute())
    except RuntimeError as error:
        total = f"RuntimeError: {error}"
    dask.config.config.pop("scheduler", None)
    return left, total


if __name__ == "__main__":
    print("dask", dask.__version__, "distributed", distributed.__version__)
    last = outcome((1, 0), True)
    first = outcome((0, 1), True)
    apart = outcome((0, 1), False)
    print("last client closed first: ", last)
    print("first client closed first:", first)
    print("the same, not as default: ", apart)
    good = last == (None, 3.0) and apart == (None, 3.0)
    good &= first[0] == "dask.distributed" and "no Client active" in str(first[1])
    if not good:
        sys.exit("DIFFERS: the scheduler was not left behind by the order of closing alone")
    print("AS STATED")
PYTHON
venv/bin/python seen.py
