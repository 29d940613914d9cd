"""The segmenter as its user calls it, on small networks with random weights."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray

from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.fused_prediction import SegmentedImage, prediction_of
from napari_iclsam.core.fusion.outputs import ExpertOutput, StageOutputs
from napari_iclsam.core.fusion.weights import (
    STARTER_WEIGHTS,
    Kept,
    default_weights,
    published_weights,
)
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.metrics import dice
from napari_iclsam.core.networks import LoadedSam, ModelFacts, Networks
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task import Task
from napari_iclsam.models.starter_sam import StarterSam

Make = Callable[..., ICLSAM]
Scene = Callable[..., Any]
IDS = (1, 4)


def run(steps: Any) -> tuple[list[Progress], Any]:
    """Return what a generator yields, and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def assert_equal(a: Prediction, b: Prediction) -> None:
    for name in ("labels", "icl_labels", "sam_labels"):
        assert (getattr(a, name) == getattr(b, name)).all(), name
    for name in ("probabilities", "confidence", "boxes"):
        for label in a.boxes:
            assert np.array_equal(getattr(a, name)[label], getattr(b, name)[label]), name


def assert_sound(prediction: Prediction, shape: tuple[int, int]) -> None:
    """What is true of every prediction."""
    for labels in (prediction.labels, prediction.icl_labels, prediction.sam_labels):
        assert (labels.shape, labels.dtype) == (shape, np.int32)
        assert set(np.unique(labels)) <= {0, *IDS}
    for maps in (prediction.probabilities, prediction.confidence):
        assert tuple(maps) == IDS
        for values in maps.values():
            assert (values.shape, values.dtype) == (shape, np.float32)
            assert values.min() >= 0
            assert values.max() <= 1
    best = np.stack([prediction.probabilities[label] for label in IDS])
    assert ((best.max(axis=0) > 0.5) == (prediction.labels > 0)).all()
    for label, probability in zip(
        IDS, best, strict=True
    ):  # close to 1, two of them may round to one number
        assert (probability == best.max(axis=0))[prediction.labels == label].all()
    for boxes in prediction.boxes.values():
        assert (boxes[:, :2] <= boxes[:, 2:]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] < [shape[1], shape[0]]).all()
    assert set(prediction.seconds) == {"embed", "icl", "sam", "fuse"}


@pytest.fixture(scope="module")
def task(segmenter: Make, scene: Scene) -> Task:
    scenes = [scene(seed=seed) for seed in range(2)]
    return segmenter().fit([s[0] for s in scenes], [s[1] for s in scenes])


def test_pixels_to_be_ignored_are_no_object_and_no_background(
    segmenter: Make, scene: Scene
) -> None:
    scenes = [scene(seed=seed) for seed in range(2)]
    images = [image for image, _ in scenes]
    labels = [np.where(np.arange(48) < 20, 255, painted) for _, painted in scenes]
    task = segmenter().fit(images, labels, ignore_labels=(255,))
    assert task.support.ids == IDS
    shares = 1 / (1 + np.exp(-np.array(task.fusion.foreground)))
    seen = np.stack([painted[:, 20:] for _, painted in scenes])
    assert shares == pytest.approx([(seen == label).mean() for label in IDS])
    assert_sound(task.predict(images[0]), (48, 48))


