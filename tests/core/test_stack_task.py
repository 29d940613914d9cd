"""A stack with labelled planes, on small networks with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import PlaneError
from napari_iclsam.core.metrics import StageScores
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.stack_task import StackTask
from napari_iclsam.core.task import Task
from napari_iclsam.core.volume import evidence_store, plane_interpolation

Make = Callable[..., ICLSAM]
Scene = Callable[..., Any]
IDS = (1, 4)
LABELLED = (1, 5)


@pytest.fixture(scope="module")
def drawn(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Seven noisy planes of one scene, 40 x 44, and what is there."""
    _, labels = scene(40, 44, 3)
    rng = np.random.default_rng(0)
    clean = np.select([labels == 1, labels == 4], [200, 140], 60)
    planes = clean + rng.normal(0, 8, (7, 40, 44))
    return np.clip(planes, 0, 255).astype(np.uint8), np.stack([labels] * 7)


@pytest.fixture(scope="module")
def volume(drawn: tuple[NDArray[np.uint8], NDArray[np.int32]]) -> NDArray[np.uint8]:
    return drawn[0]


@pytest.fixture(scope="module")
def truth(drawn: tuple[NDArray[np.uint8], NDArray[np.int32]]) -> NDArray[np.int32]:
    return drawn[1]


@pytest.fixture(scope="module")
def painted(truth: NDArray[np.int32]) -> NDArray[np.int32]:
    """Labels of planes 1 and 5 alone."""
    return only(truth, *LABELLED)


@pytest.fixture(scope="module")
def stack(segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]) -> StackTask:
    return segmenter().fit_stack(volume, painted)


@pytest.fixture(scope="module")
def expected(stack: StackTask) -> NDArray[np.int32]:
    return stack.predict()


def only(labels: NDArray[np.int32], *planes: int) -> NDArray[np.int32]:
    kept = np.zeros_like(labels)
    kept[list(planes)] = labels[list(planes)]
    return kept


def done(steps: list[Progress], stage: str) -> list[int | None]:
    return [step.plane for step in steps if step.stage == stage]


