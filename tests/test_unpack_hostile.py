"""`thresh unpack` of files that lie: one clear error, and no output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.files import write_codes
from tests.harness import listed, refused, thresh
from threshcli.dtypes import DTYPES, INT64, UINT8, DType


def damaged(path: Path, name: str, place: int, data: bytes) -> None:
    """Bytes of a tensor of a safetensors file written over."""
    text = bytearray(path.read_bytes())
    length = int.from_bytes(text[:8], "little")
    first = 8 + length + json.loads(text[8 : 8 + length])[name]["data_offsets"][0]
    text[first + place : first + place + len(data)] = data
    path.write_bytes(text)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A packed matrix of 4 x 10."""
    save_file({"a.weight": torch.eye(4, 10)}, tmp_path / "x.safetensors")
    small = tmp_path / "small.safetensors"
    assert thresh("gradient", tmp_path / "x.safetensors", "-t", "0", "--pack", "bitmask", "-o", small).status == 0
    (tmp_path / "x.safetensors").unlink()
    return small


@pytest.mark.parametrize(
    ("name", "place", "data", "said"),
    [
        ("a.row_offsets", 8, b"\x02", "row_offsets are not those of its bitmask"),
        ("a.row_offsets", 24, b"\xff" * 8, "row_offsets are not those of its bitmask"),
        ("a.bitmask", 7, b"\x01", "bitmask has 5 bits set for 4 values"),
        ("a.bitmask", 6, b"\x00", "bitmask has 3 bits set for 4 values"),
        ("a.bitmask", 0, b"\x00", "row_offsets are not those of its bitmask"),
        ("a.shape", 0, b"\x05", "its bitmask uint8 of shape [4, 2]"),
        ("a.shape", 8, b"\xff" * 8, "its shape is [4, -1]"),
        ("a.shape", 0, b"\xff" * 16, "its shape is [-1, -1]"),
        ("a.shape", 0, b"\x00\x00\x00\x00\x00\x00\x00\x40" * 2, "its bitmask uint8"),
    ],
)
def test_parts_that_lie_are_refused_and_nothing_is_written(
    weights: Path, name: str, place: int, data: bytes, said: str
) -> None:
    damaged(weights, name, place, data)
    refused(thresh("unpack", weights, "-o", weights.parent / "y.safetensors"), 4, "'a.weight'", said)
    assert listed(weights.parent) == ["small.safetensors"]


def test_bits_behind_the_end_of_a_row_mean_nothing(weights: Path) -> None:
    """As for the library's reader."""
    damaged(weights, "a.bitmask", 1, b"\xfc")
    assert thresh("unpack", weights, "-o", weights.parent / "y.safetensors").status == 0
    assert torch.equal(load_file(weights.parent / "y.safetensors")["a.weight"], torch.eye(4, 10))


PARTS: dict[str, tuple[DType, list[int], list[int]]] = {
    "a.shape": (INT64, [2, 3], [2]),
    "a.compressed": (DTYPES["int8"], [5], [1]),
    "a.bitmask": (UINT8, [1, 0], [2, 1]),
    "a.row_offsets": (INT64, [0, 1], [2]),
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"a.shape": (INT64, [2, 3, 1], [3])}, "its shape is int64 of shape [3], where a matrix has"),
        ({"a.shape": (DTYPES["int32"], [2, 3], [2])}, "its shape is int32"),
        ({"a.compressed": (DTYPES["int8"], [5], [1, 1])}, "its values are int8 of shape [1, 1]"),
        ({"a.bitmask": (DTYPES["int8"], [1, 0], [2, 1])}, "its bitmask int8"),
        ({"a.row_offsets": (INT64, [0, 1, 1], [3])}, "its row_offsets int64 of shape [3]"),
        ({"a.shape": (INT64, [2, 0], [2]), "a.bitmask": (UINT8, [], [2, 0])}, "row_offsets are not those"),
        ({"a.shape": (INT64, [0, (1 << 64) - 8], [2]), "a.bitmask": (UINT8, [], [0, 0])}, "its shape is [0, -8]"),
        ({"a.weight": (UINT8, [1], [1])}, "it is there as it was, too"),
    ],
)
def test_parts_of_other_dtypes_and_shapes_are_refused(
    tmp_path: Path, changed: dict[str, tuple[DType, list[int], list[int]]], said: str
) -> None:
    parts = PARTS | changed
    write_codes(
        tmp_path / "x.safetensors",
        {name: part[:2] for name, part in parts.items()},
        shapes={name: part[2] for name, part in parts.items()},
    )
    ran = thresh("unpack", tmp_path / "x.safetensors", "-o", tmp_path / "y.safetensors")
    refused(ran, 4, said)
    assert listed(tmp_path) == ["x.safetensors"]


