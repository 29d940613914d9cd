"""Label images and maps of each label, made of scores."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_iclsam.core.fusion.label_maps import UNDECIDED, by_label, decided, label_map


@given(hnp.arrays(np.float32, (3, 1, 4, 5), elements=st.floats(-2, 2, width=32)))
def test_a_pixel_has_the_label_of_its_largest_positive_score(values: NDArray[np.float32]) -> None:
    ids = (2, 5, 90)
    labels = label_map(torch.from_numpy(values), ids)
    assert (labels.dtype, labels.shape) == (np.int32, (4, 5))
    for (y, x), label in np.ndenumerate(labels):
        scores = values[:, 0, y, x]
        if label == 0:
            assert scores.max() <= 0
        else:
            assert scores[ids.index(label)] == scores.max() > 0


def test_scores_that_round_to_one_half_are_no_foreground() -> None:
    scores = torch.tensor([-1.0, UNDECIDED / 2, 2 * UNDECIDED])
    assert (decided(scores) > 0).tolist() == [False, False, True]
    assert decided(scores)[1] == 0


def test_maps_are_given_by_label() -> None:
    maps = torch.stack([torch.zeros(1, 2, 3), torch.ones(1, 2, 3)])
    found = by_label((4, 9), maps)
    assert list(found) == [4, 9]
    assert found[9].shape == (2, 3)
    assert (found[9] == 1).all()
