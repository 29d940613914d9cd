#!/usr/bin/env bash
# One would guess that torch.linalg.solve solves a batch of small systems as it
# solves each alone. With two threads, systems of 128 unknowns are solved, two of
# 160 at once raise "Pivots given to lu_solve must all be greater or equal to 1"
# in a new process, and in a process that has solved smaller ones before, a
# solution comes back that is no solution, without a word. One at a time, with
# one thread, or by a Cholesky factor, they are solved. Seen with torch 2.14.1
# (oneMKL 2024.2) and numpy 2.4.6 on x86-64 Linux. The error alone is reported as
# pytorch/pytorch issue 142815 for torch 2.5.
# It matters because a ridge regression for each of several labels or prompts is
# such a batch, and one with the features of an image encoder (256) is that large.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6

cat > solve.py <<'PYTHON'
import sys

import torch

threads, small_first, by = int(sys.argv[1]), sys.argv[2] == "small-first", sys.argv[3]
torch.set_num_threads(threads)
generator = torch.Generator().manual_seed(0)


def worst(batch, unknowns):
    x = torch.randn(batch, unknowns, 2 * unknowns, generator=generator)
    a = x @ x.mT / unknowns + 0.01 * torch.eye(unknowns)
    y = torch.ones(batch, unknowns, 1)
    if by == "cholesky":
        solution = torch.cholesky_solve(y, torch.linalg.cholesky(a))
    elif by == "one-by-one":
        solution = torch.stack([torch.linalg.solve(*pair) for pair in zip(a, y)])
    else:
        solution = torch.linalg.solve(a, y)
    return float((a @ solution - y).abs().max())


try:
    if small_first:
        assert max(worst(4, unknowns) for unknowns in (64, 100, 128) for _ in range(20)) < 1e-3
    print("right" if worst(2, 160) < 1e-3 else "wrong")
except RuntimeError as error:
    print("raised" if "Pivots given to lu_solve" in str(error) else error)
PYTHON

good=true
check() {
  # Lines of oneMKL are left out.
  seen=$(PYTHONIOENCODING=utf-8 timeout 60 venv/bin/python solve.py "$1" "$2" "$3" 2>&1 | grep -E '^(right|wrong|raised)$' || true)
  echo "$1 thread(s), $2, $3: $seen (expected: $4)"
  [ "$seen" = "$4" ] || good=false
}
venv/bin/python -c 'import torch; print("torch", torch.__version__)'
check 2 alone batch raised
check 2 small-first batch wrong
check 1 alone batch right
check 2 alone one-by-one right
check 2 small-first cholesky right
if ! $good; then
  echo "DIFFERS: batches of torch.linalg.solve with two threads behave otherwise"
  exit 1
fi
echo "AS STATED"
