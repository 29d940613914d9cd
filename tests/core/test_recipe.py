"""Both modes as data, and what the settings change in each."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_type_hints

import pytest

from napari_iclsam.core.recipe import AUTO, PAPER, Recipe, resolve
from napari_iclsam.core.settings import Settings

OF_BOTH_MODES: dict[str, Any] = {
    "channel": "green",
    "icl_guidance": 0.7,
    "sam_guidance": 1.5,
    "max_examples": 5,
    "min_component": 0.2,
    "max_boxes": 3,
    "probe_cells": 2000,
    "seed": 9,
}
OF_AUTO_MODE: dict[str, Any] = {
    "coarse_to_fine": False,
    "fine_tune": False,
    "tta_flips": True,
    "mask_prompt": False,
    "cross_validate": False,
    "interpolate_slices": False,
}
DECIDED_BY_MODE = {
    "shared_scale": (True, False),
    "antialias": (True, False),
    "rescale_query": (True, False),
    "input_size": ("by detail", "nearest"),
    "cell_center": (0.5, 0.0),
    "box_thin_masks": (True, False),
    "max_experts": (4, 1),
    "pixel_classifier": (True, False),
    "use_neighbors": (True, False),
    "fusion": ("log-odds", "published"),
    "half_precision": (True, False),
}
"""Values of auto and of paper mode, which no setting changes (but for use_sam)."""


def test_the_settings_are_those_of_one_of_these_kinds() -> None:
    known = {"mode", "use_sam", "tile", *OF_BOTH_MODES, *OF_AUTO_MODE}
    assert set(Settings().to_dict()) == known


def test_auto_mode_by_default_is_its_recipe_without_mirrored_copies() -> None:
    by_default = resolve(Settings())
    assert by_default == replace(AUTO, tta_flips=False, tile="auto")
    assert resolve(Settings(tta_flips=True)) == replace(AUTO, tile="auto")


def test_paper_mode_by_default_is_its_recipe() -> None:
    assert resolve(Settings(mode="paper")) == PAPER


@pytest.mark.parametrize(("name", "value"), OF_AUTO_MODE.items())
def test_settings_of_auto_mode_turn_one_step_on_or_off(name: str, value: bool) -> None:
    changed = resolve(Settings(**{name: value}))
    # one scale for all: without crops, there are no tiles either
    tile = "off" if name == "coarse_to_fine" else "auto"
    assert changed == replace(resolve(Settings()), **{name: value}, tile=tile)


@pytest.mark.parametrize(("name", "value"), OF_AUTO_MODE.items())
def test_paper_mode_ignores_settings_of_auto_mode(name: str, value: bool) -> None:
    assert resolve(Settings(mode="paper", **{name: value})) == PAPER
    assert resolve(Settings(mode="paper", **{name: not value})) == PAPER


def test_paper_mode_ignores_them_all_together() -> None:
    assert resolve(Settings(mode="paper", **OF_AUTO_MODE)) == PAPER


@pytest.mark.parametrize("mode", ["auto", "paper"])
@pytest.mark.parametrize(("name", "value"), OF_BOTH_MODES.items())
def test_settings_of_both_modes_are_taken_as_they_are(mode: Any, name: str, value: Any) -> None:
    plain = resolve(Settings(mode=mode))
    assert getattr(plain, name) == getattr(Settings(), name) != value
    assert resolve(Settings(mode=mode, **{name: value})) == replace(plain, **{name: value})


@pytest.mark.parametrize(("name", "values"), DECIDED_BY_MODE.items())
def test_the_mode_decides_what_no_setting_does(name: str, values: tuple[Any, Any]) -> None:
    recipes = [
        resolve(Settings(mode=mode, **OF_BOTH_MODES, **OF_AUTO_MODE))  # type: ignore[arg-type]
        for mode in ("auto", "paper")
    ]
    assert tuple(getattr(recipe, name) for recipe in recipes) == values


@pytest.mark.parametrize("mode", ["auto", "paper"])
def test_without_sam_the_in_context_model_decides_alone(mode: Any) -> None:
    recipe = resolve(Settings(mode=mode, use_sam=False))
    alone = {
        "refine": False,
        "pixel_classifier": False,
        "cross_validate": False,
        "fusion": "in-context model alone",
    }
    assert recipe == replace(resolve(Settings(mode=mode)), **alone)


def test_every_step_in_which_the_modes_may_differ_is_explained() -> None:
    hints = get_type_hints(Recipe, include_extras=True)
    for field in fields(Recipe):
        differs = getattr(AUTO, field.name) != getattr(PAPER, field.name)
        texts = getattr(hints[field.name], "__metadata__", ())
        assert bool(texts) == differs, field.name
        assert all(text.endswith(".") for text in texts)
