"""Task files: there and back, and every way in which one can be broken."""

from __future__ import annotations

import io
import json
import os
import pickletools
import shutil
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_iclsam.core import task_file
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.loading import load_task
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.networks import Networks, NetworkSource
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task_file import FORMAT, Origin, SavedTask, read_task, write_task
from napari_iclsam.weights.folders import bundled_folder

DATA = Path(__file__).parent / "data"
RNG = np.random.default_rng(0)
LABELS = np.zeros((12, 17), np.int32)
LABELS[2:6, 3:9], LABELS[8:11, 10:16] = 1, 70_000
REFERENCE = ((2.0, 0, 0, -5), (0, 2.0, 0, 0), (0, 0, 3.0, 1), (0, 0, 0, 1.0))
STYLES = {1: LabelStyle("Zellkern µ", (1.0, 0.5, 0.0, 1.0)), 70_000: LabelStyle("", None)}


def image(dtype: Any, channels: int = 0) -> NDArray[Any]:
    values = RNG.normal(0.5, 0.2, (12, 17, channels) if channels else (12, 17))
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return values > 0.5
    return (
        np.clip(values, 0, 1) * (200 if kind.itemsize == 1 else 1 if kind.kind == "f" else 30_000)
    ).astype(kind)


def saved_task(*images: NDArray[Any]) -> SavedTask:
    images = images or (image(np.uint8),)
    return SavedTask(
        SupportSet.of(images, [LABELS] * len(images), STYLES),
        Settings(seed=5, tta_flips=True),
        ModelChoice("starter", "starter"),
        Origin(REFERENCE, (-160.0, 240.0), "axial", 0.25, own_planes=True),
    )


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nuclei.iclsam"


@pytest.fixture
def written(path: Path) -> Path:
    write_task(saved_task(), path)
    return path


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Change the members of a task file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def with_index(path: Path, **values: Any) -> Path:
    def change(members: dict[str, bytes]) -> None:
        members["task.json"] = json.dumps({**json.loads(members["task.json"]), **values}).encode()

    return rewritten(path, change)


@pytest.mark.parametrize("channels", [0, 3, 4], ids=["grey", "rgb", "rgba"])
@pytest.mark.parametrize(
    "dtype",
    [bool, "u1", "i1", "<u2", ">u2", "<i2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8"],
    ids=lambda d: np.dtype(d).str.strip("|<"),
)
def test_images_of_any_kind_come_back_pixel_by_pixel(path: Path, dtype: Any, channels: int) -> None:
    before = saved_task(image(dtype, channels), image(np.uint8))
    write_task(before, path)
    after = read_task(path)
    for a, b in zip(before.support.images, after.support.images, strict=True):
        assert a.dtype == b.dtype
        assert (a == b).all()
    assert all(
        (a == b).all() for a, b in zip(before.support.labels, after.support.labels, strict=True)
    )
    assert after.support.fingerprint() == before.support.fingerprint()


def test_styles_settings_and_models_come_back(written: Path) -> None:
    before, after = saved_task(), read_task(written)
    assert after.support.styles == STYLES
    assert after.support.ids == (1, 70_000)
    assert (after.settings, after.models) == (before.settings, ModelChoice("starter", "starter"))
    assert after.origin == before.origin


def test_pairs_of_different_sizes_keep_their_order(path: Path) -> None:
    sizes = [(5, 9), (40, 3), (3, 3), (2, 2)] * 3
    images = [RNG.integers(0, 9, size, np.uint8) for size in sizes]
    labels = [np.ones(size, np.int32) for size in sizes]
    for picture in images:
        picture[0, 0] = 200
    write_task(SavedTask(SupportSet.of(images, labels), Settings(), ModelChoice()), path)
    assert [i.shape for i in read_task(path).support.images] == sizes


@pytest.mark.parametrize("shape", [(3, 9, 3), (4, 9, 4), (9, 3, 3), (2, 2, 3)], ids=str)
def test_small_color_images_are_not_taken_for_planes(
    path: Path, shape: tuple[int, int, int]
) -> None:
    color = RNG.integers(0, 255, shape, np.uint8)
    write_task(
        SavedTask(SupportSet.of([color], [np.ones(shape[:2], int)]), Settings(), ModelChoice()),
        path,
    )
    assert (read_task(path).support.images[0] == color).all()


def test_a_fitted_task_predicts_the_same_after_loading(
    path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sam,) = networks.sams
    named = replace(
        networks,
        sams=(replace(sam, facts=replace(sam.facts, name="starter")),),
        icl_facts=replace(networks.icl_facts, name="starter"),
    )
    segmenter = ICLSAM(networks=named, settings=Settings(sam_guidance=1.5, tta_flips=True))
    task = segmenter.fit([image("<u2"), image("<u2")], [LABELS, LABELS])
    task.save(path)
    monkeypatch.setattr(NetworkSource, "load", lambda source: named)
    loaded = load_task(path)
    query = image("<f4")
    before, after = task.predict(query), loaded.predict(query)
    assert loaded.settings == segmenter.settings
    assert (before.labels == after.labels).all()
    for label in task.support.ids:
        assert np.array_equal(before.probabilities[label], after.probabilities[label])
    assert before.provenance == after.provenance


