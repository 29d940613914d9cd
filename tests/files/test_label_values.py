"""What the numbers of a mask mean, in every way that programs write masks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_iclsam.files import read_image, read_labels

SIDE = 64
ROWS, COLUMNS = np.indices((SIDE, SIDE))
DISC = (np.hypot(ROWS - 30, COLUMNS - 26) < 14).astype(np.uint8)
TWO = DISC.copy()
TWO[4:12, 40:60] = 2


def saved(path: Path, array: NDArray[Any], **options: Any) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("compression", ["group4", "packbits", None])
def test_a_bilevel_mask_that_counts_from_white_is_read_as_it_is_shown(
    tmp_path: Path, compression: str | None
) -> None:
    if compression == "group4":
        # the oldest that decode fax codes; others say that they cannot
        pytest.importorskip("tifffile", "2026.3.3")
        pytest.importorskip("imagecodecs", "2026.3.6")
    picture = Image.fromarray(DISC * 255).convert("1")
    picture.save(tmp_path / "m.tif", compression=compression, tiffinfo={262: 0})
    with tifffile.TiffFile(tmp_path / "m.tif") as tif:
        assert tif.pages[0].photometric == 0
    assert (read_labels(tmp_path / "m.tif").array == DISC).all()
    assert (read_image(tmp_path / "m.tif").array == DISC.astype(bool)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_mask_that_counts_from_white_is_read_as_it_is_shown(
    tmp_path: Path, dtype: Any
) -> None:
    highest = np.iinfo(dtype).max
    tifffile.imwrite(
        tmp_path / "m.tif", highest * (1 - DISC.astype(dtype)), photometric="miniswhite"
    )
    assert (read_labels(tmp_path / "m.tif").array == DISC.astype(dtype) * highest).all()


def test_an_image_that_counts_from_white_is_no_negative(tmp_path: Path) -> None:
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    tifffile.imwrite(tmp_path / "a.tif", 255 - image, photometric="miniswhite")
    assert (read_image(tmp_path / "a.tif").array == image).all()


def test_label_numbers_written_into_a_file_that_counts_from_white_are_kept(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", TWO, photometric="miniswhite")
    assert (read_labels(tmp_path / "m.tif").array == TWO).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("color", [0, 90, 255])
def test_a_shape_in_the_alpha_channel_is_the_mask(tmp_path: Path, mode: str, color: int) -> None:
    grey = np.full_like(DISC, color)
    picture = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(DISC * 255)]).convert(mode)
    picture.save(tmp_path / "m.png")
    file = read_labels(tmp_path / "m.png")
    assert (file.array == DISC).all()
    assert "alpha" in file.notes[0]


def test_a_shape_in_the_alpha_channel_of_a_tiff_is_the_mask(tmp_path: Path) -> None:
    rgba = np.dstack([np.full((SIDE, SIDE, 3), 255, np.uint8), DISC * 255])
    tifffile.imwrite(tmp_path / "m.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    assert (read_labels(tmp_path / "m.tif").array == DISC).all()


@pytest.mark.parametrize("alpha", [255, 128, 0], ids=["opaque", "half", "forgotten"])
def test_an_alpha_channel_without_shape_tells_nothing(tmp_path: Path, alpha: int) -> None:
    path = saved(tmp_path / "m.png", np.dstack([TWO, TWO, TWO, np.full_like(TWO, alpha)]))
    assert (read_labels(path).array == TWO).all()


def test_labels_on_a_transparent_ground_are_the_labels(tmp_path: Path) -> None:
    alpha = np.where(TWO > 0, 255, 0).astype(np.uint8)
    numbers = np.where(TWO > 0, TWO, 77).astype(np.uint8)  # what lies hidden counts for nothing
    path = saved(tmp_path / "m.png", np.dstack([numbers, alpha]))
    assert (read_labels(path).array == TWO).all()


def test_one_color_on_black_is_one_object(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", np.dstack([DISC * 255, DISC * 0, DISC * 40]))
    assert (read_labels(path).array == DISC).all()


def test_label_numbers_in_colors_are_no_color(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", np.dstack([DISC, DISC * 0, DISC * 2]))
    with pytest.raises(ValueError, match="a stack of 3 slices that was saved as colors"):
        read_labels(path)


def test_several_colors_are_refused_with_their_number(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.png", np.dstack([TWO == 1, TWO == 2, TWO == 3]).astype(np.uint8) * 255
    )
    with pytest.raises(ValueError, match=r"color picture of 2 colors.*one plane of whole numbers"):
        read_labels(path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_numbers_of_a_palette_are_labels(tmp_path: Path, suffix: str) -> None:
    picture = Image.frombytes("P", (SIDE, SIDE), TWO.tobytes())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture.save(tmp_path / f"m.{suffix}")
    assert (read_labels(tmp_path / f"m.{suffix}").array == TWO).all()
    colors = read_image(tmp_path / f"m.{suffix}")
    assert colors.color
    assert colors.array[30, 26].tolist() == [128, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_black_is_background_wherever_a_palette_has_it(tmp_path: Path, suffix: str) -> None:
    picture = Image.frombytes("P", (SIDE, SIDE), (1 - DISC).tobytes())
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / f"m.{suffix}")
    assert (read_labels(tmp_path / f"m.{suffix}").array == DISC).all()


@pytest.mark.parametrize("given", [0, 1, bytes([0, 255]), bytes([255, 0])], ids=str)
def test_the_transparent_entry_of_a_palette_is_background(tmp_path: Path, given: Any) -> None:
    background = given if isinstance(given, int) else given.index(0)
    numbers = np.where(DISC > 0, 1 - background, background).astype(np.uint8)
    picture = Image.frombytes("P", (SIDE, SIDE), numbers.tobytes())
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "m.png", transparency=given)
    assert (read_labels(tmp_path / "m.png").array == DISC).all()


def test_a_grey_image_with_a_lookup_table_stays_grey(tmp_path: Path) -> None:
    green = np.zeros((3, 256), np.uint16)
    green[1] = np.arange(256) * 257
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="palette", colormap=green)
    file = read_image(tmp_path / "a.tif")
    assert not file.color
    assert (file.array == image).all()


@pytest.mark.parametrize("quality", [60, 75, 90, 95])
def test_a_mask_saved_as_jpeg_is_a_mask_of_two_values(tmp_path: Path, quality: int) -> None:
    path = saved(tmp_path / "m.jpg", DISC * 255, quality=quality)
    assert len(np.unique(np.asarray(Image.open(path)))) > 2
    file = read_labels(path)
    assert np.unique(file.array).tolist() == [0, 255]
    assert ((file.array > 0) != DISC).mean() < 0.005
    assert "compression" in file.notes[0]


def test_a_mask_that_was_a_jpeg_before_is_one_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(DISC * 255).save(buffer, "jpeg", quality=80)
    path = saved(tmp_path / "m.png", np.asarray(Image.open(buffer)))
    assert np.unique(read_labels(path).array).tolist() == [0, 255]


@pytest.mark.parametrize(
    "labels",
    [TWO * 60, TWO, np.where(TWO == 2, 20, DISC * 255).astype(np.uint8)],
    ids=["grey classes", "small numbers", "a faint class"],
)
def test_labels_that_jpeg_has_spoilt_are_refused(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="JPEG, which changes numbers"):
        read_labels(saved(tmp_path / "m.jpg", labels, quality=60))


def test_a_color_jpeg_is_no_mask(tmp_path: Path) -> None:
    picture = np.dstack([TWO == 1, TWO == 2, TWO == 3]).astype(np.uint8) * 255
    with pytest.raises(ValueError, match="JPEG, which changes colors"):
        read_labels(saved(tmp_path / "m.jpg", picture))


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_a_smoothed_mask_is_a_mask_of_two_values(tmp_path: Path, sigma: float) -> None:
    soft = np.round(gaussian_filter(DISC * 255.0, sigma)).astype(np.uint8)
    soft[DISC > 0] = np.where(
        gaussian_filter(DISC * 1.0, sigma)[DISC > 0] > 0.98, 255, soft[DISC > 0]
    )
    file = read_labels(saved(tmp_path / "m.png", soft))
    assert np.unique(file.array).tolist() == [0, 255]
    assert "smoothing" in file.notes[0]


def test_many_real_labels_up_to_255_are_kept(tmp_path: Path) -> None:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for number, (row, column) in enumerate(np.ndindex(8, 8)):
        labels[8 * row : 8 * row + 5, 8 * column : 8 * column + 5] = 255 - number
    assert (read_labels(saved(tmp_path / "m.png", labels)).array == labels).all()


def test_a_rim_of_255_is_kept_as_it_is(tmp_path: Path) -> None:
    labels = TWO.copy()
    labels[np.abs(np.hypot(ROWS - 30, COLUMNS - 26) - 14) < 2] = 255
    assert (read_labels(saved(tmp_path / "m.png", labels)).array == labels).all()


@pytest.mark.parametrize("one", [1.0000153, 0.996, 0.99999999], ids=str)
def test_numbers_that_are_nearly_whole_are_whole(tmp_path: Path, one: float) -> None:
    tifffile.imwrite(tmp_path / "m.tif", (TWO * one).astype(np.float64))
    labels = read_labels(tmp_path / "m.tif").array
    assert np.issubdtype(labels.dtype, np.integer)
    assert (labels == TWO).all()


@pytest.mark.parametrize("value", [0.5, 0.9, 1.05], ids=str)
def test_fractions_are_refused(tmp_path: Path, value: float) -> None:
    tifffile.imwrite(tmp_path / "m.tif", DISC * np.float32(value))
    with pytest.raises(ValueError, match="whole numbers"):
        read_labels(tmp_path / "m.tif")


def test_labels_that_would_all_be_background_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", (TWO / 255).astype(np.float32))
    with pytest.raises(ValueError, match=r"from 0 to 0\.00784314 would all be 0\. Undo"):
        read_labels(tmp_path / "m.tif")
    tifffile.imwrite(tmp_path / "m.tif", (TWO + 1e-5 * (TWO > 1)).astype(np.float32))
    assert (read_labels(tmp_path / "m.tif").array == TWO).all()


@pytest.mark.parametrize("largest", [2**31, 2**33 + 5, 2**63], ids=str)
@pytest.mark.parametrize("dtype", [np.uint64, np.float64])
def test_numbers_beyond_32_bits_are_refused_with_what_to_do(
    tmp_path: Path, largest: int, dtype: Any
) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif", DISC.astype(dtype) * dtype(largest), photometric="minisblack"
    )
    with pytest.raises(ValueError, match=r"m\.tif: labels must be below 2\*\*31"):
        read_labels(tmp_path / "m.tif")
