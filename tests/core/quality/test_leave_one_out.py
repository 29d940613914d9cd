"""Leave-one-out on the support set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.metrics import StageScores, dice
from napari_iclsam.core.quality.leave_one_out import Check, leave_one_out
from napari_iclsam.core.segmenter import ICLSAM


def run(steps: Any) -> tuple[list[Any], Check]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def test_each_example_is_segmented_by_the_others(
    segmenter: Callable[..., ICLSAM], scene: Callable[..., Any]
) -> None:
    scenes = [scene(40, 48, seed) for seed in range(3)]
    images, labels = [s[0] for s in scenes], [s[1] for s in scenes]
    labels[2] = np.where(labels[2] == 4, 0, labels[2])
    support = SupportSet.of(images, labels, {1: LabelStyle("disc")})
    seen, check = run(leave_one_out(segmenter().fit_support, support))
    assert [(p.stage, p.done, p.total) for p in seen] == [("check", n, 3) for n in range(3)]
    assert check.names == {1: "disc", 4: "label 4"}
    assert [check.scores[label].examples for label in (1, 4)] == [3, 2]
    fused, alone, sam = [], [], []
    for n in range(2):  # label 4 is in the first two only
        rest = [k for k in range(3) if k != n]
        prediction = (
            segmenter().fit([images[k] for k in rest], [labels[k] for k in rest]).predict(images[n])
        )
        truth = labels[n] == 4
        fused.append(dice(prediction.labels == 4, truth))
        alone.append(dice(prediction.icl_labels == 4, truth))
        sam.append(dice(prediction.sam_labels == 4, truth))
    score = check.scores[4]
    assert (score.fused, score.icl, score.sam) == pytest.approx(
        (np.mean(fused), np.mean(alone), np.mean(sam))
    )


def test_a_label_of_one_example_only_has_no_score(
    segmenter: Callable[..., ICLSAM], scene: Callable[..., Any]
) -> None:
    (a, first), (b, second) = scene(seed=0), scene(seed=1)
    support = SupportSet.of([a, b], [first, np.where(second == 1, 1, 0)])
    _, check = run(leave_one_out(segmenter().fit_support, support))
    assert list(check.scores) == [1]


def test_one_example_cannot_be_checked(
    segmenter: Callable[..., ICLSAM], scene: Callable[..., Any]
) -> None:
    image, labels = scene()
    with pytest.raises(ValueError, match="at least two examples"):
        run(leave_one_out(segmenter().fit_support, SupportSet.of([image], [labels])))


def test_a_segmenter_in_place_of_its_fit_warns_and_works(
    segmenter: Callable[..., ICLSAM], scene: Callable[..., Any]
) -> None:
    scenes = [scene(40, 48, seed) for seed in range(2)]
    support = SupportSet.of([s[0] for s in scenes], [s[1] for s in scenes])
    make = segmenter()
    with pytest.warns(DeprecationWarning, match=r"now leave_one_out\(segmenter.fit_support"):
        steps = leave_one_out(make, support)
    _, by_segmenter = run(steps)
    _, by_fit = run(leave_one_out(make.fit_support, support))
    assert by_segmenter == by_fit


def test_labels_that_never_occur_twice_cannot_be_checked(
    segmenter: Callable[..., ICLSAM], scene: Callable[..., Any]
) -> None:
    image, labels = scene()
    support = SupportSet.of(
        [image, image], [np.where(labels == 1, 1, 0), np.where(labels == 4, 4, 0)]
    )
    with pytest.raises(ValueError, match="No label occurs in two examples"):
        run(leave_one_out(segmenter().fit_support, support))


@pytest.mark.parametrize(
    ("icl", "fused", "words"),
    [
        (
            0.80,
            0.90,
            ["expect a good result, Dice about 0.90", "SAM helps here", "0.80 without, 0.90 with"],
        ),
        (0.90, 0.75, ["expect a fair result, Dice about 0.75", "SAM does harm here"]),
        (0.305, 0.30, ["expect a rough result, Dice about 0.30", "SAM changes little here"]),
    ],
    ids=["good", "fair", "rough"],
)
def test_the_sentence_says_what_to_expect_and_whether_sam_helps(
    icl: float, fused: float, words: list[str]
) -> None:
    sentence, *advice = Check({1: StageScores(icl, 0.5, fused, 3)}, {1: "nucleus"}).sentences()
    assert sentence.startswith("nucleus: ")
    for part in words:
        assert part in sentence
    assert bool(advice) == (fused < 0.85)


def test_every_label_has_its_sentence() -> None:
    check = Check(
        {1: StageScores(0.9, 0.9, 0.9, 2), 4: StageScores(0.9, 0.5, 0.9, 2)},
        {1: "nucleus", 4: "label 4"},
    )
    assert [line.split(":")[0] for line in check.sentences()] == ["nucleus", "label 4"]
