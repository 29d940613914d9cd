"""The samples: real images with labels, offline, as napari wants them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_iclsam import sample_data, samples

SAMPLES = [pytest.param("brain", id="brain"), pytest.param("cells", id="cells")]


@pytest.fixture(params=["brain", "cells"], scope="module")
def sample(request: pytest.FixtureRequest) -> samples.Sample:
    return {"brain": samples.brain, "cells": samples.cells}[request.param]()


def test_every_plane_is_an_8_bit_image_with_its_truth(sample: samples.Sample) -> None:
    assert sample.image.dtype == sample.truth.dtype == np.uint8
    assert sample.image.shape[:3] == sample.truth.shape
    assert min(sample.truth.shape[1:]) >= 100
    assert set(np.unique(sample.truth)) == {0, *sample.names}


def test_every_label_is_in_every_example_and_is_brighter_or_darker_than_the_rest(
    sample: samples.Sample,
) -> None:
    for plane in sample.examples:
        image, truth = sample.image[plane].astype(float), sample.truth[plane]
        for label in sample.names:
            inside = truth == label
            assert 0.02 < inside.mean() < 0.98
            assert abs(image[inside].mean() - image[~inside].mean()) > 20


def test_the_labels_are_the_truth_of_the_examples_and_nothing_else(sample: samples.Sample) -> None:
    painted = [n for n, plane in enumerate(sample.labels) if plane.any()]
    assert painted == list(sample.examples)
    assert (sample.labels[painted] == sample.truth[painted]).all()


def test_the_affine_of_the_brain_leads_to_the_template() -> None:
    from nilearn.datasets import load_mni152_template

    sample, template = samples.brain(), load_mni152_template(resolution=1)
    assert sample.affine is not None
    plane, row, column = 26, 100, 60
    at = np.linalg.inv(template.affine) @ sample.affine @ [column, row, plane, 1]
    assert np.allclose(at, at.round())
    values = np.asarray(template.dataobj)
    expected = 255 * values[tuple(at[:3].round().astype(int))] / values.max()
    assert expected > 50
    assert abs(int(sample.image[plane, row, column]) - expected) <= 1


@pytest.mark.parametrize("name", SAMPLES)
def test_napari_gets_an_image_the_hidden_truth_and_labels_in_one_space(name: str) -> None:
    layers = getattr(sample_data, name)()
    assert [kind for _, _, kind in layers] == ["image", "labels", "labels"]
    (image, at, _), (truth, hidden, _), (labels, shown, _) = layers
    assert image.shape[:3] == truth.shape == labels.shape
    for properties in (hidden, shown):
        assert all(properties[key] == at[key] for key in ("scale", "units", "axis_labels"))
    assert hidden["visible"] is False
    assert shown.get("visible", True)
    assert (labels == truth)[labels > 0].all()


@pytest.mark.parametrize("name", SAMPLES)
def test_napari_takes_the_layers(name: str, make_napari_viewer_proxy: Callable[[], Any]) -> None:
    viewer = make_napari_viewer_proxy()
    layers = viewer.open_sample("napari-iclsam", name)
    image, _, labels = layers
    assert image.rgb == (name == "cells")
    assert tuple(image.scale) == tuple(labels.scale)
    assert next(iter(labels.features["name"])) == "background"


@pytest.mark.parametrize(("name", "package"), [("brain", "nilearn"), ("cells", "skimage")])
def test_a_missing_package_is_said_with_what_to_install(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(
        sys.modules, package, None
    )  # what Python notes of a package that is not there
    with pytest.raises(ModuleNotFoundError, match=r'pip install "napari-iclsam\[samples\]"'):
        getattr(sample_data, name)()
