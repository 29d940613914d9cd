"""Presence of a label: learnt from examples with and without it, and what it allows."""

from __future__ import annotations

import math

import pytest
import torch

from napari_iclsam.core.fusion.held_out import HeldOut
from napari_iclsam.core.fusion.log_odds import LogOdds
from napari_iclsam.core.fusion.presence import (
    Presence,
    cap_by_presence,
    fit_presence,
    image_evidence,
    presence_log_odds,
)


def log_odds(icl: float, sam: float, confidence: float, *pixels: float) -> LogOdds:
    """Log-odds of one label in 400 pixels: these in a twentieth, -1.3 or -5 elsewhere."""
    parts = torch.full((3 + len(pixels), 1, 400), -5.0)
    parts[:, :, 10::20] = -1.3
    for part, value in zip(parts, (icl, sam, confidence, *pixels), strict=True):
        part[:, ::20] = value
    return LogOdds(parts, torch.ones(len(parts), 1))


def example(confidence: float, *, present: bool) -> HeldOut:
    """A held-out example whose confidence map reaches so far."""
    truth = torch.zeros(1, 400, dtype=torch.bool)
    truth[:, ::20] = present
    return HeldOut(log_odds(6, 8, confidence), truth, truth)


WITH = [example(value, present=True) for value in (3.5, 3.0, 2.5, 3.2)]
WITHOUT = [example(value, present=False) for value in (-1.5, -1.0)]


def odds(
    presence: Presence | None, confidence: float, *, icl: float = 6, dice: float = 0.9
) -> float:
    """Log-odds that an image whose confidence map reaches so far is marked."""
    return presence_log_odds(log_odds(icl, 8, confidence), [presence], [dice])[0]


def test_the_evidence_is_that_of_maps_and_of_the_pixel_classifier() -> None:
    assert image_evidence(log_odds(6, 8, 2.5), 0).score == pytest.approx(2.5)
    assert image_evidence(log_odds(6, 8, 2.5, 0.5), 0).score == pytest.approx(1.5)


def test_a_single_pixel_is_no_evidence() -> None:
    made = log_odds(6, 8, -5)
    made.parts[2] = -5
    made.parts[2, 0, 7] = 5
    assert image_evidence(made, 0).score < 0


def test_an_image_of_few_pixels_has_evidence() -> None:
    made = LogOdds(torch.full((3, 1, 2), 1.5), torch.ones(3, 1))
    assert image_evidence(made, 0).score == pytest.approx(1.5)


def test_the_area_is_that_of_the_in_context_mask() -> None:
    assert image_evidence(log_odds(6, 8, 2.5), 0).area == pytest.approx(1 / 20)
    assert image_evidence(log_odds(-6, 8, 2.5), 0).area == 0


def test_images_like_those_without_the_label_are_judged_to_be_without_it() -> None:
    presence = fit_presence([*WITH, *WITHOUT], 0)
    assert odds(presence, -1.2) < 0 < odds(presence, 3) < odds(presence, 6)


def test_one_example_without_the_label_suffices() -> None:
    presence = fit_presence([*WITH, WITHOUT[0]], 0)
    assert odds(presence, -1.5) < 0 < odds(presence, 2.5)


def test_the_background_of_examples_is_what_evidence_is_compared_with() -> None:
    presence = fit_presence([*WITH, *WITHOUT], 0)
    assert isinstance(presence, Presence)
    # the means beside the label and of the label; a fifth of the way between them
    background = (4 * -1.3 - 1.3 - 1.0) / 6
    assert presence.level == pytest.approx(0.8 * background + 0.2 * 3.05)
    assert presence.area == pytest.approx(1 / 20)


def test_where_less_is_marked_than_in_examples_the_label_is_less_likely() -> None:
    presence = fit_presence([*WITH, *WITHOUT], 0)
    assert odds(presence, -1, icl=-6) < odds(presence, -1)


def test_a_mask_that_is_probably_bad_needs_more_evidence() -> None:
    presence = fit_presence([*WITH, *WITHOUT], 0)
    assert odds(presence, -1, dice=0.9) - odds(presence, -1, dice=0.3) == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    "cases", [[], WITH, WITHOUT, [WITH[0], *WITHOUT]], ids=["none", "with", "without", "one with"]
)
def test_without_examples_of_both_kinds_nothing_is_learnt(cases: list[HeldOut]) -> None:
    assert fit_presence(cases, 0) is None
    assert odds(None, -5) == math.inf


def test_examples_that_the_label_fills_teach_nothing() -> None:
    full = torch.ones(1, 400, dtype=torch.bool)
    filled = [HeldOut(case.log_odds, full, full) for case in WITH]
    assert fit_presence([*filled, *WITHOUT], 0) is None


def test_evidence_that_is_larger_without_the_label_empties_no_image() -> None:
    odd = [example(8.0, present=False), example(9.0, present=False)]
    assert odds(fit_presence([*WITH, *odd], 0), -5) > 0


def test_no_pixel_is_likelier_than_the_presence() -> None:
    scores = torch.tensor([[-3.0, 2.0], [1.0, 4.0], [-1.0, 5.0]]).view(3, 1, 1, 2)
    capped = cap_by_presence(scores, [-0.5, 2.0, math.inf]).view(3, 2)
    assert capped.tolist() == [[-3.0, -0.5], [1.0, 2.0], [-1.0, 5.0]]


def test_the_prior_is_the_share_of_the_examples() -> None:
    many = fit_presence([*WITH, WITHOUT[0]], 0)
    few = fit_presence([*WITH[:2], *WITHOUT], 0)
    assert isinstance(many, Presence)
    assert isinstance(few, Presence)
    assert many.prior == pytest.approx(math.log(5 / 2))
    assert few.prior == pytest.approx(0)
