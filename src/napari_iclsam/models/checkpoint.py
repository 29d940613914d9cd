"""Files of weights -> tensors, safely: no code in them is ever run. Knows no network."""

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from napari_iclsam.weights.checksums import describe

_WRAPPERS = ("model_state", "state_dict", "model")
"""Under which key trainers put the weights, beside the state of their optimiser."""

_PREFIXES = ("module.", "sam.", "model.")
"""What trainers put before every name."""

_BROKEN = (
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    AssertionError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
)
"""What torch's reader raises on damaged content, as trials with damaged files showed."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file or a torch checkpoint.

    The kind is seen from the content, not from the name.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Tensor
        On the CPU, perhaps still backed by the file. What trainers wrap around the weights is taken
        off.

    Raises
    ------
    ValueError
        The file is empty, truncated, not weights, or a pickle with code in it (which is not run).
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if reason := describe(path):
        raise ValueError(f"{path} is not a file of weights{reason}")
    if start[8:] == b"{":
        return unwrap(_read_safetensors(path), path)
    return unwrap(_read_torch(path, start), path)


def _read_safetensors(path: Path) -> Mapping[str, object]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged or truncated ({error}): get it again") from error


def _read_torch(path: Path, start: bytes) -> object:
    try:
        zipped = zipfile.is_zipfile(path)
    except zipfile.BadZipFile as error:  # a damaged end may claim several disks
        raise ValueError(f"{path} is damaged ({error}): get it again") from error
    if start.startswith(b"PK") and not zipped:
        raise ValueError(
            f"{path} is truncated ({path.stat().st_size} bytes, its end is missing): get it again"
        )
    # torch would choose the reader by the name, but the content is not safetensors.
    misnamed = path.suffix == ".safetensors"
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(
                file if misnamed else path,
                map_location="cpu",
                weights_only=True,
                mmap=zipped and not misnamed,
            )
    except pickle.UnpicklingError as error:
        if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise ValueError(
                f"{path} holds Python code ({code[1]}) beside tensors; "
                "it was refused and nothing of it was run. "
                "Ask for a file of plain tensors (safetensors, or a torch state dict)"
            ) from error
        raise ValueError(
            f"{path} holds something else than tensors, or is damaged; "
            "it was refused and nothing of it was run"
        ) from error
    except _BROKEN as error:
        raise ValueError(
            f"{path} is not a file of weights, or is damaged or truncated: get it again"
        ) from error


def unwrap(content: object, path: Path) -> dict[str, Tensor]:
    """Return the weights without the wrappers and prefixes that trainers add."""
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ValueError(  # noqa: TRY004 (the file is wrong, not the type of an argument)
            f"{path} holds a {type(content).__name__}, expected tensors by name (a state dict)"
        )
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no tensors")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            # Only a prefix of all names is a wrapper's; one of some is part of the network.
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], what: str, ignored: Collection[str] = ()
) -> None:
    """Load every tensor of a module, and accept no other.

    Parameters
    ----------
    module : nn.Module
        Its parameters may be on the meta device; they take the type of the tensors given.
    tensors : Mapping of str to Tensor
    what : str
        For the message: the file and the network that it should fit.
    ignored : Collection of str
        Keys that the file may have and the module has no use for.

    Raises
    ------
    ValueError
        Names are missing or unknown, or shapes differ; the message names the first of each.
    """
    own = module.state_dict()
    given = {name: value for name, value in tensors.items() if name not in ignored}
    problems = [
        *_some("missing", [name for name in own if name not in given]),
        *_some("unknown", [name for name in given if name not in own]),
        *_some("of another shape", _of_another_shape(own, given)),
    ]
    if problems:
        raise ValueError(f"{what}: {'; '.join(problems)}")
    module.load_state_dict(given, strict=True, assign=True)


def _of_another_shape(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Return "NAME: expected SHAPE, got SHAPE" for each tensor of another shape."""
    found = []
    for name, value in given.items():
        if name in own and own[name].shape != value.shape:
            expected = list(own[name].shape)
            found.append(f"{name}: expected {expected}, got {list(value.shape)}")
    return found


def _some(what: str, names: list[str]) -> list[str]:
    """Return ["3 tensors are missing (first: NAME)"], or nothing."""
    if not names:
        return []
    if len(names) == 1:
        return [f"1 tensor is {what} ({names[0]})"]
    return [f"{len(names)} tensors are {what} (first: {names[0]})"]


def metadata(path: Path) -> Mapping[str, str]:
    """Return the text beside the tensors of a safetensors file; nothing for other files."""
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if file.read(1) != b"{" or length > path.stat().st_size:
            return {}
        header = json.loads(b"{" + file.read(length - 1))
    return {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}
