"""The cache of embeddings: keys, memory, disk, damage and other processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_iclsam.core.encoder import cache as cache_module
from napari_iclsam.core.encoder.cache import (
    EmbeddingCache,
    default_cache,
    default_folder,
    embedding_key,
    on_device,
)
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.networks import Networks
from napari_iclsam.models.features import Features
from napari_iclsam.models.sam import Sam
from napari_iclsam.models.starter_sam import StarterSam

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
SIZE = 4000
"""Bytes of the features below; a file has a header besides."""


def features(value: float = 1.0, *, detail: bool = False) -> Features:
    embedding = torch.full((1, 10, 10, 10), float(value))
    return Features(embedding, torch.full((1, 2, 20, 20), -float(value)) if detail else None)


def value(found: Features | None) -> float | None:
    return None if found is None else float(found.embedding.mean())


def on_disk(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(index=st.integers(0, RGB.size - 1), change=st.integers(1, 255))
def test_any_pixel_changes_the_key(index: int, change: int) -> None:
    other = RGB.copy()
    other.flat[index] = (int(other.flat[index]) + change) % 256
    assert embedding_key(other, "w", "float32") != embedding_key(RGB, "w", "float32")


def test_the_key_follows_from_content_weights_and_precision() -> None:
    key = embedding_key(RGB, "w", "float32")
    assert key == embedding_key(np.asfortranarray(RGB), "w", "float32")
    others = [
        embedding_key(RGB, "v", "float32"),
        embedding_key(RGB, "w", "bfloat16"),
        embedding_key(RGB.reshape(7, 5, 3), "w", "float32"),
    ]
    assert len({key, *others}) == 4
    assert len(key) == 64


@pytest.mark.parametrize("detail", [False, True], ids=["sam", "with detail"])
@pytest.mark.parametrize("again", [False, True], ids=["from memory", "from disk"])
def test_what_is_put_comes_back(tmp_path: Path, detail: bool, again: bool) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put("a", features(3, detail=detail))
    found = (EmbeddingCache(tmp_path) if again else cache).get("a")
    assert found is not None
    assert torch.equal(found.embedding, features(3).embedding)
    assert (found.detail is not None) == detail
    if found.detail is not None:
        assert (found.detail == -3).all()
    assert cache.get("b") is None


def test_half_precision_keeps_its_bits_and_is_computed_in_float32(tmp_path: Path) -> None:
    half = Features(torch.randn(1, 4, 3, 3).bfloat16())
    EmbeddingCache(tmp_path).put("a", half)
    found = EmbeddingCache(tmp_path).get("a")
    assert found is not None
    assert torch.equal(found.embedding, half.embedding)
    assert on_device(found, torch.device("cpu")).embedding.dtype == torch.float32


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = EmbeddingCache()
    cache.put("a", features())
    assert value(cache.get("a")) == 1
    assert cache.info().count == 0
    assert on_disk(tmp_path) == []


def test_the_folder_is_in_the_home_of_this_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "embeddings"


@pytest.mark.usefixtures("homeless")
def test_without_a_home_embeddings_are_kept_in_memory_and_that_is_said() -> None:
    with pytest.warns(UserWarning, match="set NAPARI_ICLSAM_HOME"):
        cache = default_cache()
    cache.put("a", features())
    assert value(cache.get("a")) == 1
    assert cache.info().count == 0


def test_a_cache_in_another_process_shares_the_folder_alone(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, disk_limit=3 * SIZE)
    cache.put("a", features())
    sent = pickle.loads(pickle.dumps(cache))
    assert value(sent.get("a")) == 1
    assert sent.info() == cache.info()
    in_memory = EmbeddingCache()
    in_memory.put("a", features())
    assert pickle.loads(pickle.dumps(in_memory)).get("a") is None


def test_memory_forgets_what_was_not_used_for_longest() -> None:
    cache = EmbeddingCache(memory_limit=2 * SIZE)
    cache.put("a", features(1))
    cache.put("b", features(2))
    cache.get("a")
    cache.put("c", features(3))
    assert [value(cache.get(key)) for key in "abc"] == [1, None, 3]


@pytest.mark.parametrize(("is_on_disk", "kept"), [(False, 4), (True, 1)], ids=["memory", "disk"])
def test_beside_a_disk_less_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_on_disk: bool, kept: int
) -> None:
    monkeypatch.setattr(cache_module, "MEMORY_LIMIT", 4 * SIZE)
    monkeypatch.setattr(cache_module, "_MEMORY_BESIDE_DISK", SIZE)
    cache = EmbeddingCache(tmp_path if is_on_disk else None)
    for name in "abcd":
        cache.put(name, features())
    for path in tmp_path.iterdir():
        path.unlink()
    assert sum(cache.get(name) is not None for name in "abcd") == kept


def test_the_newest_stays_even_if_it_is_larger_than_the_limit(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, memory_limit=1, disk_limit=1)
    for key in "ab":
        cache.put(key, features())
        assert value(cache.get(key)) == 1
    assert on_disk(tmp_path) == ["b.safetensors"]


def test_detail_counts_in_memory() -> None:
    cache = EmbeddingCache(memory_limit=2 * SIZE)
    cache.put("a", features(1))
    cache.put("b", features(2, detail=True))
    assert cache.get("a") is None


def test_disk_forgets_what_was_not_used_for_longest(tmp_path: Path) -> None:
    for age, key in [(300, "a"), (200, "b"), (100, "c")]:
        EmbeddingCache(tmp_path).put(key, features())
        at = time.time() - age
        os.utime(tmp_path / f"{key}.safetensors", (at, at))
    EmbeddingCache(tmp_path).get("a")
    EmbeddingCache(tmp_path, disk_limit=int(3.5 * SIZE)).put("d", features())
    assert on_disk(tmp_path) == ["a.safetensors", "c.safetensors", "d.safetensors"]


def test_info_counts_and_clear_removes_what_the_cache_wrote_and_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    cache = EmbeddingCache(tmp_path, disk_limit=10**6)
    cache.put("a", features())
    cache.put("b", features())
    info = cache.info()
    assert (info.folder, info.count, info.limit) == (tmp_path, 2, 10**6)
    assert info.size == sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    (tmp_path / "x.part").write_bytes(b"half")
    cache.clear()
    assert on_disk(tmp_path) == ["notes.txt"]
    assert cache.get("a") is None


@pytest.mark.parametrize("kept", [0, 7, 60, 2000], ids=lambda n: f"{n} bytes left")
def test_a_cut_file_is_a_miss_and_removed(tmp_path: Path, kept: int) -> None:
    EmbeddingCache(tmp_path).put("a", features())
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert EmbeddingCache(tmp_path).get("a") is None
    assert on_disk(tmp_path) == []


def test_a_file_of_something_else_is_a_miss_and_removed(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).put("a", features())
    (tmp_path / "a.safetensors").write_bytes(
        (tmp_path / "a.safetensors").read_bytes().replace(b'"embedding"', b'"other_one"')
    )
    assert EmbeddingCache(tmp_path).get("a") is None
    assert on_disk(tmp_path) == []


def test_a_folder_that_may_only_be_read_still_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not bind the superuser, so the calls that fail elsewhere fail by hand."""
    EmbeddingCache(tmp_path).put("a", features(4))
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    before = on_disk(tmp_path)

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    cache = EmbeddingCache(tmp_path)
    assert value(cache.get("a")) == 4
    assert cache.get("broken") is None
    with pytest.warns(UserWarning, match="Permission denied"):
        cache.put("b", features(5))
    # said once
    cache.put("c", features(6))
    assert value(cache.get("b")) == 5
    assert on_disk(tmp_path) == before