def test_parts_without_metadata_are_found_by_their_names(tmp_path: Path) -> None:
    """Three of the four are tensors like any other."""
    for number, names in enumerate((list(PARTS), list(PARTS)[:3])):
        write_codes(
            tmp_path / f"{number}.safetensors",
            {name: PARTS[name][:2] for name in names},
            shapes={name: PARTS[name][2] for name in names},
        )
    assert thresh("unpack", tmp_path / "0.safetensors", "-o", tmp_path / "y.safetensors").status == 0
    assert load_file(tmp_path / "y.safetensors")["a.weight"].tolist() == [[5, 0, 0], [0, 0, 0]]
    refused(thresh("unpack", tmp_path / "1.safetensors", "-n"), 4, "holds nothing that is packed")


@pytest.mark.parametrize(
    "told",
    [
        "{",
        "[" * 100_000,
        "[]",
        '{"m": []}',
        '{"m": {"dtype": "bool"}}',
        '{"m": {"dtype": "bool", "shape": [-1, -16]}}',
        '{"m": {"dtype": "bool", "shape": [1.5]}}',
        '{"m": {"dtype": "bool", "shape": [true]}}',
        '{"m": {"dtype": "object", "shape": [16]}}',
        '{"m": {"dtype": 3, "shape": [16]}}',
        '{"m": {"dtype": "bool", "shape": [1000000000000, 1000000000000]}}',
        '{"m": {"dtype": "bool", "shape": [17]}}',
        '{"n": {"dtype": "bool", "shape": [16]}}',
    ],
)
def test_metadata_that_lies_is_refused(tmp_path: Path, told: str) -> None:
    write_codes(tmp_path / "x.safetensors", {"m": (UINT8, [1, 2])}, metadata={"thresh.bits": told})
    ran = thresh("unpack", tmp_path / "x.safetensors", "-o", tmp_path / "y.safetensors")
    refused(ran, 4, "mask")
    assert listed(tmp_path) == ["x.safetensors"]


