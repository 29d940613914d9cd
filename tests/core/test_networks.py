"""Which of the networks take part in a task."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from napari_iclsam import ICLSAM
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.networks import LoadedSam, Networks, SamOnDemand
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


def test_a_stack_loads_the_model_that_takes_part_alone() -> None:
    networks = ICLSAM("starter", device="cpu").networks
    larger, smaller = networks.sams
    networks.runners(replace(AUTO, sparing=True), EmbeddingCache())
    assert isinstance(larger, SamOnDemand)
    assert isinstance(smaller, SamOnDemand)
    assert "_loaded" not in vars(larger)
    assert smaller.network is smaller.network
    assert smaller.facts.name == "starter_sam"
    networks.runners(AUTO, EmbeddingCache())
    assert larger.facts.name == "lite_medsam"
    # what is known of them beforehand is true
    for sam in networks.sams:
        count = sum(parameter.numel() for parameter in sam.network.parameters())
        assert abs(count / sam.parameters - 1) < 0.05


def test_a_single_model_is_loaded_at_once() -> None:
    (only,) = ICLSAM("starter_sam", device="cpu").networks.sams
    assert isinstance(only, LoadedSam)
