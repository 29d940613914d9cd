"""Files of weights, good, damaged and malicious."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from napari_iclsam.models.checkpoint import load_strictly, metadata, read_tensors

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def saved(content: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


FORMATS = {
    "torch": saved(TENSORS),
    "old torch": saved(TENSORS, zipped=False),
    "safetensors": safetensors.torch.save(TENSORS, {"license": "mine"}),
}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_read_whatever_its_name_ends_in(kind: str, file: Path) -> None:
    file.write_bytes(FORMATS[kind])
    assert same(read_tensors(file), TENSORS)


@pytest.mark.parametrize(
    "content",
    [
        {"model": TENSORS, "optimizer": {"state": {}, "lr": 0.1}, "epoch": 3},
        {"state_dict": {f"module.{name}": value for name, value in TENSORS.items()}},
        {
            "model_state": {f"sam.{name}": value for name, value in TENSORS.items()},
            "decoder_state": TENSORS,
        },
        {
            "state_dict": {f"model.{name}": value for name, value in TENSORS.items()},
            "hyper_parameters": {},
        },
    ],
    ids=["with optimiser", "data parallel", "micro-sam", "lightning"],
)
def test_what_trainers_wrap_around_weights_is_taken_off(content: object, file: Path) -> None:
    file.write_bytes(saved(content))
    assert same(read_tensors(file), TENSORS)


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize(
    "kind", ["plain pickle", "old plain pickle", "torch", "old torch", "named safetensors"]
)
def test_a_pickle_with_code_in_it_is_refused_and_not_run(kind: str, tmp_path: Path) -> None:
    trace, file = (
        tmp_path / "trace",
        tmp_path / ("w.safetensors" if kind == "named safetensors" else "w.pth"),
    )
    content = {"extra": Malicious(trace)} | ({} if kind.endswith("plain pickle") else TENSORS)
    if kind.endswith("plain pickle"):
        file.write_bytes(pickle.dumps(content, protocol=2 if kind.startswith("old") else 4))
        pickle.loads(file.read_bytes())
    else:
        file.write_bytes(saved(content, zipped=kind != "old torch"))
        torch.load(io.BytesIO(file.read_bytes()), weights_only=False)
    trace.rmdir()  # so it does what it says where it is not refused
    with pytest.raises(
        ValueError,
        match=r"(holds Python code \((posix|nt)\.mkdir\)|holds something else)"
        ".*nothing of it was run",
    ):
        read_tensors(file)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a file of weights: it is empty"),
        (b"\n<!DOCTYPE html><html></html>", "is not a file of weights: it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it is a git-lfs pointer"),
        (b"hello, world", "is not a file of weights, or is damaged"),
        (FORMATS["torch"][:-100], r"is truncated \(\d+ bytes, its end is missing\): get it again"),
        (FORMATS["old torch"][:-10], "damaged or truncated: get it again"),
        (FORMATS["safetensors"][:-10], "is damaged or truncated"),
        (saved([1, 2, 3]), r"holds a list, expected tensors by name \(a state dict\)"),
        (saved({"epoch": 3}), "holds no tensors"),
        (saved(nn.Linear(2, 2)), r"holds Python code \(torch\.nn\.modules\.linear\.Linear\)"),
    ],
    ids=[
        "empty",
        "web page",
        "lfs",
        "text",
        "cut",
        "cut old",
        "cut safetensors",
        "list",
        "no tensors",
        "module",
    ],
)
def test_what_is_not_weights_gets_a_sentence(content: bytes, sentence: str, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_tensors(file)


def test_a_file_that_is_not_there_is_said_so(file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"weights\.pt"):
        read_tensors(file)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FORMATS)))
def test_a_file_cut_anywhere_is_a_value_error(
    data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = FORMATS[kind]
    file = tmp_path_factory.mktemp("cut") / "weights.pt"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"weights\.pt"):
        read_tensors(file)


def test_a_file_that_claims_to_span_disks_is_a_value_error(file: Path) -> None:
    changed = bytearray(FORMATS["torch"])
    changed[changed.rindex(b"PK\x06\x07") + 4] = (
        1  # the locator of the directory names another disk
    )
    file.write_bytes(bytes(changed))
    with pytest.raises(
        ValueError, match=r"weights\.pt is damaged \(zipfiles that span multiple disks"
    ):
        read_tensors(file)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FORMATS)))
def test_a_file_with_a_changed_byte_is_read_or_a_value_error(
    data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = bytearray(FORMATS[kind])
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("changed") / "weights.pt"
    file.write_bytes(bytes(changed))
    try:
        tensors = read_tensors(file)
    except ValueError as error:
        assert "weights.pt" in str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert all(isinstance(value, Tensor) for value in tensors.values())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bias": None}, r"mine: 1 tensor is missing \(bias\)$"),
        ({"bias": None, "weight": None}, r"2 tensors are missing \(first: weight\)"),
        ({"gain": torch.ones(1)}, r"1 tensor is unknown \(gain\)$"),
        (
            {"bias": torch.ones(3)},
            r"1 tensor is of another shape \(bias: expected \[2\], got \[3\]\)",
        ),
    ],
    ids=["missing", "both missing", "unknown", "shape"],
)
def test_loading_is_strict_and_names_the_first_fault(
    changes: dict[str, Tensor | None], sentence: str
) -> None:
    content = {"weight": torch.ones(2, 3), "bias": torch.ones(2)} | changes
    with pytest.raises(ValueError, match=sentence):
        load_strictly(
            nn.Linear(3, 2),
            {name: value for name, value in content.items() if value is not None},
            "mine",
        )


def test_ignored_keys_are_passed_over() -> None:
    module, content = (
        nn.Linear(3, 2),
        {"weight": torch.ones(2, 3), "bias": torch.ones(2), "gain": torch.ones(1)},
    )
    load_strictly(module, content, "mine", ignored={"gain"})
    assert torch.equal(module.weight, content["weight"])


def test_text_beside_the_tensors_is_read_from_safetensors_only(file: Path) -> None:
    file.write_bytes(FORMATS["safetensors"])
    assert metadata(file) == {"license": "mine"}
    file.write_bytes(FORMATS["torch"])
    assert metadata(file) == {}