@pytest.mark.parametrize("options", [["--shape", "3,5"], ["--shape", "25"], ["--like", "like.npy"]])
def test_a_shape_that_does_not_fit_is_refused(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("like.npy", np.zeros((4, 4, 4)))
    np.save("m.npy", np.zeros(3, "u1") if options != ["--shape", "3,5"] else np.zeros((2, 1), "u1"))
    refused(thresh("unpack", "m.npy", *options, "-o", "y.npy"), 4 if "25" in options or "--like" in options else 2)
    assert listed(tmp_path) == ["like.npy", "m.npy"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shape", "3,a"], "is no shape"),
        (["--shape", "3,-1"], "is no shape"),
        (["--shape", "1," * 300 + "1"], "is no shape"),
        (["--shape", "16", "--like", "m.npy"], "exclude each other"),
        (["--shape", "16", "--out-dtype", "float9"], "is not a dtype"),
        (["--shape", "16", "--out-dtype", "complex64"], "a mask cannot be complex64"),
        (["--shape", "16", "--out-dtype", "float8_e8m0fnu"], "a mask cannot be float8_e8m0fnu"),
        (["--shape", "16", "--out-dtype", "bfloat16"], "cannot be stored in .npy"),
        (["--like", "nowhere.npy"], "no such file"),
        ([], "holds nothing that is packed"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("m.npy", np.zeros(2, "u1"))
    ran = thresh("unpack", "m.npy", *options, "-o", "y.npy")
    refused(ran, 4 if "nothing" in said or "such" in said else 2, said)
    assert listed(tmp_path) == ["m.npy"]


def test_a_damaged_archive_is_noticed_though_its_bits_go_elsewhere(tmp_path: Path) -> None:
    torch.save({"m": torch.arange(256, dtype=torch.uint8)}, tmp_path / "x.pt")
    raw = bytearray((tmp_path / "x.pt").read_bytes())
    place = raw.index(bytes(range(100, 200)))
    raw[place] ^= 1
    (tmp_path / "x.pt").write_bytes(raw)
    refused(thresh("unpack", tmp_path / "x.pt", "--shape", "2048", "-o", tmp_path / "y.pt"), 4, "is damaged")
    assert listed(tmp_path) == ["x.pt"]


@pytest.mark.parametrize(
    ("packing", "part"), [("bits", "m"), ("bitmask", "m.compressed"), ("bitmask", "m.shape"), ("bitmask", "m.bitmask")]
)
def test_a_rule_does_not_take_for_numbers_what_is_packed(tmp_path: Path, packing: str, part: str) -> None:
    name = {"bits": "m", "bitmask": "m.weight"}[packing]
    save_file({name: torch.eye(4), "other": torch.ones(3)}, tmp_path / "x.safetensors")
    small = tmp_path / "small.safetensors"
    rule = ["binary", "-t", "0", "-k", name]
    assert thresh(*rule, tmp_path / "x.safetensors", "--pack", packing, "-o", small).status == 0
    ran = thresh("binary", small, "-t", "0", "-k", part, "-o", tmp_path / "y.safetensors")
    refused(ran, 2, f"tensor {part!r} is packed, as {packing}", "thresh unpack")
    assert thresh("binary", small, "-t", "0", "-k", "other", "-o", tmp_path / "y.safetensors").status == 0
    assert thresh("unpack", tmp_path / "y.safetensors", "-o", tmp_path / "z.safetensors").status == 0
    assert torch.equal(load_file(tmp_path / "z.safetensors")[name], torch.eye(4))


@pytest.mark.parametrize("packing", ["bits", "bitmask"])
def test_what_was_packed_before_is_still_known_when_more_is_packed(tmp_path: Path, packing: str) -> None:
    tensors = {"a.weight": torch.eye(4), "b.weight": torch.ones(3, 5)}
    save_file(tensors, tmp_path / "0.safetensors")
    for step, name in enumerate(tensors):
        call = ["binary", tmp_path / f"{step}.safetensors", "-t", "0", "-k", name, "--pack", packing]
        assert thresh(*call, "-o", tmp_path / f"{step + 1}.safetensors").status == 0
    assert thresh("unpack", tmp_path / "2.safetensors", "-o", tmp_path / "back.safetensors").status == 0
    found = load_file(tmp_path / "back.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {n: v.tolist() for n, v in tensors.items()}


@pytest.mark.parametrize("told", ["{", "{}", "[1]", "[" * 100_000])
def test_names_of_packed_weights_that_cannot_be_read_are_refused(tmp_path: Path, told: str) -> None:
    write_codes(tmp_path / "x.safetensors", {"m": (UINT8, [1, 2])}, metadata={"thresh.bitmask": told})
    ran = thresh("binary", tmp_path / "x.safetensors", "-t", "0", "-o", tmp_path / "y.safetensors")
    refused(ran, 4, "does not tell of packed weights")
