"""Settings and models: controls built from descriptions, remembered, disabled with a reason."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLabel, QSpinBox

from napari_iclsam._qt.forms.elided_combo import ElidedCombo
from napari_iclsam._qt.forms.model_form import ModelForm
from napari_iclsam._qt.forms.settings_panel import CHOICES, TITLES, SettingsPanel
from napari_iclsam._qt.preferences import Preferences
from napari_iclsam._qt.run.closing_words import in_time
from napari_iclsam._qt.run.run_step import RunSummary
from napari_iclsam._qt.run.segmenter_store import SegmenterStore
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings, describe
from napari_iclsam.weights.catalogue import CATALOGUE, EXPERTS
from tests._qt.conftest import Dock, some, stack

KINDS = {bool: QCheckBox, int: QSpinBox, float: QDoubleSpinBox, str: ElidedCombo}


@pytest.mark.parametrize("name", describe())
def test_each_setting_has_a_control_with_its_limits_and_its_explanation(
    qtbot: Any, name: str
) -> None:
    panel, description = SettingsPanel(), describe()[name]
    qtbot.addWidget(panel)
    control = panel.controls[name]
    assert type(control) is KINDS[description.kind]
    assert description.text in control.toolTip()
    if description.limits:
        assert (control.minimum(), control.maximum()) == (
            description.limits.low,
            description.limits.high,
        )
    if description.choices:
        assert tuple(control.itemData(n) for n in range(control.count())) == description.choices


@pytest.mark.parametrize("name", CHOICES)
def test_values_of_settings_have_names_that_people_read(qtbot: Any, name: str) -> None:
    panel = SettingsPanel()
    qtbot.addWidget(panel)
    control = panel.controls[name]
    texts = [control.itemText(number) for number in range(control.count())]
    # each is capitalized, or a size with its unit
    assert all(text[0].isupper() or text.endswith(" pixels") for text in texts)
    assert not set(texts) & set(describe()[name].choices)
    # what the user chooses keeps its stored value, which the tooltip tells
    for number, value in enumerate(describe()[name].choices):
        control.setCurrentIndex(number)
        assert getattr(panel.settings(), name) == value
    assert f"<code>{describe()[name].choices[0]}</code> {texts[0]}" in control.toolTip()


def test_the_panel_shows_and_returns_any_settings(qtbot: Any) -> None:
    panel = SettingsPanel()
    qtbot.addWidget(panel)
    settings = Settings(mode="paper", icl_guidance=0.45, use_sam=False, max_examples=7, seed=3)
    panel.show_settings(settings)
    assert panel.settings() == settings
    panel.reset.click()
    assert panel.settings() == Settings()
    assert not panel.reset.isEnabled()


def test_settings_are_remembered(dock: Dock) -> None:
    dock.widget.settings.controls["max_boxes"].setValue(9)
    assert Preferences().settings == Settings(max_boxes=9)


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"settings": {"gone": 1}}', '{"settings": {"max_boxes": "many"}}']
)
def test_unreadable_memories_are_forgotten(text: str) -> None:
    preferences = Preferences()
    preferences.remember_settings(Settings(seed=1))
    preferences._file.write_text(text, encoding="utf-8")
    assert Preferences().settings == Settings()


def test_the_speed_is_remembered_for_each_combination() -> None:
    preferences = Preferences()
    preferences.remember_seconds(ModelChoice(), 0.8)
    assert Preferences().seconds(ModelChoice()) == 0.8
    assert Preferences().seconds(ModelChoice(device="cuda")) is None


def test_models_are_remembered_without_a_page_in_the_preferences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_iclsam._qt.preferences._page", lambda: None)
    Preferences().remember_models(ModelChoice("medsam_vit_b", "starter_icl", "cpu"))
    assert Preferences().models == ModelChoice("medsam_vit_b", "starter_icl", "cpu")


def test_settings_of_an_earlier_version_are_understood() -> None:
    """A file of ours of commit 362f49c, in which settings had other names."""
    before = Path(__file__).parent / "data" / "widget_362f49c.json"
    path = Path(os.environ["NAPARI_ICLSAM_HOME"]) / "widget.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(before, path)
    preferences = Preferences()
    assert preferences.settings == Settings(
        mode="paper",
        icl_guidance=0.4,
        coarse_to_fine=False,
        fine_tune=False,
        cross_validate=False,
        tta_flips=True,
        seed=5,
    )
    assert preferences.models == ModelChoice("medsam_vit_b", "starter_icl", "cpu")
    assert preferences.seconds(preferences.models) == 0.84
    preferences.remember_settings(preferences.settings)
    assert set(json.loads(path.read_text())["settings"]) == set(describe())
    assert Preferences().settings == preferences.settings


def test_the_preferences_page_has_what_the_fallback_has() -> None:
    from npe2 import PluginManifest

    from napari_iclsam._qt.preferences import _DEFAULTS

    manifest = PluginManifest.from_distribution("napari-iclsam")
    if not hasattr(manifest.contributions, "configurations"):
        pytest.skip("pages of preferences came with a later npe2")
    page = manifest.contributions.configurations["general"].properties
    assert {key: value.default for key, value in page.items()} == _DEFAULTS
    for key, kind in (("models", "sam"), ("icl", "icl")):
        together = list(EXPERTS) if kind == "sam" else []
        names = [name for name, entry in CATALOGUE.items() if entry.kind == kind]
        assert page[key].enum == [*together, *names]


def test_the_line_shows_what_runs_where_and_how_long_it_takes(dock: Dock) -> None:
    dock.widget._preferences.remember_seconds(dock.widget.models.models(), 0.84)
    dock.widget.model_control.finder.returned.emit("cpu")
    assert dock.widget.bar.line.text() == "starter, CPU, about 0.8 s a slice"


def test_a_better_model_is_offered_for_download(qtbot: Any) -> None:
    form, wanted = ModelForm(), []
    qtbot.addWidget(form)
    form.download_requested.connect(wanted.append)
    assert form.download.text().startswith("Download MedSAM ViT-B (375 MB)")
    form.download.click()
    assert wanted == [CATALOGUE["medsam_vit_b"]]


def test_missing_weights_are_offered_before_the_run(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(wanted: Any, parent: Any = None) -> bool:
        asked.extend(each.name for each in wanted)
        return False

    monkeypatch.setattr("napari_iclsam._qt.forms.model_control.obtain", refuse)
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1), name="painted")
    dock.settle()
    dock.widget.models.show_models(ModelChoice("mobile_sam", "starter_icl", "cpu"))
    dock.widget.bar.segment.click()
    assert asked == ["mobile_sam"]
    assert not dock.widget.run.runner.is_running
    assert dock.widget.bar.segment.isEnabled()


def test_the_expected_overlap_is_shown_after_a_run(dock: Dock) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1, 2), name="painted")
    dock.segment()
    assert "Expected overlap" in dock.widget.bar.message.text()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.84, "0.8 s"), (12.4, "12 s"), (86, "1:26 min"), (3725, "1:02:05 h")],
    ids=str,
)
def test_times_are_written_as_people_read_them(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


@pytest.mark.parametrize("width", [312, 360])
def test_nothing_is_clipped_in_a_narrow_dock(dock: Dock, width: int, qtbot: Any) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="an image with a rather long name that does not fit")
    dock.viewer.add_labels(some(labels, 1), name="labels with a rather long name that does not fit")
    dock.settle()
    for section in dock.widget.form.sections.values():
        section.button.setChecked(True)
    dock.widget.setParent(None)
    dock.widget.resize(width, 900)
    dock.widget.show()
    qtbot.waitExposed(dock.widget)
    for child in (
        child for kind in (QLabel, QComboBox, QCheckBox) for child in dock.widget.findChildren(kind)
    ):
        if child.isVisible():
            right = child.mapTo(dock.widget, child.rect().topRight()).x()
            assert right < width, (child, right)
    dock.widget.hide()


def test_the_time_of_a_slice_is_remembered(dock: Dock) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1), name="painted")
    dock.segment()
    seconds = Preferences().seconds(dock.widget.models.models())
    assert seconds is not None
    assert "a slice" in dock.widget.bar.line.text()


def test_a_summary_after_cancelling_changes_nothing(dock: Dock) -> None:
    dock.settle()
    dock.widget.run.runner.returned.emit(RunSummary(3, 1.0, "cpu", ()))
    assert dock.widget.bar.message.text() == ""


def test_a_custom_checkpoint_is_shown_by_its_name(qtbot: Any, tmp_path: Path) -> None:
    form = ModelForm()
    qtbot.addWidget(form)
    path = str(tmp_path / "mine.pth")
    form.show_models(ModelChoice(path, "starter_icl", "cpu"))
    assert form.models() == ModelChoice(path, "starter_icl", "cpu")
    assert form.sam.currentText() == "mine.pth"


def test_paper_mode_does_not_go_on_in_the_precision_of_auto_mode() -> None:
    made: list[str] = []

    def make(models: ModelChoice, settings: Settings) -> ICLSAM:
        made.append(settings.mode)
        return ICLSAM(
            models.sam, icl=models.icl, device="cpu", settings=settings, cache=EmbeddingCache()
        )

    store = SegmenterStore(make=make)
    for settings in (Settings(), Settings(seed=1), Settings(mode="paper")):
        segmenter = store.get(ModelChoice("starter", "starter", "cpu"), settings)
        assert segmenter.settings == settings
    assert made == ["auto", "paper"]
    assert segmenter.networks.icl_dtype == torch.float32


def test_each_setting_has_a_name_that_people_read(dock: Dock) -> None:
    assert list(TITLES) == list(describe())
    assert len(set(TITLES.values())) == len(TITLES)
    assert "_" not in "".join(TITLES.values())
    # programs and the command line go by the other one
    assert "tta_flips" in dock.widget.settings.controls["tta_flips"].toolTip()