def test_a_file_in_place_of_the_folder_does_no_harm(tmp_path: Path) -> None:
    place = tmp_path / "embeddings"
    place.write_text("a file")
    cache = EmbeddingCache(place)
    assert cache.get("a") is None
    with pytest.warns(UserWarning, match="they stay in memory"):
        cache.put("a", features(2))
    assert value(cache.get("a")) == 2
    assert cache.info().count == 0
    assert place.read_text() == "a file"


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.models.features import Features
cache = EmbeddingCache(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cache.put("a", Features(torch.ones(1, 10, 10, 10)))
print(float(cache.get("a").embedding.mean()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes cannot be limited on Windows")
def test_a_disk_that_takes_no_more_leaves_memory_and_no_half_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("1.0", 0), done.stderr
    assert on_disk(tmp_path) == []


def test_what_a_crash_left_behind_is_never_read_and_goes_after_an_hour(tmp_path: Path) -> None:
    for name, age in [("old.part", 4000), ("new.part", 0)]:
        (tmp_path / name).write_bytes(b"half a file")
        at = time.time() - age
        os.utime(tmp_path / name, (at, at))
    cache = EmbeddingCache(tmp_path)
    assert cache.get("old") is None
    assert cache.info().count == 0
    cache.put("a", features())
    assert on_disk(tmp_path) == ["a.safetensors", "new.part"]


def test_a_write_that_fails_midway_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EmbeddingCache(tmp_path).put("a", features(1))

    def half(tensors: object, name: str) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_iclsam.core.encoder.cache.save_file", half)
    with pytest.warns(UserWarning, match="No space left"):
        EmbeddingCache(tmp_path).put("a", features(2))
    assert value(EmbeddingCache(tmp_path).get("a")) == 1
    assert on_disk(tmp_path) == ["a.safetensors"]


WRITER = """
import sys, torch
from pathlib import Path
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.models.features import Features
folder, value = Path(sys.argv[1]), float(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    features = Features(torch.full((1, 10, 10, 10), value))
    EmbeddingCache(folder, disk_limit=9000).put("shared", features)
    found = EmbeddingCache(folder).get("shared")
    assert found is None or len(found.embedding.unique()) == 1
"""


def test_two_processes_may_write_one_key(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in (1, 2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        _, errors = writer.communicate("go\n", timeout=200)
        assert writer.returncode == 0, errors
    found = EmbeddingCache(tmp_path).get("shared")
    assert found is not None
    assert found.embedding.unique().tolist() in ([1], [2])
    assert on_disk(tmp_path) == ["shared.safetensors"]


def test_threads_may_share_one_cache(tmp_path: Path) -> None:
    cache, errors = EmbeddingCache(tmp_path, memory_limit=3 * SIZE, disk_limit=6 * SIZE), []

    def work(n: int) -> None:
        for k in range(20):
            key = f"{(n + k) % 7}"
            cache.put(key, features(float(key)))
            found = cache.get(key)
            if found is not None and value(found) != float(key):
                errors.append(key)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert cache.info().size <= 7 * SIZE


class TestEmbedding:
    """What is taken from the cache and what is computed."""

    def embedding(
        self, sam: torch.nn.Module, cache: EmbeddingCache, checksum: str = ""
    ) -> torch.Tensor:
        runner = PromptableRunner(sam, cache, torch.device("cpu"), checksum=checksum)
        return runner.embed(RGB).features.embedding

    def test_an_image_is_encoded_once(
        self, networks: Networks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache, calls = EmbeddingCache(), []
        encode = type(networks.sams[0].network).encode
        monkeypatch.setattr(
            type(networks.sams[0].network), "encode", lambda *args: calls.append(1) or encode(*args)
        )
        first = self.embedding(networks.sams[0].network, cache, "a")
        second = self.embedding(networks.sams[0].network, cache, "a")
        assert torch.equal(first, second)
        assert len(calls) == 1

    def test_networks_without_a_checksum_are_told_apart_by_their_weights(
        self, networks: Networks
    ) -> None:
        cache = EmbeddingCache()
        first = self.embedding(networks.sams[0].network, cache)
        torch.manual_seed(9)
        other = StarterSam(64).eval().requires_grad_(False)
        assert not torch.equal(self.embedding(other, cache), first)
        assert torch.equal(self.embedding(networks.sams[0].network, cache), first)

    def test_one_file_with_two_preprocessings_has_two_embeddings(self) -> None:
        cache = EmbeddingCache()

        def embedding(preprocessing: str) -> torch.Tensor:
            network = Sam(torch.nn.AvgPool2d(16), preprocessing=preprocessing)  # type: ignore[arg-type]
            return self.embedding(network, cache, "one file")

        assert not torch.equal(embedding("sam"), embedding("medsam"))

    def test_one_file_at_two_input_sizes_has_two_embeddings(self, networks: Networks) -> None:
        cache = EmbeddingCache()
        sizes = []
        for size in (64, 96):
            sam = StarterSam(size).eval().requires_grad_(False)
            sam.load_state_dict(networks.sams[0].network.state_dict())
            sizes.append(self.embedding(sam, cache, "one file").shape[-1])
        assert sizes == [8, 12]
