"""Where results go: their names, and files that appear complete or not at all."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

import pytest

from napari_iclsam.commands.outputs import PendingFiles, output_paths, written_together


def test_results_in_a_folder_are_named_after_their_images(tmp_path: Path) -> None:
    queries = [Path("x/a.nii.gz"), Path("y/b.jpg")]
    assert output_paths(tmp_path, queries) == [
        tmp_path / "a_labels.nii.gz",
        tmp_path / "b_labels.png",
    ]
    assert output_paths(tmp_path / "new", queries[:1]) == [tmp_path / "new" / "a_labels.nii.gz"]
    assert output_paths(tmp_path / "a.tif", queries[:1]) == [tmp_path / "a.tif"]
    with pytest.raises(ValueError, match="2 queries: name a folder"):
        output_paths(tmp_path / "a.tif", queries)


def test_files_appear_together_with_the_usual_permissions(tmp_path: Path) -> None:
    targets = [tmp_path / "new" / "folder" / "a.txt", tmp_path / "b.txt"]
    (tmp_path / "usual").write_text("")
    with written_together(targets, overwrite=False) as files:
        for place in files.places.values():
            place.write_text("done")
        assert not any(target.exists() for target in targets)
    assert [target.read_text() for target in targets] == ["done", "done"]
    assert stat.S_IMODE(targets[1].stat().st_mode) == stat.S_IMODE(
        (tmp_path / "usual").stat().st_mode
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.txt", "new", "usual"]


def test_a_failure_leaves_nothing_behind_and_what_was_there_untouched(tmp_path: Path) -> None:
    targets = [tmp_path / "new" / "a.txt", tmp_path / "b.txt"]
    targets[1].write_text("old")

    def fail(files: PendingFiles) -> None:
        for place in files.places.values():
            place.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError), written_together(targets, overwrite=True) as files:
        fail(files)
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]
    assert targets[1].read_text() == "old"


def test_what_exists_is_replaced_only_on_demand(tmp_path: Path) -> None:
    target = tmp_path / "b.txt"
    target.write_text("old")
    with (
        pytest.raises(FileExistsError, match="give --overwrite"),
        written_together([target], overwrite=False),
    ):
        pass
    with written_together([target], overwrite=True) as places:
        places[target].write_text("new")
    assert target.read_text() == "new"


def test_two_results_of_one_name_are_refused(tmp_path: Path) -> None:
    targets = [tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "a.tif"]
    with (
        pytest.raises(ValueError, match=r"would both be .*a\.tif"),
        written_together(targets, overwrite=False),
    ):
        pass


def test_a_place_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "a.tif"
    with (
        pytest.raises(NotADirectoryError, match="is a file"),
        written_together([target], overwrite=False),
    ):
        pass
    with (
        pytest.raises(IsADirectoryError, match="is a folder"),
        written_together([tmp_path], overwrite=True),
    ):
        pass

    def refuse(*args: Any, **kwargs: Any) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)  # root may write wherever permissions forbid it
    target = tmp_path / "a.tif"
    with (
        pytest.raises(PermissionError, match="Read-only file system"),
        written_together([target], overwrite=False),
    ):
        pass


def test_what_was_published_stays_whatever_happens_later(tmp_path: Path) -> None:
    targets = [tmp_path / "a.txt", tmp_path / "b.txt"]

    def stop(files: PendingFiles) -> None:
        files[targets[0]].write_text("done")
        files.publish(targets[0])
        files[targets[1]].write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), written_together(targets, overwrite=False) as files:
        stop(files)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_said_with_the_name_of_the_result(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(OSError, match="nothing of this file was kept") as caught:
        fill_the_disk(target)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(target))
    assert list(tmp_path.iterdir()) == []


def fill_the_disk(target: Path) -> None:
    with written_together([target], overwrite=False) as files, files.writing(target):
        raise OSError(errno.ENOSPC, "No space left on device")
