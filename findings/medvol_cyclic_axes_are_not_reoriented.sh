#!/usr/bin/env bash
# One would guess that MedVol.get_array("SAR+") gives one and the same array
# for a volume, however its axes are stored: that is what the call asks for.
# It does for orders that one exchange of two axes leads back from, and not
# for cyclic ones: a volume stored as PSR or ASR comes out with the inverse
# permutation, in another shape, while get_geometry("SAR+") gives the spacing
# of the array that was returned, so that nothing looks wrong. nibabel's
# as_closest_canonical gives the same array for all of them. Seen with
# medvol 0.0.22, nibabel 5.4.2, numpy 2.4.6. It matters because napari-nifti
# 0.0.20 reads through it: labels stored as PSR do not lie on an image that is
# stored as RAS, although their affines say that they do.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check medvol==0.0.22 nibabel==5.4.2 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import sys
import nibabel as nib
import numpy as np
from medvol import MedVol
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

volume = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)  # right, front, up
image = nib.Nifti1Image(volume, np.diag([1.0, 2, 3, 1]))


def read(codes):
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    name = f"{codes}.nii"  # each its own: pixels are read from the file when they are used
    nib.save(image.as_reoriented(turn), name)
    return MedVol(name).get_array("SAR+"), nib.as_closest_canonical(nib.load(name))


expected, _ = read("RAS")
good = expected.shape == (4, 3, 2)
for codes in ("RAS", "SPR", "RSA", "LPI", "PSR", "ASR"):
    array, canonical = read(codes)
    same = np.array_equal(array, expected)
    print(codes, "-> SAR+ of shape", array.shape, "as RAS" if same else "NOT as RAS")
    good &= same == (codes not in ("PSR", "ASR"))
    good &= np.array_equal(np.asarray(canonical.dataobj), volume)
if not good:
    sys.exit("DIFFERS: cyclic orders of axes were read in another way than stated")
print("AS STATED")
PYTHON
