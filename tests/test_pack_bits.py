"""`--pack bits`: masks at a bit an element."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.files import read_codes, write_codes
from tests.harness import listed, refused, thresh
from tests.packs import from_bits, metadata
from threshcli import apply, packings
from threshcli.containers.base import OutTensor
from threshcli.dtypes import DTYPES
from threshcli.errors import UsageError
from threshcli.packings.base import Packing
from threshcli.tiles import LEAF, tiles

SHAPES = [(), (1,), (7,), (8,), (0,), (3, 5), (2, 0, 3), (3, 4, 5), (2, 3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_has_the_mask_back_in_a_line(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(len(shape)).standard_normal(shape).astype("f4")
    np.save(tmp_path / "x.npy", x)
    ran = thresh("binary", tmp_path / "x.npy", "-t", "0.1", "--pack", "bits", "-o", tmp_path / "m.npy", "--json")
    assert ran.status == 0, ran.err
    packed = np.load(tmp_path / "m.npy")
    assert (packed.dtype, packed.shape) == (np.dtype("u1"), (-(-math.prod(shape) // 8),))
    assert np.array_equal(from_bits(packed, shape), x > 0.1)
    assert (ran.tensor["out_dtype"], ran.tensor["packing"], ran.tensor["shape"]) == ("uint8", "bits", [*shape])
    assert ran.json["params"]["pack"] == "bits"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f8", ">f4", "<i2", "u1"])
def test_bits_are_in_c_order_whatever_the_order_of_the_input(tmp_path: Path, kind: str, order: str) -> None:
    x = np.arange(60).reshape(3, 4, 5).astype(kind)
    np.save(tmp_path / "x.npy", np.asarray(x, order=order))  # type: ignore[call-overload]
    assert thresh("binary", tmp_path / "x.npy", "-t", "31", "--pack", "bits", "-o", tmp_path / "m.npy").status == 0
    assert np.array_equal(from_bits(np.load(tmp_path / "m.npy"), x.shape), x > 31)


@given(st.integers(0, 3 * LEAF + 9), st.integers(1, 3))
def test_the_size_of_tiles_changes_nothing(elements: int, leaves: int) -> None:
    mask = np.random.default_rng(elements).integers(0, 2, elements).astype("f2")
    packed = packings.find("bits").pack(OutTensor("m", DTYPES["float16"], (elements,), (0,)), None)
    out = bytearray(packed.parts[0].nbytes)
    for tile in tiles(elements, leaves * LEAF):
        for piece in packed.pieces(tile, mask[tile.start : tile.stop].view("u1").data):
            assert not piece.shared
            out[piece.offset : piece.offset + len(piece.data)] = piece.data
    assert bytes(out) == np.packbits(mask != 0).tobytes()


@pytest.mark.parametrize("workers", [("-j", "1"), ("-j", "3", "--max-memory", "8MiB")])
@pytest.mark.parametrize("alone", [False, True])
def test_workers_change_nothing(tmp_path: Path, workers: tuple[str, ...], alone: bool) -> None:
    x = np.random.default_rng(3).standard_normal(2_300_003).astype("f4")
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "m.npy"
    ran = thresh("binary", tmp_path / "x.npy", "-t", "0", "--pack", "bits", "-o", out, *workers, alone=alone)
    assert ran.status == 0, ran.err
    assert np.array_equal(np.load(out), np.packbits(x > 0))


def test_safetensors_tells_what_was_packed_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    codes = {"a": (DTYPES["uint8"], [0, 200, 3] * 5), "b": (DTYPES["float32"], [7] * 6)}
    write_codes(tmp_path / "x.safetensors", codes, shapes={"a": [3, 5]}, metadata={"format": "pt"})
    out = tmp_path / "m.safetensors"
    ran = thresh("binary", tmp_path / "x.safetensors", "-t", "9", "-k", "a", "--pack", "bits", "-o", out)
    assert ran.status == 0, ran.err
    found = read_codes(out)
    assert found["a"] == (DTYPES["uint8"], np.packbits([0, 1, 0] * 5).tolist())
    assert found["b"] == codes["b"]
    told = metadata(out)
    assert json.loads(told["thresh.bits"]) == {"a": {"dtype": "uint8", "shape": [3, 5]}}
    assert (told["format"], json.loads(told["thresh"])["pack"]) == ("pt", "bits")
    assert "uint8 -> bits" in ran.out


def test_elements_of_others_stay_aligned(tmp_path: Path) -> None:
    codes = {"a": (DTYPES["uint8"], [0, 200, 3, 4] * 5), "b": (DTYPES["uint8"], [7] * 4), "c": (DTYPES["float32"], [7])}
    write_codes(tmp_path / "x.safetensors", codes)
    out = tmp_path / "m.safetensors"
    assert thresh("binary", tmp_path / "x.safetensors", "-t", "9", "-k", "a", "--pack", "bits", "-o", out).status == 0
    raw = out.read_bytes()
    entry = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["c"]
    assert entry["data_offsets"][0] % 4 == 0
    assert read_codes(out)["c"] == codes["c"]


def test_pt_holds_bits_with_sound_checksums(tmp_path: Path) -> None:
    x, y = torch.randn(5, 7).t(), torch.ones(3)
    torch.save({"x": x, "y": y, "tied": x}, tmp_path / "x.pt")
    out = tmp_path / "m.pt"
    ran = thresh("binary", tmp_path / "x.pt", "-t", "0", "-k", "x", "--pack", "bits", "-o", out)
    assert ran.status == 0, ran.err
    found = torch.load(out)
    assert np.array_equal(from_bits(found["x"].numpy(), (7, 5)), x.numpy() > 0)
    assert torch.equal(found["tied"], found["x"])
    assert torch.equal(found["y"], y)
    assert thresh("stats", out).status == 0  # which reads every byte, and checks its CRC-32


@pytest.mark.parametrize(
    "rule",
    [
        ["binary", "-t", "0", "--above", "0", "--below", "1"],
        ["band", "--low", "-1", "--high", "1", "--binary"],
        ["hysteresis", "--low", "0", "--high", "1"],
        ["levels", "-t", "0"],
        ["binary", "-t", "0", "--nan", "fill=1"],
        ["binary", "-t", "p50", "--out-dtype", "bool"],
    ],
)
def test_masks_of_all_rules_hold_what_they_would_without(tmp_path: Path, rule: list[str]) -> None:
    x = np.random.default_rng(1).standard_normal((9, 11)).astype("f4")
    x[0, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    for more in ([], ["--pack", "bits"]):
        ran = thresh(rule[0], tmp_path / "x.npy", *rule[1:], *more, "-o", tmp_path / f"{len(more)}.npy")
        assert ran.status == 0, ran.err
    plain, packed = (np.load(tmp_path / f"{number}.npy") for number in (0, 2))
    assert np.array_equal(from_bits(packed, x.shape), plain)


@pytest.mark.parametrize(
    "rule",
    [
        ["binary", "-t", "0", "--above", "255"],
        ["binary", "-t", "0", "--nan", "fill=2"],
        ["binary", "-t", "0", "--nan", "keep"],
        ["band", "--low", "-1", "--high", "1"],
        ["gradient", "-t", "1"],
        ["levels", "-t", "0,1"],
        ["levels", "-t", "multiotsu:3"],
    ],
)
def test_what_is_no_mask_is_refused_before_work(tmp_path: Path, rule: list[str]) -> None:
    np.save(tmp_path / "x.npy", np.arange(9.0))
    refused(thresh(rule[0], tmp_path / "x.npy", *rule[1:], "--pack", "bits", "-n"), 2, "masks of 0 and 1")


def test_an_unknown_packing_is_refused(tmp_path: Path) -> None:
    ran = thresh("binary", tmp_path / "x.npy", "-t", "0", "--pack", "zip", "-n")
    refused(ran, 2, "--pack zip is no packing", "bitmask, bits")


def test_a_dry_run_knows_the_size(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((100, 8), "f4"))
    size = len((tmp_path / "x.npy").read_bytes())
    ran = thresh("binary", tmp_path / "x.npy", "-t", "0", "--pack", "bits", "-n", "--json")
    assert (ran.json["files"][0]["bytes_in"], ran.json["files"][0]["bytes_out"]) == (size, 128 + 100)
    assert listed(tmp_path) == ["x.npy"]


def test_in_place_and_residuals_go_with_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20.0))
    assert thresh("binary", tmp_path / "x.npy", "-t", "9", "--pack", "bits", "--in-place").status == 0
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.packbits(np.arange(20) > 9))


@pytest.mark.parametrize("name", packings.names())
def test_a_packing_is_found_by_its_name_and_documented(name: str) -> None:
    found = packings.find(name)
    assert isinstance(found, Packing)
    assert found.name == name
    assert type(found).__doc__
    with pytest.raises(UsageError):
        packings.find(name + "x")


def test_from_python_and_in_tables_for_programs(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20.0))
    report = apply("binary", tmp_path / "x.npy", threshold=9, pack="bits", output=tmp_path / "m.npy")
    assert report.files[0].tensors[0].packing == "bits"
    assert np.array_equal(np.load(tmp_path / "m.npy"), np.packbits(np.arange(20) > 9))
    call = ["binary", tmp_path / "x.npy", "-t", "9", "--report", "tsv", "-n"]
    for words, packing in ([*call, "--pack", "bits"], "bits"), (call, ""):
        names, values = (line.split("\t") for line in thresh(*words).out.splitlines())
        assert dict(zip(names, values, strict=True))["packing"] == packing
