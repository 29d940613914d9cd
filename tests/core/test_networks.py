"""Which of the networks take part in a task."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from napari_iclsam.core.networks import LoadedSam, Networks
from napari_iclsam.core.recipe import AUTO, PAPER
from napari_iclsam.models.universeg import UniverSeg

LARGE = LoadedSam(nn.Linear(20, 20))
SMALL = LoadedSam(nn.Linear(2, 2))
NETWORKS = Networks((LARGE, SMALL), UniverSeg(1, (4, 4)))


def test_all_promptable_models_take_part_in_a_task_of_images() -> None:
    assert NETWORKS.taking_part(AUTO) == (LARGE, SMALL)


def test_the_smallest_alone_takes_part_in_a_stack() -> None:
    assert NETWORKS.taking_part(replace(AUTO, sparing=True)) == (SMALL,)


def test_as_published_the_first_takes_part_also_in_a_stack() -> None:
    assert NETWORKS.taking_part(PAPER) == (LARGE,)
    assert NETWORKS.taking_part(replace(PAPER, sparing=True)) == (LARGE,)
