"""What each axis of a file is: slices, channels, colors; and which side is up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_iclsam.files import Part, read_image, read_labels, read_pair, write_labels
from napari_iclsam.files.upright import to_stored, to_upright

RNG = np.random.default_rng(0)
PLANE = RNG.integers(0, 255, (20, 30), np.uint8)
STACKS = {n: RNG.integers(0, 255, (n, 20, 30), np.uint8) for n in (3, 4)}


def labels_of(stack: NDArray[Any]) -> NDArray[np.uint8]:
    labels = np.zeros(stack.shape, np.uint8)
    labels[::2, 4:9, 5:12] = 1
    return labels


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_slices_that_were_saved_as_colors_are_slices_with_their_labels(
    tmp_path: Path, count: int, dtype: Any
) -> None:
    stack, labels = STACKS[count].astype(dtype), labels_of(STACKS[count]).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb")
    tifffile.imwrite(tmp_path / "l.tif", labels, photometric="rgb")
    assert read_image(tmp_path / "a.tif").color
    pair = read_pair(tmp_path / "a.tif", tmp_path / "l.tif")
    assert (pair.image.array == stack).all()
    assert (pair.labels.array == labels).all()
    assert "slices that were saved as colors" in pair.notes[0]


@pytest.mark.parametrize("wrong", ["image", "labels"])
def test_one_file_of_a_pair_tells_that_the_other_holds_slices(tmp_path: Path, wrong: str) -> None:
    stack, labels = STACKS[3], labels_of(STACKS[3])
    tifffile.imwrite(
        tmp_path / "a.tif", stack, photometric="rgb" if wrong == "image" else "minisblack"
    )
    tifffile.imwrite(
        tmp_path / "l.tif", labels, photometric="rgb" if wrong == "labels" else "minisblack"
    )
    pair = read_pair(tmp_path / "a.tif", tmp_path / "l.tif")
    assert (pair.image.array == stack).all()
    assert (pair.labels.array == labels).all()


def test_colors_with_labels_of_one_plane_are_colors(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACKS[3], photometric="rgb")
    tifffile.imwrite(tmp_path / "l.tif", labels_of(STACKS[3])[0])
    pair = read_pair(tmp_path / "a.tif", tmp_path / "l.tif")
    assert pair.image.color
    assert pair.image.shape == pair.labels.shape == (20, 30)


def test_labels_alike_in_all_colors_are_one_plane_with_a_note(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACKS[3], photometric="rgb")
    alike = np.stack([labels_of(STACKS[3])[0]] * 3)
    tifffile.imwrite(tmp_path / "l.tif", alike, photometric="rgb")
    pair = read_pair(tmp_path / "a.tif", tmp_path / "l.tif")
    assert pair.image.color
    assert (pair.labels.array == alike[0]).all()
    assert "alike: taken as one plane. Save slices with photometric=minisblack" in pair.notes[-1]


def test_labels_alone_that_may_be_slices_are_refused_in_these_words(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "l.tif", labels_of(STACKS[3]), photometric="rgb")
    with pytest.raises(ValueError, match="a stack of 3 slices that was saved as colors"):
        read_labels(tmp_path / "l.tif")


def composite(path: Path, kind: str) -> NDArray[np.uint8]:
    """Write two channels, with names."""
    pair = np.stack([PLANE, 255 - PLANE])
    if kind == "ome":
        meta: dict[str, Any] = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
        tifffile.imwrite(path, pair, ome=True, metadata=meta)
    elif kind == "imagej":
        tifffile.imwrite(
            path, pair, imagej=True, metadata={"axes": "CYX", "Labels": ["DAPI", "GFP"]}
        )
    elif kind == "hyperstack":
        meta = {"axes": "CYX", "Labels": ["c:1/2 - DAPI", "c:2/2 - GFP"]}
        tifffile.imwrite(path, pair, imagej=True, metadata=meta)
    else:
        meta = {"axes": "ZYX", "Labels": ["c:1/2 - DAPI", "c:2/2 - GFP"]}
        tifffile.imwrite(path, pair, imagej=True, metadata=meta)
    return pair


@pytest.mark.parametrize("kind", ["ome", "imagej", "hyperstack", "channels as slices"])
def test_channels_are_no_slices_and_are_named(tmp_path: Path, kind: str) -> None:
    pair = composite(tmp_path / "a.tif", kind)
    with pytest.raises(
        ValueError, match=r"a\.tif .*2 channels \(0 DAPI, 1 GFP\), not slices.*--channel"
    ):
        read_image(tmp_path / "a.tif")
    for wanted in ("1", "GFP", "gfp"):
        file = read_image(tmp_path / "a.tif", Part(channel=wanted))
        assert (file.array == pair[1]).all()
        assert file.space.axes == "YX"
    with pytest.raises(ValueError, match="no channel 'RFP'; its channels are 0 DAPI, 1 GFP"):
        read_image(tmp_path / "a.tif", Part(channel="RFP"))
    with pytest.raises(ValueError, match=r"2 channels.*labels are one number a pixel"):
        read_labels(tmp_path / "a.tif")


def test_a_channel_of_a_stack_is_a_stack(tmp_path: Path) -> None:
    channels = RNG.integers(0, 255, (5, 2, 20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", channels, imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(ValueError, match=r"2 channels \(0, 1\)"):
        read_image(tmp_path / "a.tif")
    assert (read_image(tmp_path / "a.tif", Part(channel="0")).array == channels[:, 0]).all()


def test_many_samples_a_pixel_are_channels(tmp_path: Path) -> None:
    samples = RNG.integers(0, 255, (20, 30, 5), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ValueError, match="5 channels"):
        read_image(tmp_path / "a.tif")
    assert (read_image(tmp_path / "a.tif", Part(channel="4")).array == samples[..., 4]).all()


def test_grey_with_alpha_is_grey(tmp_path: Path) -> None:
    samples = np.dstack([PLANE, np.full_like(PLANE, 255)])
    options: dict[str, Any] = {
        "photometric": "minisblack",
        "planarconfig": "contig",
        "extrasamples": ["unassalpha"],
    }
    tifffile.imwrite(tmp_path / "a.tif", samples, **options)
    assert (read_image(tmp_path / "a.tif").array == PLANE).all()


def test_one_color_of_a_picture_can_be_named(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([PLANE, PLANE // 2, PLANE // 3])).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", Part(channel="green")).array == PLANE // 2).all()


def test_pages_of_a_file_that_says_nothing_are_channels_if_one_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACKS[4], photometric="minisblack")
    assert read_image(tmp_path / "a.tif").is_stack
    assert (read_image(tmp_path / "a.tif", Part(channel="2")).array == STACKS[4][2]).all()


def test_a_stack_beside_labels_of_one_plane_is_said_with_what_to_do(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACKS[4], photometric="minisblack")
    tifffile.imwrite(tmp_path / "l.tif", labels_of(STACKS[4])[0])
    with pytest.raises(
        ValueError, match=r"4 x 20 x 30 .* 20 x 30 .*If its 4 slices are channels.*--channel"
    ):
        read_pair(tmp_path / "a.tif", tmp_path / "l.tif")


@pytest.mark.parametrize("shape", [(1, 20, 30), (20, 1, 30), (20, 30, 1), (1, 1, 20, 30)], ids=str)
def test_a_single_slice_is_a_plane_and_its_labels_keep_the_shape_of_the_file(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    metadata = {"axes": "TZYX"[-len(shape) :]}
    tifffile.imwrite(
        tmp_path / "a.tif", PLANE.reshape(shape), photometric="minisblack", metadata=metadata
    )
    file = read_image(tmp_path / "a.tif")
    assert (file.array == PLANE).all()
    labels = (PLANE > 99).astype(np.int32)
    write_labels(tmp_path / "l.tif", labels, file.space)
    assert (tifffile.imread(tmp_path / "l.tif").squeeze() == labels).all()
    assert (read_pair(tmp_path / "a.tif", tmp_path / "l.tif").labels.array == labels).all()


def test_one_file_of_an_ome_tiff_of_several_is_refused_unless_all_are_there(tmp_path: Path) -> None:
    stack = several_files(tmp_path)
    whole = read_image(tmp_path / "z0.ome.tif")
    assert (whole.array == stack).all()
    assert "z1.ome.tif" in whole.notes[0]
    (tmp_path / "z1.ome.tif").unlink()
    with pytest.raises(
        ValueError, match=r"z0\.ome\.tif .*one file of an OME-TIFF of several, and 1 of 2 planes"
    ):
        read_image(tmp_path / "z0.ome.tif")


@pytest.mark.parametrize("with_others", [True, False])
def test_a_plane_of_an_ome_tiff_of_several_files_is_an_image_with_its_own_labels(
    tmp_path: Path, with_others: bool
) -> None:
    stack = several_files(tmp_path)
    labels = (stack[1] > 100).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / "l.png")
    if not with_others:
        (tmp_path / "z0.ome.tif").unlink()
    pair = read_pair(tmp_path / "z1.ome.tif", tmp_path / "l.png")
    assert (pair.image.array == stack[1]).all()
    assert "only its own planes" in pair.notes[0]
    query = read_image(tmp_path / "z1.ome.tif", Part(own_planes=True))
    assert query.array.shape == stack[1].shape
    # of any other file it says nothing
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    assert read_image(tmp_path / "s.tif", Part(own_planes=True)).array.shape == stack.shape


def several_files(folder: Path) -> NDArray[np.uint8]:
    """Write a stack of two planes as two files that know of each other."""
    stack = STACKS[3][:2]
    parts = []
    for number in range(2):
        uuid = f"urn:uuid:0000000{number}-0000-0000-0000-000000000000"
        where = f'<UUID FileName="z{number}.ome.tif">{uuid}</UUID>'
        parts.append(f'<TiffData FirstZ="{number}" IFD="0" PlaneCount="1">{where}</TiffData>')
    for number in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{number}-0000-0000-0000-000000000000">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
            'SizeX="30" SizeY="20" '
            f'SizeZ="2" SizeC="1" SizeT="1">{"".join(parts)}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            folder / f"z{number}.ome.tif", stack[number], description=xml, metadata=None
        )
    return stack


def test_a_preview_in_a_file_is_no_image(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANE, metadata=None)
        writer.write(PLANE[::2, ::2], metadata=None, subfiletype=1)
    assert (read_image(tmp_path / "a.tif").array == PLANE).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone(orientation: int) -> None:
    assert (to_stored(to_upright(PLANE, orientation), orientation) == PLANE).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(PLANE).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    file = read_image(tmp_path / "a.png")
    assert (file.array == expected).all()
    assert bool(file.notes) == (orientation != 1)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("drawn", ["upright", "as stored"])
def test_a_turned_photograph_and_its_mask_agree(
    tmp_path: Path, orientation: int, drawn: str
) -> None:
    if orientation == 3 and drawn == "as stored":
        pytest.skip("both have one size: masks are taken for upright")
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.where(np.indices((40, 64))[1] < 20, 220, 30).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = to_upright(stored, orientation)
    mask = (upright > 100) if drawn == "upright" else (stored > 100)
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "m.png")
    pair = read_pair(tmp_path / "a.jpg", tmp_path / "m.png")
    assert ((pair.image.array > 100) == (pair.labels.array > 0)).mean() > 0.98
    assert pair.image.shape == upright.shape


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_tiff_is_read_upright_and_its_labels_are_stored_as_it_is(
    tmp_path: Path, orientation: int
) -> None:
    options: dict[str, Any] = {
        "extratags": [(274, "H", 1, orientation, True)],
        "resolution": (100, 50),
    }
    tifffile.imwrite(tmp_path / "a.tif", PLANE, resolutionunit="CENTIMETER", **options)
    file = read_image(tmp_path / "a.tif")
    assert (file.array == to_upright(PLANE, orientation)).all()
    assert file.space.spacing == ((0.01, 0.02) if orientation == 6 else (0.02, 0.01))
    write_labels(tmp_path / "l.tif", (file.array > 99).astype(np.int32), file.space)
    assert (tifffile.imread(tmp_path / "l.tif") == (PLANE > 99)).all()
    again = read_labels(tmp_path / "l.tif")
    assert (again.array == (file.array > 99)).all()
    assert again.space.spacing == file.space.spacing


def test_a_picture_beyond_the_limit_of_pillow_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(PLANE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert (read_image(tmp_path / "a.png").array == PLANE).all()
    assert Image.MAX_IMAGE_PIXELS == 100
