"""Limits, choices and the way to and from JSON of what a user may change."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_iclsam.core.settings import RENAMED, Settings, describe

NUMBERS = {name: d for name, d in describe().items() if d.limits is not None}
CHOICES = {name: d for name, d in describe().items() if d.choices}


def allowed(name: str) -> st.SearchStrategy[Any]:
    """Values that a field takes."""
    description = describe()[name]
    if description.choices:
        return st.sampled_from(description.choices)
    if description.limits is None:
        return st.booleans()
    low, high = description.limits.low, description.limits.high
    return st.integers(int(low), int(high)) if description.kind is int else st.floats(low, high)


@given(st.fixed_dictionaries({name: allowed(name) for name in describe()}))
def test_settings_come_back_from_json(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert settings.to_dict() == values


@pytest.mark.parametrize("name", NUMBERS)
def test_both_limits_are_allowed_and_nothing_beyond(name: str) -> None:
    limits, kind = NUMBERS[name].limits, NUMBERS[name].kind
    assert limits is not None
    for value in (limits.low, limits.high):
        assert getattr(replace(Settings(), **{name: kind(value)}), name) == value
    for value in (limits.low - 1, limits.high + 1):
        with pytest.raises(ValueError, match=f"{name} must lie between"):
            replace(Settings(), **{name: kind(value)})


@given(name=st.sampled_from(sorted(NUMBERS)), value=st.integers() | st.just(10**400))
def test_any_integer_is_taken_or_refused_with_a_message(name: str, value: int) -> None:
    limits = NUMBERS[name].limits
    assert limits is not None
    if limits.low <= value <= limits.high:
        assert getattr(replace(Settings(), **{name: value}), name) == value
    else:
        with pytest.raises(ValueError, match=name):
            replace(Settings(), **{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_a_number_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="sam_guidance must lie between 0 and 10"):
        Settings(sam_guidance=value)


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_one_of_those_named_in_the_message(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"{name} must be one of {', '.join(CHOICES[name].choices)}; got 'other'"
    ):
        replace(Settings(), **{name: "other"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_examples", 2.0),
        ("max_examples", True),
        ("sam_guidance", "2"),
        ("sam_guidance", False),
        ("tta_flips", 1),
        ("seed", None),
    ],
    ids=repr,
)
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be .*{type(value).__name__}"):
        replace(Settings(), **{name: value})


def test_a_whole_number_does_for_a_float() -> None:
    assert Settings(sam_guidance=3).sam_guidance == 3


def test_unknown_names_are_listed() -> None:
    with pytest.raises(ValueError, match="Unknown settings: alpha, zeta"):
        Settings.from_dict({"zeta": 1, "seed": 3, "alpha": 2})


def test_missing_names_keep_their_defaults() -> None:
    assert Settings.from_dict({"seed": 3}) == Settings(seed=3)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().seed = 3  # type: ignore[misc]


def test_every_field_is_explained_with_its_default() -> None:
    described = describe()
    assert list(described) == [f.name for f in fields(Settings)]
    for name, description in described.items():
        assert len(description.text) > 20, name
        assert description.default == getattr(Settings(), name)
        assert description.kind is bool or description.choices or description.limits, name


def test_a_large_limit_is_written_out() -> None:
    with pytest.raises(ValueError, match="seed must lie between 0 and 2147483647; got -1"):
        Settings(seed=-1)


def test_the_defaults_are_the_published_numbers() -> None:
    settings = Settings()
    assert (settings.icl_guidance, settings.sam_guidance, settings.min_component) == (
        0.3,
        2.0,
        0.05,
    )


class TestOldNames:
    """Names of settings of earlier versions, in programs and in files."""

    def test_they_are_those_that_programs_and_files_may_hold(self) -> None:
        assert RENAMED == {
            "closer_looks": "coarse_to_fine",
            "adapt": "fine_tune",
            "calibrate": "cross_validate",
            "flips": "tta_flips",
        }

    @pytest.mark.parametrize(("old", "new"), RENAMED.items())
    def test_the_constructor_takes_them_with_a_warning(self, old: str, new: str) -> None:
        changed = not getattr(Settings(), new)
        with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}") as warned:
            settings = Settings(**{old: changed})
        assert settings == Settings(**{new: changed})
        assert [warning.filename for warning in warned] == [__file__]

    @pytest.mark.parametrize(("old", "new"), RENAMED.items())
    def test_replace_takes_them_with_a_warning(self, old: str, new: str) -> None:
        before = Settings(seed=7)
        changed = not getattr(before, new)
        with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}"):
            settings = replace(before, **{old: changed})
        assert settings == replace(before, **{new: changed})

    @pytest.mark.parametrize(("old", "new"), RENAMED.items())
    @pytest.mark.parametrize("value", [True, False])
    def test_they_are_attributes_with_a_warning(self, old: str, new: str, value: bool) -> None:
        settings = Settings(**{new: value})
        with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}") as warned:
            assert getattr(settings, old) is value
        assert [warning.filename for warning in warned] == [__file__]

    @pytest.mark.parametrize("old", RENAMED)
    def test_their_values_are_checked_too(self, old: str) -> None:
        with (
            pytest.warns(DeprecationWarning, match=old),
            pytest.raises(TypeError, match=f"{RENAMED[old]} must be bool"),
        ):
            Settings(**{old: 1})

    def test_files_may_hold_them_without_a_warning(self) -> None:
        values = {"closer_looks": False, "adapt": False, "calibrate": False, "flips": True}
        expected = Settings(
            coarse_to_fine=False, fine_tune=False, cross_validate=False, tta_flips=True
        )
        assert Settings.from_dict(values) == expected  # a warning would be an error here
        assert set(expected.to_dict()).isdisjoint(RENAMED)

    def test_names_that_never_were_are_errors(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'zoom'"):
            Settings().zoom  # noqa: B018
        with pytest.raises(TypeError, match="zoom"):
            Settings(zoom=1)  # type: ignore[call-arg]


def test_a_setting_given_by_both_of_its_names_is_refused() -> None:
    with pytest.raises(
        ValueError, match="adapt is the old name of fine_tune: give fine_tune alone"
    ):
        Settings(adapt=True, fine_tune=False)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="flips is the old name of tta_flips"):
        Settings.from_dict({"tta_flips": False, "flips": True})