def test_a_path_may_be_text_and_an_older_file_is_replaced(written: Path) -> None:
    write_task(saved_task(image("<f4")), str(written))
    assert read_task(str(written)).support.images[0].dtype == np.float32
    assert names(written.parent) == ["nuclei.iclsam"]


def test_it_is_a_zip_of_tiff_and_json_that_others_can_read(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        assert sorted(archive.namelist()) == ["0.image.tif", "0.labels.tif", "task.json"]
        index = json.loads(archive.read("task.json"))
        labels = tifffile.imread(io.BytesIO(archive.read("0.labels.tif")))
    assert (labels == LABELS).all()
    assert index["format"] == FORMAT
    assert index["settings"]["seed"] == 5


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_file_may_be_read_by_whom_the_user_s_umask_allows(path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_task(saved_task(), path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99], ids=lambda p: f"{p:.0%}")
def test_a_truncated_file_is_not_read(written: Path, part: float) -> None:
    data = written.read_bytes()
    written.write_bytes(data[: int(part * len(data))])
    with pytest.raises(
        ValueError, match=r"nuclei.iclsam is not a complete task file .*Save the task again"
    ):
        read_task(written)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_a_changed_byte_is_refused_or_reads_the_same(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "x.iclsam"
    before = saved_task(np.arange(12 * 17, dtype=np.uint8).reshape(12, 17))
    write_task(before, path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        after = read_task(path)
    except ValueError:
        return
    assert after.support.fingerprint() == before.support.fingerprint()
    assert after.settings == before.settings


def test_an_image_that_was_changed_is_noticed(written: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        other = tifffile.imread(io.BytesIO(members["0.image.tif"])).copy()
        other[3, 3] ^= 1
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, other)
        members["0.image.tif"] = buffer.getvalue()

    with pytest.raises(ValueError, match="was changed after it was saved"):
        read_task(rewritten(written, change))


@pytest.mark.parametrize("version", [FORMAT + 1, 0, "1", None, [1]], ids=repr)
def test_another_format_is_told_with_both_versions(written: Path, version: Any) -> None:
    with pytest.raises(
        ValueError, match=r"has task format .* reads format 1\. Update napari-iclsam"
    ):
        read_task(with_index(written, format=version))


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "sub/0.image.tif", ".."],
)
def test_a_zip_with_paths_outside_itself_is_refused(written: Path, name: str) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[name] = b"harm"

    around = set(written.parent.parent.iterdir())
    with pytest.raises(ValueError, match="is not read: it holds a path that leads outside itself"):
        read_task(rewritten(written, change))
    assert set(written.parent.parent.iterdir()) == around
    assert names(written.parent) == ["nuclei.iclsam"]


@pytest.mark.parametrize("missing", ["task.json", "0.image.tif", "0.labels.tif"])
def test_a_missing_member_is_damage(written: Path, missing: str) -> None:
    with pytest.raises(ValueError, match="not a complete task file"):
        read_task(rewritten(written, lambda members: members.pop(missing) and None))


@pytest.mark.parametrize(
    "values",
    [
        {"pairs": 2},
        {"pairs": 0},
        {"pairs": -1},
        {"pairs": "many"},
        {"pairs": None},
        {"dtypes": []},
        {"dtypes": ["nonsense"]},
        {"dtypes": ["O"]},
        {"styles": [1]},
        {"styles": {"one": {"name": "", "color": None}}},
        {"styles": {"1": "red"}},
        {"styles": {"1": {"name": ""}}},
        {"settings": {"seed": "five"}},
        {"settings": {"seed": -5}},
        {"settings": {"unheard_of": 5}},
        {"settings": [5]},
        {"fingerprint": None},
    ],
    ids=lambda v: json.dumps(v).replace('"', ""),
)
def test_an_index_of_another_make_is_a_value_error(written: Path, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_task(with_index(written, **values))


@pytest.mark.parametrize("index", [b"[]", b"{}", b"null", b"{", b"\xff\xfe", b""], ids=repr)
def test_an_index_that_is_no_index_is_a_value_error(written: Path, index: bytes) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["task.json"] = index

    with pytest.raises(ValueError, match=r"."):
        read_task(rewritten(written, change))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04", b"\x89PNG\r\n"], ids=repr)
def test_what_is_not_a_zip_is_not_a_task(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a complete task file"):
        read_task(path)


def test_a_file_that_would_fill_the_memory_is_not_unpacked(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bomb(members: dict[str, bytes]) -> None:
        members["0.image.tif"] = bytes(50_000_000)

    large = rewritten(written, bomb)
    monkeypatch.setattr(task_file, "available", lambda: 60_000_000)
    with pytest.raises(ValueError, match=r"needs 0\.1 GB of memory, and 0\.1 GB are free"):
        read_task(large)


def test_an_index_that_is_far_too_long_is_not_read(written: Path) -> None:
    def lengthen(members: dict[str, bytes]) -> None:
        members["task.json"] = b" " * (17 << 20)

    with pytest.raises(ValueError, match=r"its task\.json is too long"):
        read_task(rewritten(written, lengthen))


def test_a_picture_that_claims_more_pixels_than_it_holds_is_damage(written: Path) -> None:
    def claim(members: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, np.zeros((4096, 4096), np.uint8), compression="zlib")
        members["0.image.tif"] = buffer.getvalue()

    with pytest.raises(ValueError, match="claims more pixels than it holds"):
        read_task(rewritten(written, claim))


@pytest.mark.parametrize("dtype", ["S100000000", "O", "<c16", "V9"])
def test_a_dtype_that_is_no_number_is_damage(written: Path, dtype: str) -> None:
    def claim(members: dict[str, bytes]) -> None:
        index = json.loads(members["task.json"])
        index["dtypes"] = [dtype]
        members["task.json"] = json.dumps(index).encode()

    with pytest.raises(ValueError, match="not a complete task file"):
        read_task(rewritten(written, claim))


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no task file .*nuclei.iclsam"):
        read_task(path)


def test_a_folder_is_not_a_task(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a complete task file"):
        read_task(tmp_path)


def test_unknown_models_are_told_before_anything_is_fitted(written: Path) -> None:
    with pytest.raises(ValueError, match="no_such_model"):
        load_task(with_index(written, models="no_such_model"))


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no_such_folder"):
        write_task(saved_task(), tmp_path / "no_such_folder" / "x.iclsam")
    assert names(tmp_path) == []


def test_a_write_that_fails_midway_leaves_what_was_there(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def fail(array: NDArray[Any]) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(task_file, "_to_tiff", fail)
    with pytest.raises(OSError, match="No space left"):
        write_task(saved_task(image("<f4")), written)
    assert written.read_bytes() == before
    assert names(written.parent) == ["nuclei.iclsam"]


def test_nothing_in_it_is_a_pickle(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        for name in archive.namelist():
            with pytest.raises(ValueError, match=r"."):
                list(pickletools.genops(archive.read(name)))


@pytest.mark.parametrize("prefix", ["", "starter:"], ids=["path", "name and path"])
def test_a_task_finds_weights_of_ones_own_from_any_folder(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(bundled_folder() / "starter_icl.safetensors", tmp_path / "mine.safetensors")
    monkeypatch.chdir(tmp_path)
    grey = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    task = ICLSAM(icl=f"{prefix}mine.safetensors").fit([grey], [grey > 100])
    task.save(tmp_path / "a.iclsam")
    monkeypatch.chdir("/")
    saved = read_task(tmp_path / "a.iclsam")
    assert saved.models.icl == f"{prefix}{tmp_path / 'mine.safetensors'}"
    loaded = load_task(tmp_path / "a.iclsam")
    assert loaded.provenance.checksums == task.provenance.checksums
    assert all(task.provenance.checksums.values())


def test_a_file_of_an_earlier_version_is_read() -> None:
    """Made by commit 362f49c, in which settings and colors had other names."""
    saved = read_task(DATA / "task_362f49c.iclsam")
    assert saved.settings == Settings(
        coarse_to_fine=False,
        fine_tune=False,
        cross_validate=False,
        tta_flips=True,
        icl_guidance=0.4,
    )
    assert saved.support.styles == {1: LabelStyle("shell", (1.0, 0.5, 0.0, 1.0))}
    assert saved.support.ids == (1, 4)
    assert saved.models == ModelChoice("starter", "starter")


def test_a_file_of_an_earlier_version_is_saved_with_the_names_of_today(path: Path) -> None:
    saved = read_task(DATA / "task_362f49c.iclsam")
    write_task(saved, path)
    with zipfile.ZipFile(path) as archive:
        index = json.loads(archive.read("task.json"))
    assert list(index["settings"]) == list(Settings().to_dict())
    assert index["styles"] == {"1": {"name": "shell", "color": [1.0, 0.5, 0.0, 1.0]}}
    again = read_task(path)
    assert (again.settings, again.models) == (saved.settings, saved.models)
    assert again.support.styles == saved.support.styles
    assert again.support.fingerprint() == saved.support.fingerprint()
