"""Embeddings of images, in memory and on disk under a key of content, weights and precision."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_iclsam.models.features import Features
from napari_iclsam.weights.folders import NO_HOME, home

MEMORY_LIMIT = 1 << 30
"""Bytes that a cache without a disk may hold unless told otherwise."""

DISK_LIMIT = 4 << 30
"""Bytes that a cache may hold on disk unless told otherwise."""

_MEMORY_BESIDE_DISK = 256 << 20
"""Likewise in memory, of a cache on disk: what memory has dropped is read again in milliseconds,
and the planes of a long stack are embedded once."""

_STALE = 3600.0
"""Seconds after which an unfinished file has no writer any more."""


def embedding_key(rgb: NDArray[np.uint8], weights: str, precision: str) -> str:
    """Return the key of an 8-bit RGB image under weights (their checksum) at a precision.

    It has 64 hexadecimal digits.
    """
    # the shape belongs to it: the same bytes may be images of different sides
    digest = hashlib.sha256(f"{weights}/{precision}/{rgb.shape}".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def default_folder() -> Path | None:
    """Return where embeddings are kept unless told otherwise; None if there is no home folder."""
    folder = home()
    return None if folder is None else folder / "embeddings"


def default_cache() -> EmbeddingCache:
    """Return the cache on disk that all runs of this user share; without a home, one in memory."""
    folder = default_folder()
    if folder is None:
        warnings.warn(NO_HOME, stacklevel=3)
    return EmbeddingCache(folder)


class EmbeddingCache:
    """Features by key, least recently used out first.

    Safe between threads, and between processes on one folder: files appear by an atomic rename, a
    broken or vanished file is a miss.

    Parameters
    ----------
    folder : Path, optional
        None keeps embeddings in memory only.
    memory_limit, disk_limit : int
        Bytes. By default, a cache on disk keeps a quarter of what one in memory does there.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        memory_limit: int | None = None,
        disk_limit: int = DISK_LIMIT,
    ) -> None:
        self.folder = folder
        if memory_limit is None:
            memory_limit = MEMORY_LIMIT if folder is None else _MEMORY_BESIDE_DISK
        self._memory_limit = memory_limit
        self._disk_limit = disk_limit
        self._memory: OrderedDict[str, Features] = OrderedDict()
        self._lock = threading.Lock()
        self._is_said = False

    def __reduce__(self) -> tuple[Callable[..., EmbeddingCache], tuple[Path | None]]:
        """Let a task be sent to another process: what is in memory stays, a folder is shared."""
        make = partial(EmbeddingCache, memory_limit=self._memory_limit, disk_limit=self._disk_limit)
        return make, (self.folder,)

    def get(self, key: str) -> Features | None:
        """Return the features of a key, on the CPU, or None."""
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        # outside the lock: reading from disk must not hold up other threads
        features = self._read(key)
        if features is not None:
            self._remember(key, features)
        return features

    def put(self, key: str, features: Features) -> None:
        """Keep the features of a key.

        A full or read-only disk is no error: memory still holds them, and a warning says so once.
        """
        # on the CPU, so that many embeddings do not fill the memory of a graphics card
        features = _map(features, lambda t: t.detach().cpu())
        self._remember(key, features)
        if self.folder is not None:
            try:
                self._write(key, features)
            except (OSError, SafetensorError) as error:  # safetensors has its own of a full disk
                self._say_unwritable(error)
                return
            self._shrink_disk()

    def info(self) -> CacheInfo:
        """Count what is on disk."""
        sizes = [size for _, size, _ in self._files()]
        return CacheInfo(
            self.folder,
            len(sizes),
            sum(sizes),
            self._disk_limit,
        )

    def clear(self) -> None:
        """Forget everything, in memory and on disk."""
        with self._lock:
            self._memory.clear()
        for path, _, _ in self._files():
            path.unlink(missing_ok=True)
        self._remove_unfinished(age=0)

    def _say_unwritable(self, error: Exception) -> None:
        # once: the next embeddings meet the same disk
        if self._is_said:
            return
        self._is_said = True
        warnings.warn(
            f"Embeddings cannot be kept in {self.folder} ({error}): they stay in memory, and are "
            "computed anew in the next session. Free the disk, or set NAPARI_ICLSAM_HOME to a "
            "folder that can be written to.",
            stacklevel=3,
        )

    def _remember(self, key: str, features: Features) -> None:
        with self._lock:
            self._memory[key] = features
            self._memory.move_to_end(key)
            while (
                # what was put last stays even if it alone exceeds the limit: it is about to be
                # used
                len(self._memory) > 1
                and sum(map(_size, self._memory.values())) > self._memory_limit
            ):
                self._memory.popitem(last=False)

    def _read(self, key: str) -> Features | None:
        if self.folder is None:
            return None
        path = self.folder / f"{key}.safetensors"
        try:
            tensors = load_file(path)
            features = Features(
                tensors["embedding"],
                tensors.get("detail"),
            )
        except FileNotFoundError:
            return None
        # a broken file is of no use to anyone, and counts against the limit
        except (OSError, SafetensorError, KeyError):
            _remove(path)
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(path)  # the time of last use decides what goes first
        return features

    def _write(self, key: str, features: Features) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {"embedding": features.embedding}
        if features.detail is not None:
            tensors["detail"] = features.detail
        # in the same folder, since a rename is atomic within one file system alone
        handle, path = tempfile.mkstemp(suffix=".part", dir=self.folder)
        os.close(handle)
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
            Path(path).replace(self.folder / f"{key}.safetensors")
        finally:
            Path(path).unlink(missing_ok=True)

    def _shrink_disk(self) -> None:
        files = sorted(self._files(), key=lambda entry: entry[2])
        excess = sum(size for _, size, _ in files) - self._disk_limit
        # the newest file stays whatever its size: it has just been written
        for path, size, _ in files[:-1]:
            if excess <= 0:
                break
            _remove(path)
            excess -= size
        self._remove_unfinished(age=_STALE)

    def _remove_unfinished(self, age: float) -> None:
        """Remove older files (seconds) of processes that ended in the middle of writing."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in self.folder.glob("*.part"):
            with suppress(OSError):
                # a younger one may have a writer in another process
                if time.time() - path.stat().st_mtime >= age:
                    path.unlink()

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        if self.folder is None or not self.folder.is_dir():
            return
        for path in self.folder.glob("*.safetensors"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process was quicker
                continue
            yield path, status.st_size, status.st_mtime


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cache holds on disk: its folder, embeddings, bytes, and how many bytes it may hold."""

    folder: Path | None
    count: int
    size: int
    limit: int