KINDS: dict[str, Callable[[NDArray[np.uint8]], NDArray[Any]]] = {
    "8-bit": lambda grey: grey,
    "16-bit": lambda grey: grey.astype(np.uint16) * 200 + 31,
    "big-endian": lambda grey: grey.astype(">u2") * 3,
    "signed": lambda grey: grey.astype(np.int32) - 1000,
    "float": lambda grey: grey.astype(np.float32) / 255,
    "double": lambda grey: grey * 1e-12,
    "bool": lambda grey: grey > 100,
    "rgb": lambda grey: np.stack([grey, grey // 2, 255 - grey], axis=-1),
    "rgba": lambda grey: np.stack([grey] * 4, axis=-1),
    "float rgb": lambda grey: np.stack([grey, grey, grey], axis=-1) / 255,
    "16-bit rgb": lambda grey: np.stack([grey] * 3, axis=-1).astype(np.uint16) * 9,
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_kind_are_examples_and_queries(
    segmenter: Make, scene: Scene, kind: str
) -> None:
    (image, labels), (query, _) = scene(30, 44, 0), scene(40, 32, 1)
    image, query = KINDS[kind](image), KINDS[kind](query)
    before = image.copy(), labels.copy(), query.copy()
    prediction = segmenter().fit([image], [labels]).predict(query)
    assert_sound(prediction, (40, 32))
    for now, was in zip((image, labels, query), before, strict=True):
        assert (now == was).all()


@pytest.mark.parametrize("kind", ["rgba", "float rgb"])
def test_grey_is_grey_however_it_is_stored(task: Task, scene: Scene, kind: str) -> None:
    query = scene(seed=5)[0]
    assert_equal(task.predict(query), task.predict(KINDS[kind](query)))


@pytest.mark.parametrize(
    ("height", "width"),
    [(2, 2), (2, 90), (150, 2), (3, 3), (64, 64), (33, 97), (200, 130)],
    ids=str,
)
def test_queries_have_any_size(task: Task, scene: Scene, height: int, width: int) -> None:
    query = scene(height, width, 3)[0]
    query[0, 0] = 255
    assert_sound(task.predict(query), (height, width))


def test_examples_differ_in_size_and_kind_and_may_be_one_pixel_high_in_labels(
    segmenter: Make, scene: Scene
) -> None:
    (a, first), (b, second) = scene(40, 40, 0), scene(24, 80, 1)
    c, third = scene(2, 30, 2)[0], np.zeros((2, 30), int)
    third[0, 3:9] = 1
    task = segmenter().fit(
        [a, b.astype(np.float32), np.stack([c] * 3, axis=-1)], [first, second, third]
    )
    assert task.support.ids == IDS
    assert_sound(task.predict(a), (40, 40))


def test_the_random_networks_do_find_something(task: Task, scene: Scene) -> None:
    """Else all that follows would compare empty results."""
    prediction = task.predict(scene(seed=5)[0])
    assert prediction.labels.any()
    assert prediction.icl_labels.any()
    assert prediction.sam_labels.any()
    assert not prediction.notes


@pytest.mark.parametrize("mode", ["auto", "paper"])
def test_the_same_input_gives_the_same_result(networks: Networks, scene: Scene, mode: Any) -> None:
    (image, labels), (query, _) = scene(seed=0), scene(seed=1)

    def result() -> Prediction:
        settings = Settings(mode=mode)
        segmenter = ICLSAM(networks=networks, settings=settings)
        return segmenter.fit([image, query], [labels, labels]).predict(query)

    assert_equal(result(), result())


def test_the_random_state_of_others_is_neither_used_nor_changed(
    segmenter: Make, scene: Scene
) -> None:
    (image, labels), (query, _) = scene(seed=0), scene(seed=1)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = segmenter(cross_validate=True).fit([image, query], [labels, labels]).predict(query)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_equal(
        first, segmenter(cross_validate=True).fit([image, query], [labels, labels]).predict(query)
    )


class TestNothing:
    """Queries in which there is nothing to see or nothing is found."""

    @pytest.fixture
    def blind(self, networks: Networks, scene: Scene) -> Task:
        """A task whose in-context model finds nothing."""
        icl = copy.deepcopy(networks.icl)
        icl.out_conv.conv.bias.fill_(-30)
        image, labels = scene()
        settings = Settings(cross_validate=False)
        return ICLSAM(networks=replace(networks, icl=icl), settings=settings).fit([image], [labels])

    def test_nothing_found_is_an_empty_result_that_says_so(self, blind: Task, scene: Scene) -> None:
        prediction = blind.predict(scene(seed=1)[0])
        assert not prediction.icl_labels.any()
        assert not prediction.sam_labels.any()
        assert not prediction.labels.any()
        assert {label: boxes.shape for label, boxes in prediction.boxes.items()} == {
            1: (0, 4),
            4: (0, 4),
        }
        assert prediction.notes == ("Nothing found of: label 1, label 4.",)

    def test_a_constant_query_is_refused_with_its_value(self, task: Task) -> None:
        with pytest.raises(ValueError, match="The image has the value 7 everywhere"):
            task.predict(np.full((20, 30), 7, np.uint8))

    @pytest.mark.parametrize("mode", ["auto", "paper"])
    def test_a_constant_plane_of_a_stack_is_empty_and_no_number_is_undefined(
        self, segmenter: Make, scene: Scene, mode: str
    ) -> None:
        image, labels = scene()
        task = segmenter(mode=mode).fit([image], [labels])
        _, prediction = run(task.steps(np.full((20, 30), 7, np.uint8)))
        assert_sound(prediction, (20, 30))
        assert not prediction.labels.any()
        assert "one value everywhere" in prediction.notes[0]


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        (np.zeros((3, 20, 20)), ValueError, "predict_stack or choose a plane"),
        (np.array([[1.0, np.nan], [0, 1]]), ValueError, "1 of 4 values that are not finite"),
        (np.zeros((0, 5)), ValueError, "at least 2 x 2"),
        (np.zeros((4, 4), complex), TypeError, "real numbers"),
    ],
    ids=["stack", "nan", "empty", "complex"],
)
def test_a_query_that_is_no_plane_of_numbers_is_refused(
    task: Task, query: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        task.predict(query)


def test_what_rounds_to_a_probability_of_one_half_is_background(
    segmenter: Make, scene: Scene
) -> None:
    task = segmenter(use_sam=False).fit([scene()[0]], [scene()[1]])
    half = torch.full((len(IDS), 1, 8, 8), 0.5)
    half[:, :, 4:] = torch.nextafter(
        half[:, :, 4:], torch.ones(())
    )  # the logistic function of 6e-8 is 0.5
    none = (np.zeros((0, 4), np.int64),) * len(IDS)
    outputs = StageOutputs(half, (ExpertOutput(half, half - 1),), none, half)
    fused = task.fusion.fuse(outputs, task.context.runners.recipe.fusion)
    segmented = SegmentedImage(outputs, fused, StageTimer())
    prediction = prediction_of(segmented, task.support, task.provenance)
    assert not prediction.labels.any()


class TestSteps:
    """The generators behind `predict` and `fit`."""

    def test_predicting_tells_its_steps_and_returns_what_predict_does(
        self, task: Task, scene: Scene
    ) -> None:
        query = scene(seed=5)[0]
        seen, prediction = run(task.steps(query))
        assert [p.stage for p in seen] == ["embed", "icl", "sam", "fuse"]
        assert all(isinstance(p, Progress) and p.message and p.prediction is None for p in seen)
        assert_equal(prediction, task.predict(query))

    def test_fitting_tells_each_example_and_each_step_of_cross_validation(
        self, segmenter: Make, scene: Scene
    ) -> None:
        scenes = [scene(seed=seed) for seed in range(3)]
        make = segmenter(cross_validate=True)
        whole = make.fit([s[0] for s in scenes], [s[1] for s in scenes])
        seen, fitted = run(make.fit_steps(whole.support))
        assert [p.stage for p in seen] == [
            "load",
            "embed",
            "embed",
            "embed",
            "check",
            "check",
            "check",
            "fit",
        ]
        assert [p.done for p in seen[1:4]] == [0, 1, 2]
        assert {p.total for p in seen} == {3}
        assert fitted.weights == whole.weights

    @pytest.mark.parametrize("max_examples", [32, 2], ids=["all examples", "some examples"])
    def test_a_preview_comes_before_all_else_by_the_in_context_model_alone(
        self, segmenter: Make, scene: Scene, max_examples: int
    ) -> None:
        scenes, query = [scene(seed=seed) for seed in range(3)], scene(seed=5)[0]
        images, labels = [s[0] for s in scenes], [s[1] for s in scenes]
        make = segmenter(cross_validate=True, max_examples=max_examples)
        support = SupportSet.of(images, labels)
        seen, fitted = run(make.fit_steps(support, query))
        assert [p.stage for p in seen][:4] == ["load", "icl", "done", "embed"]
        previews = [p.prediction for p in seen if p.prediction is not None]
        assert len(previews) == 1
        shown = [images[i] for i in (range(3) if max_examples > 2 else (0, 2))]
        given = [labels[i] for i in (range(3) if max_examples > 2 else (0, 2))]
        alone = segmenter(use_sam=False, icl_guidance=0.0).fit(shown, given).predict(query)
        assert np.array_equal(previews[0].labels, alone.icl_labels)
        assert previews[0].labels.any()
        assert tuple(previews[0].seconds) == ("icl",)
        assert np.array_equal(previews[0].icl_labels, alone.icl_labels)
        assert_equal(fitted.predict(query), make.fit_support(support).predict(query))

    def test_a_run_can_be_given_up_after_each_step(self, task: Task, scene: Scene) -> None:
        query = scene(seed=5)[0]
        for count in range(1, 5):
            steps = task.steps(query)
            for _ in range(count):
                next(steps)
            steps.close()
        assert_equal(task.predict(query), task.predict(query))


class TestSettings:
    """What settings change and what they leave alone."""

    def predict(self, segmenter: Make, scene: Scene, **settings: Any) -> Prediction:
        (image, labels), (other, second), (query, _) = scene(seed=0), scene(seed=1), scene(seed=2)
        colors = [
            np.stack([grey, grey // 2, 255 - grey], axis=-1) for grey in (image, other, query)
        ]
        return segmenter(**settings).fit(colors[:2], [labels, second]).predict(colors[2])

    @pytest.mark.parametrize(
        "settings", [{"tta_flips": True}, {"mask_prompt": False}, {"cross_validate": True}], ids=str
    )
    def test_paper_mode_knows_no_settings_of_auto_mode(
        self, segmenter: Make, scene: Scene, settings: dict[str, Any]
    ) -> None:
        plain = self.predict(segmenter, scene, mode="paper")
        assert_equal(plain, self.predict(segmenter, scene, mode="paper", **settings))

    @pytest.mark.parametrize(
        "settings",
        [
            {"tta_flips": True},
            {"mask_prompt": False},
            {"coarse_to_fine": False},
            {"mode": "paper"},
            {"channel": "blue"},
            {"sam_guidance": 0.0},
            {"icl_guidance": 0.0},
        ],
        ids=str,
    )
    def test_in_auto_mode_they_matter(
        self, segmenter: Make, scene: Scene, settings: dict[str, Any]
    ) -> None:
        plain, changed = self.predict(segmenter, scene), self.predict(segmenter, scene, **settings)
        fused = [np.array_equal(plain.probabilities[i], changed.probabilities[i]) for i in IDS]
        assert not (
            all(fused) and np.array_equal(plain.sam_labels, changed.sam_labels)
        )  # SAM may not count

    def test_without_sam_the_in_context_model_decides(self, segmenter: Make, scene: Scene) -> None:
        prediction = self.predict(segmenter, scene, use_sam=False, coarse_to_fine=False)
        assert_sound(prediction, (48, 48))
        assert (prediction.labels == prediction.icl_labels).all()
        assert not prediction.sam_labels.any()

    def test_no_more_boxes_than_asked_for(self, segmenter: Make, scene: Scene) -> None:
        prediction = self.predict(segmenter, scene, max_boxes=1, min_component=0.0)
        assert all(len(boxes) <= 1 for boxes in prediction.boxes.values())
        assert any(len(boxes) for boxes in prediction.boxes.values())

    def test_cross_validation_scores_each_label(self, segmenter: Make, scene: Scene) -> None:
        scenes = [scene(seed=seed) for seed in range(3)]
        images, labels = [s[0] for s in scenes], [s[1] for s in scenes]
        task = segmenter(cross_validate=True).fit(images, labels)
        assert tuple(task.cross_validated) == IDS
        assert all(0 <= s.fused <= 1 and s.examples == 3 for s in task.cross_validated.values())
        assert not segmenter(cross_validate=True).fit(images[:1], labels[:1]).cross_validated
        assert not segmenter().fit(images, labels).cross_validated

    def test_the_prediction_carries_what_made_it(self, segmenter: Make, scene: Scene) -> None:
        provenance = self.predict(segmenter, scene, sam_guidance=1.5).provenance
        assert provenance.models == {"sam": "small_sam", "icl": "small_icl"}
        assert provenance.checksums == {"sam": "a", "icl": "b"}
        assert (provenance.settings["sam_guidance"], provenance.examples, provenance.device) == (
            1.5,
            2,
            "cpu",
        )
        assert len(provenance.support) == 64


@pytest.mark.parametrize(
    "networks_with",
    [{"fusion_default": "starter"}, {"fusion_default": "published"}],
    ids=["starter", "published"],
)
def test_the_model_says_which_fusion_weights_hold_without_cross_validation(
    networks: Networks, cache: EmbeddingCache, scene: Scene, networks_with: dict[str, Any]
) -> None:
    images, labels = zip(*(scene(seed=seed) for seed in range(2)), strict=True)
    facts = ModelFacts("small_sam", "a", **networks_with)
    named = replace(networks, sams=(replace(networks.sams[0], facts=facts),))
    segmenter = ICLSAM(networks=named, cache=cache, settings=Settings(cross_validate=False))
    starter = networks_with["fusion_default"] == "starter"
    expected = STARTER_WEIGHTS if starter else published_weights(2)
    assert segmenter.fit(images, labels).weights == (expected,) * len(IDS)


class TestTwoExperts:
    """Two promptable models with different weights, fused."""

    @pytest.fixture
    def two(self, networks: Networks) -> Networks:
        torch.manual_seed(11)
        second = LoadedSam(
            StarterSam(96).eval().requires_grad_(False),
            facts=ModelFacts("other_sam", "c", "MIT", fusion_default="published"),
        )
        return replace(networks, sams=(*networks.sams, second))

    def fit(self, two: Networks, scene: Scene, count: int, **settings: Any) -> Task:
        scenes = [scene(seed=seed) for seed in range(count)]
        segmenter = ICLSAM(networks=two, settings=Settings(**settings), cache=EmbeddingCache(None))
        return segmenter.fit([s[0] for s in scenes], [s[1] for s in scenes])

    def test_they_fit_and_predict_and_the_result_names_both(
        self, two: Networks, scene: Scene
    ) -> None:
        task = self.fit(two, scene, 2, cross_validate=True)
        assert task.fusion.kept.experts == (0, 1)
        assert all(weights.experts == 2 for weights in task.weights)
        assert [len(of_pair) for of_pair in task.context.examples.embeddings] == [2, 2]
        assert tuple(task.cross_validated) == IDS
        prediction = task.predict(scene(seed=5)[0])
        assert_sound(prediction, (48, 48))
        assert prediction.labels.any()
        made = prediction.provenance
        assert made.models == {"sam": "small_sam", "icl": "small_icl", "sam2": "other_sam"}
        assert made.checksums == {"sam": "a", "icl": "b", "sam2": "c"}
        assert made.licenses["sam2"] == "MIT"
        assert two.sam_name == "small_sam+other_sam"

    def test_without_cross_validation_both_count_alike(self, two: Networks, scene: Scene) -> None:
        task = self.fit(two, scene, 2, cross_validate=False)
        assert task.weights == (default_weights(["starter", "published"], 2),) * len(IDS)

    def test_the_second_matters(self, networks: Networks, two: Networks, scene: Scene) -> None:
        query = scene(seed=5)[0]
        one, both = (
            self.fit(each, scene, 2, cross_validate=False).predict(query)
            for each in (networks, two)
        )
        for label in IDS:
            assert np.array_equal(one.confidence[label], both.confidence[label])
        assert not np.array_equal(one.probabilities[1], both.probabilities[1])

    def test_paper_mode_runs_the_first_alone(
        self, networks: Networks, two: Networks, scene: Scene
    ) -> None:
        query = scene(seed=5)[0]
        one, both = (
            self.fit(each, scene, 2, mode="paper").predict(query) for each in (networks, two)
        )
        assert_equal(one, both)

    def test_paper_mode_names_the_first_alone(self, two: Networks, scene: Scene) -> None:
        made = self.fit(two, scene, 2, mode="paper").provenance
        assert made.models == {"sam": "small_sam", "icl": "small_icl"}

    def test_of_more_than_are_fused_the_first_ones_run(self, two: Networks, scene: Scene) -> None:
        many = replace(two, sams=two.sams * 3)
        task = self.fit(many, scene, 2, cross_validate=False)
        assert len(task.context.runners.experts) == 4
        assert all(weights.experts == 4 for weights in task.weights)
        assert set(task.provenance.models) == {"icl", "sam", "sam2", "sam3", "sam4"}
        assert_sound(task.predict(scene(seed=5)[0]), (48, 48))

    def test_a_stack_of_planes(self, two: Networks, scene: Scene) -> None:
        task = self.fit(two, scene, 2, cross_validate=False)
        planes = np.stack([scene(seed=seed)[0] for seed in (5, 6)])
        labels = task.predict_stack(planes)
        for plane, found in zip(planes, labels, strict=True):
            assert (found == task.predict(plane).labels).all()

    def test_one_that_does_not_help_is_not_run(
        self, two: Networks, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "napari_iclsam.core.fitted_fusion.helpful_parts",
            lambda cases, defaults, rule: Kept((1,), pixels=False),
        )
        task = self.fit(two, scene, 2, cross_validate=True)
        assert task.fusion.kept == Kept((1,), pixels=False)
        assert all(weights.experts == 1 for weights in task.weights)
        (runner,) = task.context.runners.experts.runners
        assert runner.network is two.sams[1].network
        assert len(task.context.probes) == 1
        assert_sound(task.predict(scene(seed=5)[0]), (48, 48))


@pytest.fixture
def speckled() -> Scene:
    """Images whose label is a color that nothing but a pixel classifier sees."""

    def speckles(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        rng = np.random.default_rng(seed)
        labels = (rng.random((48, 48)) < 0.2).astype(np.int32)
        color = np.where(labels[..., None] == 1, [150, 80, 100], [80, 150, 100])
        return (color + rng.integers(0, 30, color.shape)).astype(np.uint8), labels

    return speckles


class TestPixelClassifier:
    """A classifier of pixels beside both models."""

    def fit(self, segmenter: Make, made: Scene, count: int, **settings: Any) -> Task:
        scenes = [made(seed=seed) for seed in range(count)]
        return segmenter(**settings).fit([s[0] for s in scenes], [s[1] for s in scenes])

    def test_it_decides_where_cross_validation_says_so(
        self, segmenter: Make, speckled: Scene
    ) -> None:
        task = self.fit(segmenter, speckled, 4, cross_validate=True)
        assert task.fusion.kept.pixels
        assert task.weights[0].of_pixels == max(task.weights[0].parts)
        image, truth = speckled(seed=7)
        assert dice(task.predict(image).labels == 1, truth == 1) > 0.9

    def test_one_that_is_not_kept_is_not_fitted(
        self, segmenter: Make, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "napari_iclsam.core.fitted_fusion.helpful_parts",
            lambda cases, defaults, rule: Kept((0,), pixels=False),
        )
        task = self.fit(segmenter, scene, 2, cross_validate=True)
        assert task.context.pixels is None
        assert not task.weights[0].has_pixels

    def test_paper_mode_has_none(self, segmenter: Make, speckled: Scene) -> None:
        task = self.fit(segmenter, speckled, 4, mode="paper")
        assert task.context.pixels is None

    def test_it_does_not_depend_on_the_random_state_of_others(
        self, segmenter: Make, speckled: Scene
    ) -> None:
        found = []
        for state in (1, 2):
            torch.manual_seed(state)
            task = self.fit(segmenter, speckled, 2, cross_validate=True)
            found.append(task.predict(speckled(seed=7)[0]).probabilities[1])
        np.testing.assert_array_equal(found[0], found[1])


class TestAbsentLabels:
    """Examples without a label tell that images without it are to be expected."""

    @staticmethod
    def colored(seed: int, *, present: bool) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """A noisy image, with a red disc (label 1) or without."""
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:48, :48]
        centre = rng.uniform(15, 33, 2)
        labels = np.zeros((48, 48), np.int32)
        if present:
            labels[np.hypot(y - centre[0], x - centre[1]) < 9] = 1
        color = np.where(labels[..., None] == 1, [200, 60, 60], [90, 110, 100])
        return (color + rng.integers(0, 30, color.shape)).astype(np.uint8), labels

    def fit(self, segmenter: Make, presents: Sequence[bool]) -> Task:
        made = [self.colored(seed, present=present) for seed, present in enumerate(presents)]
        segmenter_ = segmenter(cross_validate=True)
        return segmenter_.fit([image for image, _ in made], [labels for _, labels in made])

    def test_an_image_without_the_label_is_empty_and_says_so(self, segmenter: Make) -> None:
        task = self.fit(segmenter, [True, True, True, True, False])
        without = task.predict(self.colored(11, present=False)[0])
        assert not without.labels.any()
        assert without.probabilities[1].max() < 0.5
        assert any("1" in note for note in without.notes)
        image, truth = self.colored(12, present=True)
        assert dice(task.predict(image).labels == 1, truth == 1) > 0.7

    def test_without_an_empty_example_nothing_is_judged_to_be_absent(self, segmenter: Make) -> None:
        assert self.fit(segmenter, [True, True, True]).fusion.presence == (None,)

    def test_in_a_stack_the_planes_beside_decide(self, segmenter: Make) -> None:
        made = [self.colored(seed, present=seed < 3) for seed in range(5)]
        planes = [image for image, _ in made]
        volume = np.stack([planes[0], *planes])
        labels = np.stack([np.zeros_like(made[0][1]), *(of_plane for _, of_plane in made)])
        stack = segmenter(cross_validate=True).fit_stack(volume, labels, empty_planes=[4, 5])
        assert stack.task.fusion.presence == (None,)
        assert all(probe.similarity is None for probe in stack.task.context.probes)


def test_old_names_of_arguments_and_attributes_warn_and_work(
    networks: Networks, segmenter: Make, scene: Scene
) -> None:
    with pytest.warns(DeprecationWarning, match=r"ICLSAM\(models=...\) is now called sam="):
        named = ICLSAM(models="lite_medsam")
    assert named._source is not None
    assert [name for name, _ in named._source.sams] == ["lite_medsam"]
    images, labels = zip(*(scene(seed=seed) for seed in range(2)), strict=True)
    task = segmenter(cross_validate=True).fit(images, labels)
    with pytest.warns(DeprecationWarning, match="is now called Task.cross_validated"):
        assert task.expected == task.cross_validated
    assert task.cross_validated


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"sam": "no_such_model"}, "no_such_model"),
        ({"icl": "no_such_icl"}, "no_such_icl"),
        ({"device": "gpu"}, "gpu"),
    ],
    ids=["sam", "icl", "device"],
)
def test_unknown_names_are_refused_at_once(names: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ICLSAM(**names)  # type: ignore[arg-type]


class Counted:
    """A stack that remembers which keys were asked for."""

    def __init__(self, array: Any) -> None:
        self.array, self.keys = array, []  # type: ignore[var-annotated]
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> Any:
        self.keys.append(key)
        return self.array[key]


@pytest.fixture(scope="module")
def volume(scene: Scene) -> NDArray[np.uint8]:
    """Three planes of 30 x 36."""
    return np.stack([scene(30, 36, seed)[0] for seed in range(10, 13)])


@pytest.fixture(scope="module")
def expected(task: Task, volume: NDArray[np.uint8]) -> NDArray[np.int32]:
    """What each of the planes becomes alone."""
    planes = np.stack([task.predict(plane).labels for plane in volume])
    assert planes.any(axis=(1, 2)).all()
    return planes


class TestStacks:
    """Stacks of planes along any axis, in any kind of array."""

    @pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
    def test_planes_along_any_axis(
        self, task: Task, volume: NDArray[np.uint8], expected: NDArray[np.int32], axis: int
    ) -> None:
        moved = np.moveaxis(volume, 0, axis)
        before = moved.copy()
        labels = task.predict_stack(moved, axis)
        assert (labels.shape, labels.dtype) == (moved.shape, np.int32)
        assert (labels == np.moveaxis(expected, 0, axis)).all()
        assert (moved == before).all()

    @pytest.mark.parametrize("channels", [3, 4], ids=["rgb", "rgba"])
    @pytest.mark.parametrize("axis", [0, 1, 2, -1])
    def test_color_stacks(
        self,
        task: Task,
        volume: NDArray[np.uint8],
        expected: NDArray[np.int32],
        axis: int,
        channels: int,
    ) -> None:
        moved = np.moveaxis(volume, 0, axis)
        labels = task.predict_stack(np.stack([moved] * channels, axis=-1), axis)
        assert (labels == np.moveaxis(expected, 0, axis)).all()

    def test_only_the_planes_asked_for(
        self, task: Task, volume: NDArray[np.uint8], expected: NDArray[np.int32]
    ) -> None:
        counted = Counted(volume)
        labels = task.predict_stack(counted, planes=(p for p in (2, 0)))
        assert (labels[[0, 2]] == expected[[0, 2]]).all()
        assert not labels[1].any()
        assert [key[-1] for key in counted.keys] == [2, 0]

    def test_steps_come_plane_by_plane_in_the_order_asked_for(
        self, task: Task, volume: NDArray[np.uint8], expected: NDArray[np.int32]
    ) -> None:
        seen = list(task.stack_steps(volume, planes=[2, 0]))
        assert [p.stage for p in seen] == ["embed", "icl", "sam", "fuse", "done"] * 2
        assert [p.plane for p in seen] == [2] * 5 + [0] * 5
        assert [p.done for p in seen] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2]
        assert {p.total for p in seen} == {2}
        for progress in seen:
            if progress.stage == "done":
                assert progress.prediction is not None
                assert progress.plane is not None
                assert (progress.prediction.labels == expected[progress.plane]).all()
            else:
                assert progress.prediction is None

    def test_of_a_dask_array_one_plane_is_computed_ahead(
        self, task: Task, volume: NDArray[np.uint8], expected: NDArray[np.int32]
    ) -> None:
        loaded: list[int] = []

        def load(block: NDArray[Any], block_id: tuple[int, ...] = ()) -> NDArray[Any]:
            loaded.append(block_id[0])
            return block

        lazy = da.from_array(volume, chunks=(1, 30, 36)).map_blocks(
            load, dtype=volume.dtype, meta=volume[:0]
        )
        for progress in task.stack_steps(lazy):
            if progress.prediction is not None:
                assert progress.plane is not None
                assert (progress.prediction.labels == expected[progress.plane]).all()
                assert progress.plane + 1 <= len(loaded) <= progress.plane + 2
        assert loaded == [0, 1, 2]

    def test_planes_embedded_together_become_what_they_become_alone(
        self, task: Task, networks: Networks, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        planes = [scene(30, 37, seed)[0] for seed in (40, 41, 42, 43, 43)]
        sam, batches = networks.sams[0].network, list[int]()
        encode = sam.encode
        monkeypatch.setattr(
            sam, "encode", lambda pixels: batches.append(len(pixels)) or encode(pixels)
        )
        monkeypatch.setattr(PromptableRunner, "images_at_once", 2)  # as on a graphics card
        together = task.predict_stack(np.stack(planes))
        assert batches == [2, 2]  # what is in the cache is not embedded again
        for plane, labels in zip(planes, together, strict=True):
            fresh = ICLSAM(
                networks=networks,
                settings=task.settings,
                cache=EmbeddingCache(None),
            )
            alone = fresh.fit(
                task.support.images, [scene(seed=seed)[1] for seed in range(2)]
            ).predict(plane)
            assert (labels == alone.labels).mean() > 0.99  # sums may be rounded in another order

    def test_planes_before_one_that_cannot_be_read_are_finished(
        self, task: Task, volume: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(PromptableRunner, "images_at_once", 3)
        broken, done = volume.astype(np.float32), list[int | None]()
        broken[2, 3, 4] = np.nan
        with pytest.raises(ValueError, match="Plane 2: The image has 1 of"):
            done.extend(step.plane for step in task.stack_steps(broken) if step.stage == "done")
        assert done == [0, 1]

    @pytest.mark.parametrize("axis", [0, 2])
    def test_of_a_zarr_array_one_plane_is_read_at_a_time(
        self, task: Task, volume: NDArray[np.uint8], expected: NDArray[np.int32], axis: int
    ) -> None:
        counted = Counted(zarr.array(np.moveaxis(volume, 0, axis)))
        labels = task.predict_stack(counted, axis)
        assert (labels == np.moveaxis(expected, 0, axis)).all()
        assert counted.keys == [(slice(None),) * axis + (n,) for n in range(3)]

    @pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
    def test_a_plane_with_undefined_pixels_is_named(
        self, task: Task, volume: NDArray[np.uint8], value: float
    ) -> None:
        broken = volume.astype(np.float32)
        broken[1, 3, 4:6] = value
        with pytest.raises(
            ValueError, match=r"Plane 1: The image has 2 of 1080 values that are not finite"
        ):
            task.predict_stack(broken)
        assert task.predict_stack(broken, planes=[0, 2]).any()

    def test_an_empty_plane_is_no_error(self, task: Task, volume: NDArray[np.uint8]) -> None:
        dark = volume.copy()
        dark[1] = 0
        assert task.predict_stack(dark).shape == volume.shape

    @pytest.mark.parametrize(
        ("shape", "axis", "planes", "message"),
        [
            ((30, 36), 0, None, "A stack must have three axes"),
            ((2, 3, 30, 36), 0, None, "A stack must have three axes"),
            ((3, 30, 36), 3, None, "axes 0 to 2; got axis 3"),
            ((3, 30, 36, 3), 3, None, "axes 0 to 2; got axis 3"),
            ((3, 30, 36), 0, [0, 3], "planes 0 to 2; got 3"),
            ((3, 30, 36), 0, [-1], "planes 0 to 2; got -1"),
            ((3, 1, 36), 0, None, "Plane 0: The image must have at least 2 x 2 pixels"),
        ],
        ids=[
            "a plane",
            "time and stack",
            "axis",
            "axis of colors",
            "plane",
            "negative plane",
            "one row",
        ],
    )
    def test_what_is_no_stack_of_planes_is_refused(
        self, task: Task, shape: tuple[int, ...], axis: int, planes: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            task.predict_stack(np.zeros(shape, np.uint8), axis, planes=planes)


@pytest.mark.parametrize(
    "sent", [lambda task: pickle.loads(pickle.dumps(task)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deep copy"],
)  # fmt: skip
def test_a_task_is_the_same_in_another_process(
    task: Task, scene: Scene, sent: Callable[[Task], Task]
) -> None:
    image, _ = scene(seed=5)
    found = sent(task).predict(image)
    np.testing.assert_array_equal(found.labels, task.predict(image).labels)
    assert found.provenance == task.provenance