class TestPrediction:
    """All planes at once."""

    def test_labelled_planes_are_as_they_were_given(
        self, expected: NDArray[np.int32], painted: NDArray[np.int32]
    ) -> None:
        assert np.array_equal(expected[list(LABELLED)], painted[list(LABELLED)])

    def test_all_planes_are_segmented(
        self, expected: NDArray[np.int32], volume: NDArray[np.uint8]
    ) -> None:
        assert (expected.shape, expected.dtype) == (volume.shape, np.int32)
        assert set(np.unique(expected)) <= {0, *IDS}
        assert expected.any(axis=(1, 2)).all()

    def test_objects_that_stay_where_they_are_are_found_between_labelled_planes(
        self, expected: NDArray[np.int32], truth: NDArray[np.int32]
    ) -> None:
        for number in (2, 3, 4):
            for label in IDS:
                found, there = expected[number] == label, truth[number] == label
                assert 2 * (found & there).sum() / (found.sum() + there.sum()) > 0.9

    def test_nothing_given_is_changed(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        before = volume.copy(), painted.copy()
        segmenter().fit_stack(volume, painted).predict()
        assert np.array_equal(volume, before[0])
        assert np.array_equal(painted, before[1])

    def test_again_it_is_the_same(self, stack: StackTask, expected: NDArray[np.int32]) -> None:
        assert np.array_equal(stack.predict(), expected)

    def test_on_disk_it_is_the_same(
        self, stack: StackTask, expected: NDArray[np.int32], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(evidence_store, "_IN_MEMORY", 0)
        assert np.array_equal(stack.predict(), expected)

    def test_only_the_planes_asked_for(self, stack: StackTask, painted: NDArray[np.int32]) -> None:
        labels = stack.predict(planes=[3, 1, 0])
        assert labels[[0, 3]].any(axis=(1, 2)).all()
        assert np.array_equal(labels[1], painted[1])
        assert not labels[[2, 4, 5, 6]].any()

    def test_a_plane_outside_is_refused(self, stack: StackTask) -> None:
        with pytest.raises(ValueError, match="planes 0 to 6; got 7"):
            stack.predict(planes=[7])

    @pytest.mark.parametrize("axis", [1, 2, -1])
    def test_along_another_axis_it_is_the_same(
        self,
        segmenter: Make,
        volume: NDArray[np.uint8],
        painted: NDArray[np.int32],
        expected: NDArray[np.int32],
        axis: int,
    ) -> None:
        moved = segmenter().fit_stack(
            np.moveaxis(volume, 0, axis), np.moveaxis(painted, 0, axis), axis
        )
        assert np.array_equal(np.moveaxis(moved.predict(), axis, 0), expected)

    @pytest.mark.parametrize("axis", [0, 2])
    @pytest.mark.parametrize("channels", [3, 4], ids=["rgb", "rgba"])
    def test_grey_in_colors_is_the_same(
        self,
        segmenter: Make,
        volume: NDArray[np.uint8],
        painted: NDArray[np.int32],
        expected: NDArray[np.int32],
        axis: int,
        channels: int,
    ) -> None:
        color = np.stack([np.moveaxis(volume, 0, axis)] * channels, axis=-1)
        labels = segmenter().fit_stack(color, np.moveaxis(painted, 0, axis), axis).predict()
        assert labels.shape == color.shape[:3]
        # grey values of colors are rounded down
        assert (np.moveaxis(labels, axis, 0) == expected).mean() > 0.99

    def test_of_a_lazy_array_it_is_the_same(
        self,
        segmenter: Make,
        volume: NDArray[np.uint8],
        painted: NDArray[np.int32],
        expected: NDArray[np.int32],
    ) -> None:
        lazy = da.from_array(volume, chunks=(1, 40, 44))
        assert np.array_equal(segmenter().fit_stack(lazy, painted).predict(), expected)

    @pytest.mark.parametrize("options", [{"spacing": (5.0, 0.5, 0.5)}, {"kind": "time"}], ids=str)
    def test_distances_and_time_leave_labelled_planes_alone(
        self,
        segmenter: Make,
        volume: NDArray[np.uint8],
        painted: NDArray[np.int32],
        options: dict[str, Any],
    ) -> None:
        labels = segmenter().fit_stack(volume, painted, **options).predict()
        assert np.array_equal(labels[list(LABELLED)], painted[list(LABELLED)])
        assert labels[3].any()


@pytest.fixture(scope="module")
def steps(stack: StackTask) -> list[Progress]:
    return list(stack.steps())


class TestSteps:
    """The generator behind `predict`."""

    def test_labelled_planes_come_first_as_they_were_given(
        self, steps: list[Progress], painted: NDArray[np.int32]
    ) -> None:
        assert [step.stage for step in steps[:2]] == ["done"] * 2
        assert [(step.done, step.total) for step in steps[:2]] == [(1, 2), (2, 2)]
        for step, number in zip(steps, LABELLED, strict=False):
            assert step.plane == number
            assert step.prediction is not None
            assert np.array_equal(step.prediction.labels, painted[number])
            assert not step.prediction.estimated_dice

    def test_first_answers_come_nearest_to_the_labelled_planes_first(
        self, steps: list[Progress]
    ) -> None:
        assert done(steps, "done") == [*LABELLED, 0, 2, 4, 6, 3]

    def test_then_all_are_settled_from_below(self, steps: list[Progress]) -> None:
        stages = [step.stage for step in steps]
        start = stages.index("settle")
        assert stages[start:] == ["settle"] + ["settled"] * 5
        assert "settled" not in stages[:start]
        assert done(steps, "settled") == [0, 2, 3, 4, 6]

    def test_these_steps_alone_carry_predictions(self, steps: list[Progress]) -> None:
        for step in steps:
            assert (step.prediction is not None) == (step.stage in ("done", "settled"))
            assert step.message
        assert {step.total for step in steps[2:]} == {5}

    def test_what_is_settled_is_what_is_predicted(
        self, steps: list[Progress], expected: NDArray[np.int32]
    ) -> None:
        for step in steps:
            if step.stage == "settled":
                assert step.prediction is not None
                assert step.plane is not None
                assert np.array_equal(step.prediction.labels, expected[step.plane])

    def test_probabilities_are_those_of_the_labels(self, steps: list[Progress]) -> None:
        for step in steps:
            if step.prediction is None:
                continue
            best = np.stack([step.prediction.probabilities[label] for label in IDS])
            assert best.dtype == np.float32
            assert best.min() >= 0
            assert best.max() <= 1
            assert ((best.max(axis=0) > 0.5) == (step.prediction.labels > 0)).all()

    def test_what_is_settled_says_how_sure_it_is(self, steps: list[Progress]) -> None:
        for step in steps:
            if step.stage == "settled":
                assert step.prediction is not None
                assert set(step.prediction.presence) == set(IDS)
                assert all(0 <= share <= 1 for share in step.prediction.presence.values())
                assert 0 <= step.prediction.need_of_check <= 1

    def test_a_run_can_be_given_up(
        self, stack: StackTask, expected: NDArray[np.int32], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed: list[int] = []
        monkeypatch.setattr(evidence_store.EvidenceStore, "close", lambda self: closed.append(1))
        steps = stack.steps()
        next(step for step in steps if step.stage == "done" and step.plane not in LABELLED)
        steps.close()
        assert closed == [1]
        monkeypatch.undo()
        assert np.array_equal(stack.predict(), expected)


def reliable(stack: StackTask, **settings: bool) -> StackTask:
    """The stack with a task that did well in cross-validation."""
    context = stack.task.context
    settings_ = replace(stack.task.settings, **settings)
    runners = replace(context.runners, recipe=resolve(settings_))
    scores = {label: StageScores(1, 1, 1, 2) for label in IDS}
    fusion = replace(stack.task.fusion, scores=scores, counts_least=False)
    task = Task(replace(context, runners=runners), fusion, settings_, stack.task.provenance)
    return StackTask(task, stack.stack)


def interpolated(steps: list[Progress]) -> list[int | None]:
    """The planes that no model has seen, which is noted of them alone."""
    noted = [
        step.plane
        for step in steps
        if step.stage == "settled"
        and step.prediction is not None
        and any("Interpolated between" in note for note in step.prediction.notes)
    ]
    said = [
        step.plane
        for step in steps
        if step.stage == "settled" and step.prediction is not None and step.prediction.interpolated
    ]
    assert said == noted
    unseen = [
        step.plane
        for step in steps
        if step.stage == "done"
        and step.plane not in LABELLED
        and step.prediction is not None
        and not step.prediction.seconds
    ]
    assert sorted(unseen) == noted
    return noted


class TestInterpolatedPlanes:
    """Planes between two segmented ones that agree."""

    def test_every_second_plane_is_interpolated_as_soon_as_both_beside_are_known(
        self, stack: StackTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0)
        steps = list(reliable(stack).steps())
        assert interpolated(steps) == [2, 4]
        assert done(steps, "done") == [1, 5, 0, 6, 3, 2, 4]
        assert done(steps, "settled") == [0, 2, 3, 4, 6]
        counted = [step.done for step in steps if step.stage == "done"]
        assert counted == [1, 2, 1, 2, 3, 4, 5]
        assert steps[-7].message == "Slice 5 of 5 is done"

    def test_what_differs_is_segmented_after_all(
        self, stack: StackTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 2)
        one = reliable(stack)
        steps = list(one.steps())
        assert interpolated(steps) == []
        assert done(steps, "done") == [1, 5, 0, 6, 3, 2, 4]
        assert np.array_equal(one.predict(), reliable(stack, interpolate_slices=False).predict())

    def test_all_are_segmented_on_request(
        self, stack: StackTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0)
        steps = list(reliable(stack, interpolate_slices=False).steps())
        assert interpolated(steps) == []
        assert done(steps, "done") == [1, 5, 0, 2, 4, 6, 3]

    @pytest.mark.parametrize("missing", [{"scores": {}}, {"counts_least": True}], ids=str)
    def test_where_nothing_says_that_the_models_are_reliable_all_are_segmented(
        self, stack: StackTask, missing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0)
        task = reliable(stack).task
        fusion = replace(task.fusion, **missing)
        other = StackTask(Task(task.context, fusion, task.settings, task.provenance), stack.stack)
        assert interpolated(list(other.steps())) == []

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({"kind": "time"}, []),
            ({"spacing": (5.0, 1.0, 1.0)}, []),
            ({"spacing": (3.0, 1.0, 1.0)}, [2, 4]),
        ],
        ids=["time", "thick", "thin"],
    )
    def test_in_time_and_where_planes_lie_far_apart_all_are_segmented(
        self,
        stack: StackTask,
        changed: dict[str, Any],
        expected: list[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0)
        one = reliable(stack)
        other = StackTask(one.task, replace(one.stack, **changed))
        assert interpolated(list(other.steps())) == expected

    def test_a_label_that_was_not_cross_validated_is_not_known_to_be_reliable(
        self, stack: StackTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0)
        task = reliable(stack).task
        scores = {IDS[0]: task.fusion.scores[IDS[0]]}
        fusion = replace(task.fusion, scores=scores)
        other = StackTask(Task(task.context, fusion, task.settings, task.provenance), stack.stack)
        assert interpolated(list(other.steps())) == []

    def test_a_plane_that_cannot_be_read_is_named(
        self,
        segmenter: Make,
        volume: NDArray[np.uint8],
        painted: NDArray[np.int32],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0)
        broken = volume.astype(np.float32)
        broken[4, 3, 3] = np.nan
        one = reliable(segmenter().fit_stack(broken, painted))
        with pytest.raises(PlaneError, match="4"):
            one.predict()


class TestLabelledPlanes:
    """Which planes are examples."""

    def test_planes_that_hold_labels_and_those_that_were_declared_empty(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        dark = volume.copy()
        dark[6] = np.random.default_rng(1).normal(60, 8, (40, 44)).astype(np.uint8)
        stack = segmenter().fit_stack(dark, painted, empty_planes=(6,))
        assert stack.stack.planes == (1, 5, 6)
        assert len(stack.support) == 3
        labels = stack.predict()
        assert not labels[6].any()
        assert np.array_equal(labels[list(LABELLED)], painted[list(LABELLED)])
        assert done(list(stack.steps()), "done") == [1, 5, 6, 0, 2, 4, 3]

    def test_painted_planes_that_were_declared_empty_are_named(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        with pytest.raises(ValueError, match=r"declared empty hold labels: 1, 5\."):
            segmenter().fit_stack(volume, painted, empty_planes=(5, 0, 1))

    def test_a_plane_that_there_is_not_cannot_be_empty(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        with pytest.raises(ValueError, match="planes 0 to 6; got 9"):
            segmenter().fit_stack(volume, painted, empty_planes=(9,))

    @pytest.mark.parametrize("shape", [(7, 40, 43), (40, 44), (6, 40, 44)], ids=str)
    def test_labels_of_another_shape_are_refused(
        self, segmenter: Make, volume: NDArray[np.uint8], shape: tuple[int, ...]
    ) -> None:
        with pytest.raises(ValueError, match=r"shape of the volume, \(7, 40, 44\); got"):
            segmenter().fit_stack(volume, np.ones(shape, np.int32))

    def test_labels_are_integers(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        with pytest.raises(TypeError, match="integer"):
            segmenter().fit_stack(volume, painted.astype(np.float32))

    def test_without_any_label_there_is_no_task(
        self, segmenter: Make, volume: NDArray[np.uint8]
    ) -> None:
        nothing = np.zeros(volume.shape, np.int32)
        for empty in ((), (2,)):
            with pytest.raises(ValueError, match=r"[Pp]aint at least one object|At least one"):
                segmenter().fit_stack(volume, nothing, empty_planes=empty)

    def test_one_plane_is_no_stack(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        with pytest.raises(ValueError, match="must have three axes"):
            segmenter().fit_stack(volume[1], painted[1])

    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_if_all_planes_are_labelled_the_labels_come_back(
        self, segmenter: Make, volume: NDArray[np.uint8], truth: NDArray[np.int32], count: int
    ) -> None:
        stack = segmenter().fit_stack(volume[:count], truth[:count])
        assert np.array_equal(stack.predict(), truth[:count])
        steps = list(stack.steps())
        assert done(steps, "done") == list(range(count))
        assert len(steps) == count

    @pytest.mark.parametrize("known", [0, 3, 6])
    def test_one_labelled_plane_is_enough(
        self, segmenter: Make, volume: NDArray[np.uint8], truth: NDArray[np.int32], known: int
    ) -> None:
        labels = segmenter().fit_stack(volume, only(truth, known)).predict()
        assert np.array_equal(labels[known], truth[known])
        assert labels.any(axis=(1, 2)).all()

    @pytest.mark.parametrize("known", [0, 1])
    def test_two_planes_are_enough(
        self, segmenter: Make, volume: NDArray[np.uint8], truth: NDArray[np.int32], known: int
    ) -> None:
        labels = segmenter().fit_stack(volume[:2], only(truth[:2], known)).predict()
        assert np.array_equal(labels[known], truth[known])
        assert labels[1 - known].any()

    def test_a_label_that_only_one_plane_holds(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        some = painted.copy()
        some[5][some[5] == 4] = 0
        labels = segmenter().fit_stack(volume, some).predict()
        assert np.array_equal(labels[5], some[5])
        assert (labels[0] == 4).any()


class TestPlanesThatTellNothing:
    """Blank planes are no error, broken ones are named."""

    @pytest.mark.parametrize("value", [0, 7, 255])
    def test_a_constant_plane_between_labelled_ones(
        self,
        segmenter: Make,
        volume: NDArray[np.uint8],
        painted: NDArray[np.int32],
        truth: NDArray[np.int32],
        value: int,
    ) -> None:
        blank = volume.copy()
        blank[3] = value
        labels = segmenter().fit_stack(blank, painted).predict()
        assert np.array_equal(labels[list(LABELLED)], painted[list(LABELLED)])
        for label in IDS:  # the planes beside decide
            found, there = labels[3] == label, truth[3] == label
            assert 2 * (found & there).sum() / (found.sum() + there.sum()) > 0.8

    @pytest.mark.parametrize("number", [0, 3])
    @pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
    def test_a_plane_with_undefined_pixels_is_named(
        self,
        segmenter: Make,
        volume: NDArray[np.uint8],
        painted: NDArray[np.int32],
        number: int,
        value: float,
    ) -> None:
        broken = volume.astype(np.float32)
        broken[number, 3, 4:6] = value
        stack = segmenter().fit_stack(broken, painted)
        with pytest.raises(PlaneError, match=f"Plane {number}: The image has 2 of 1760") as error:
            stack.predict()
        assert error.value.plane == number

    def test_a_labelled_plane_with_undefined_pixels_is_refused_at_once(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        broken = volume.astype(np.float32)
        broken[5, 3, 4] = np.nan
        with pytest.raises(ValueError, match="not finite"):
            segmenter().fit_stack(broken, painted)

    def test_a_labelled_plane_that_is_constant_is_refused(
        self, segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32]
    ) -> None:
        blank = volume.copy()
        blank[1] = 9
        with pytest.raises(ValueError, match=r"same value everywhere|value 9 everywhere"):
            segmenter().fit_stack(blank, painted)


@pytest.mark.parametrize("factor", [1.0, 200.0, 1e-6], ids=str)
def test_planes_of_any_range_are_on_one_scale(
    segmenter: Make, volume: NDArray[np.uint8], painted: NDArray[np.int32], factor: float
) -> None:
    stack = segmenter().fit_stack(volume * factor - 3 * factor, painted)
    assert all(image.dtype == np.uint8 for image in stack.support.images)
    labels = stack.predict()
    assert np.array_equal(labels[list(LABELLED)], painted[list(LABELLED)])
    assert labels[3].any()


class TestPlanesOutOfReach:
    """Planes that are too far from all labels to hold any."""

    FAR = (38, 39)

    @pytest.fixture
    def long_volume(self, volume: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([volume] * 6)[:40].astype(np.float32)

    @pytest.fixture
    def long_painted(
        self, painted: NDArray[np.int32], long_volume: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        return np.pad(painted, ((0, len(long_volume) - len(painted)), (0, 0), (0, 0)))

    def test_they_are_empty_without_being_segmented(
        self,
        segmenter: Make,
        long_volume: NDArray[np.float32],
        long_painted: NDArray[np.int32],
    ) -> None:
        steps = list(segmenter().fit_stack(long_volume, long_painted).steps(self.FAR))
        assert {step.stage for step in steps} == {"done", "settle", "settled"}
        assert done(steps, "done") == done(steps, "settled") == list(self.FAR)
        for step in steps:
            if step.prediction is not None:
                assert not step.prediction.labels.any()
                assert step.prediction.notes[0].startswith("Judged to be absent")

    def test_one_that_cannot_be_read_is_named(
        self,
        segmenter: Make,
        long_volume: NDArray[np.float32],
        long_painted: NDArray[np.int32],
    ) -> None:
        stack = segmenter().fit_stack(long_volume, long_painted)
        long_volume[39, 0, 0] = np.nan
        with pytest.raises(PlaneError, match="Plane 39"):
            stack.predict(self.FAR)