def _remove(path: Path) -> None:
    with suppress(OSError):  # another process was quicker, or the folder may only be read
        path.unlink()


def _map(features: Features, function: Callable[[torch.Tensor], torch.Tensor]) -> Features:
    detail = None if features.detail is None else function(features.detail)
    return Features(function(features.embedding), detail)


def on_device(features: Features, device: torch.device) -> Features:
    """Return features in float32 on a device, channels last.

    Their memory layout is the same whether they were computed now or kept.
    """
    # kernels may round otherwise in another layout: results must not depend on the cache
    layout = torch.channels_last
    return _map(features, lambda t: t.to(device, torch.float32).contiguous(memory_format=layout))


def split_batch(features: Features) -> list[Features]:
    """Return the features of each image of a batch, each in memory of its own."""
    if len(features.embedding) == 1:
        return [features]
    images = []
    for number in range(len(features.embedding)):
        images.append(_map(features, partial(_item, number)))
    return images


def _item(number: int, batch: torch.Tensor) -> torch.Tensor:
    # a view would keep the whole batch in memory as long as one of its images is cached
    return batch[number : number + 1].clone()


def _size(features: Features) -> int:
    size = 0
    for tensor in (features.embedding, features.detail):
        if tensor is not None:
            size += tensor.numel() * tensor.element_size()
    return size
