#!/usr/bin/env bash
# One would guess that saving the same tensors with the same metadata gives the
# same bytes. safetensors does so without metadata or with one metadata entry,
# in whatever order the tensors come, but with two or more entries their order
# in the header is random at each save, also within one process, so the bytes
# and every checksum differ; parsed header and tensor data are equal. Seen with
# safetensors 0.8.0 and numpy 2.4.6. It matters because checksums of model or
# result files are used to tell whether an analysis was reproduced or a cache
# is current: compare header and tensors, or keep one metadata entry (such as
# one JSON text with sorted keys).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import hashlib, json, struct, sys
import numpy as np, safetensors
from safetensors.numpy import save

print("safetensors", safetensors.__version__, "numpy", np.__version__)
tensors = {f"t{i}": np.arange(i + 1, dtype=np.float32) for i in range(5)}
backwards = dict(reversed(tensors.items()))


def distinct(keys):
    metadata = {f"key{i}": "value" for i in range(keys)} or None
    sums, parsed = set(), []
    for turn in range(100):
        data = save(backwards if turn % 2 else tensors, metadata)
        size = struct.unpack("<Q", data[:8])[0]
        sums.add(hashlib.sha256(data).hexdigest())
        parsed.append((json.loads(data[8:8 + size]), data[8 + size:]))
    same = all(p == parsed[0] for p in parsed)
    print(keys, "metadata entries: 100 saves,", len(sums), "different checksums; header and data equal once parsed:", same)
    return len(sums), same


result = [distinct(keys) for keys in (0, 1, 2, 6)]
if not (all(same for _, same in result) and result[0][0] == result[1][0] == 1
        and result[2][0] == 2 and result[3][0] > 10):
    sys.exit("DIFFERS: the bytes did not vary with two or more metadata entries only")
print("AS STATED")
PYTHON
