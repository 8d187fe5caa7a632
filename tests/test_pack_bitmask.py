"""`--pack bitmask`: what is left of pruned weights, and a bit for each place, in the layout of compressed-tensors."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.files import CODES, read_codes, write_codes
from tests.harness import listed, refused, thresh
from tests.packs import from_bitmask, metadata, raw_tensors
from threshcli import packings
from threshcli.containers.base import OutTensor
from threshcli.dtypes import DTYPES
from threshcli.tiles import LEAF, Tile, tiles

DENSE = {"rows": (6, 11), "bytes": (5, 16), "column": (9, 1), "row": (1, 17), "none": (0, 4), "thin": (3, 0)}


def write(path: Path, dtype: str) -> None:
    """Matrices of any codes, half of them zero, -0.0 and NaN among them, and tensors of other ranks."""
    draw = random.Random(dtype)
    kind = DTYPES[dtype]
    special = [0, 0, 0, *([kind.sign, kind.nan, 1] if kind.is_float else [1, 3])]
    tensors, shapes = {}, {}
    for name, shape in DENSE.items():
        codes = [draw.choice([*special, draw.randrange(1 << min(kind.bits, 16))]) for _ in range(shape[0] * shape[1])]
        tensors[f"{name}.weight"], shapes[f"{name}.weight"] = (kind, codes), shape
    tensors["rows.bias"] = kind, [0, 1, 0]
    write_codes(path, tensors, shapes=shapes)


@pytest.mark.parametrize("dtype", sorted(set(CODES) - {"bool", "float8_e8m0fnu"}))
def test_the_layout_holds_what_the_rule_writes_to_the_bit(tmp_path: Path, dtype: str) -> None:
    write(tmp_path / "x.safetensors", dtype)
    call = ["gradient", tmp_path / "x.safetensors", "-t", "1", "--no-provenance"]
    dense, small = tmp_path / "dense.safetensors", tmp_path / "small.safetensors"
    assert thresh(*call, "-o", dense).status == 0
    ran = thresh(*call, "-o", small, "--pack", "bitmask", "--json")
    assert ran.status == 0, ran.err
    expected, found = raw_tensors(dense), raw_tensors(small)
    for name in DENSE:
        assert from_bitmask(found, name) == expected[f"{name}.weight"].data
        assert found[f"{name}.compressed"].dtype is DTYPES[dtype]
    assert found["rows.bias"] == expected["rows.bias"]
    assert list(found)[:5] == ["rows.shape", "rows.compressed", "rows.bitmask", "rows.row_offsets", "bytes.shape"]
    assert len(found) == 4 * len(DENSE) + 1
    assert ran.json["files"][0]["bytes_out"] == small.stat().st_size
    told = [(item["out_dtype"], item.get("packing")) for item in ran.json["files"][0]["tensors"]]
    assert told == [(dtype, "bitmask")] * len(DENSE) + [(dtype, None)]


def test_the_reader_of_the_library_gets_the_weights(tmp_path: Path) -> None:
    """By its own function, where it is installed (0.12 has it); a checkpoint of a model as its users have."""
    library = pytest.importorskip("compressed_tensors.compressors.sparse_compressors.sparse_bitmask")
    weights = {f"m.{n}.weight": torch.randn(33, 30 + n).to(dtype) for n, dtype in enumerate(READ)}
    save_file({**weights, "m.norm.weight": torch.ones(33)}, tmp_path / "x.safetensors")
    small, dense = tmp_path / "small.safetensors", tmp_path / "dense.safetensors"
    call = ["gradient", tmp_path / "x.safetensors", "-t", "zero70%"]
    assert thresh(*call, "--pack", "bitmask", "-o", small).status == 0
    assert thresh(*call, "-o", dense).status == 0
    expected = load_file(dense)
    found = dict(library.BitmaskCompressor().decompress(str(small)))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype is value.dtype
        assert torch.equal(found[name].view(torch.uint8), value.view(torch.uint8))
    assert any((value.double() == 0).any() for value in found.values())


READ = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn)


@pytest.mark.parametrize("columns", [1, 3, 8, 1000, 65_537, 300_001])
@pytest.mark.parametrize("leaves", [1, 2, 5])
def test_the_size_of_tiles_changes_nothing(columns: int, leaves: int) -> None:
    """Tiles in any order, rows longer than tiles, many rows in a tile, bits that meet in a byte."""
    rows = -(-5 * LEAF // columns)
    x = np.random.default_rng(columns).integers(-1, 2, (rows, columns)).astype("i2")
    bitmask, out = packings.find("bitmask"), OutTensor("a.weight", DTYPES["int16"], (rows, columns), (0, 1))
    flat = x.reshape(-1)
    cut = list(tiles(len(flat), leaves * LEAF))
    plan = bitmask.pack(out, None)
    sizes = {tile.start: plan.measure(flat[tile.start : tile.stop].view("u1").data) for tile in cut}
    packed = bitmask.pack(out, sizes)
    parts = [bytearray(part.nbytes) for part in packed.parts]
    random.Random(leaves).shuffle(cut)
    for pieces in (packed.constants(), *(packed.pieces(t, flat[t.start : t.stop].view("u1").data) for t in cut)):
        for piece in pieces:
            part, end = parts[piece.part], piece.offset + len(piece.data)
            part[piece.offset : end] = bytes((part[piece.offset] | piece.data[0],)) if piece.shared else piece.data
    shape, values, mask, offsets = parts
    counts = (x != 0).sum(1)
    assert np.frombuffer(shape, "i8").tolist() == [rows, columns]
    assert np.array_equal(np.frombuffer(values, "i2"), x[x != 0])
    assert bytes(mask) == np.packbits(x != 0, axis=1, bitorder="little").tobytes()
    assert np.array_equal(np.frombuffer(offsets, "i8"), np.cumsum(counts) - counts)


@given(st.integers(1, 40), st.integers(0, 400), st.data())
def test_pieces_of_any_cut_make_up_the_bitmask(columns: int, elements: int, data: st.DataObject) -> None:
    """Tiles of any length, so that every way in which rows and tiles can meet is tried."""
    rows = elements // columns
    x = np.random.default_rng(elements).integers(0, 2, rows * columns).astype("u1")
    places = sorted({0, len(x), *data.draw(st.lists(st.integers(0, len(x)), max_size=6))})
    cut = [Tile(a, b) for a, b in pairwise(places)]
    bitmask, out = packings.find("bitmask"), OutTensor("a.weight", DTYPES["uint8"], (rows, columns), (0, 1))
    packed = bitmask.pack(out, {tile.start: int(x[tile.start : tile.stop].sum()) for tile in cut})
    parts = [bytearray(part.nbytes) for part in packed.parts]
    for tile in cut:
        for piece in packed.pieces(tile, x[tile.start : tile.stop].data):
            for place, byte in enumerate(bytes(piece.data), piece.offset):
                assert piece.shared or not parts[piece.part][place]
                parts[piece.part][place] |= byte
    matrix = x.reshape(rows, columns)
    assert bytes(parts[2]) == np.packbits(matrix, axis=1, bitorder="little").tobytes()
    assert np.frombuffer(parts[3], "i8").tolist() == [int(x[: row * columns].sum()) for row in range(rows)]


@pytest.mark.parametrize("workers", [("-j", "1", "--max-memory", "2MiB"), ("-j", "3", "--max-memory", "8MiB"), ()])
@pytest.mark.parametrize("alone", [False, True])
def test_workers_change_nothing(tmp_path: Path, workers: tuple[str, ...], alone: bool) -> None:
    """Threads and processes, large tiles and small ones; rows of whole bytes and rows that meet in one."""
    torch.manual_seed(0)
    weights = {"a.weight": torch.randn(1500, 1001), "b.weight": torch.randn(600, 2048, dtype=torch.bfloat16)}
    save_file(weights, tmp_path / "x.safetensors")
    small = tmp_path / "small.safetensors"
    ran = thresh(
        "gradient", tmp_path / "x.safetensors", "-t", "1", "--pack", "bitmask", "-o", small, *workers, alone=alone
    )
    assert ran.status == 0, ran.err
    found = load_file(small)
    for name, weight in weights.items():
        prefix, stays = name.removesuffix(".weight"), weight.abs() > 1
        assert torch.equal(found[f"{prefix}.compressed"], weight[stays])
        bits = np.packbits(stays.numpy(), axis=1, bitorder="little")
        assert np.array_equal(found[f"{prefix}.bitmask"].numpy(), bits)
        assert torch.equal(found[f"{prefix}.row_offsets"], stays.sum(1).cumsum(0) - stays.sum(1))


@pytest.mark.parametrize("rule", [["nm", "-t", "2:4"], ["hysteresis", "--low", "0", "--high", "1"]])
def test_rules_that_look_sideways_are_asked_twice_and_answer_alike(tmp_path: Path, rule: list[str]) -> None:
    save_file({"a.weight": torch.randn(40, 36)}, tmp_path / "x.safetensors")
    for name, more in (("dense", ()), ("small", ("--pack", "bitmask"))):
        out = tmp_path / f"{name}.safetensors"
        assert thresh(rule[0], tmp_path / "x.safetensors", *rule[1:], *more, "-o", out).status == 0
    dense, small = (raw_tensors(tmp_path / f"{name}.safetensors") for name in ("dense", "small"))
    assert from_bitmask(small, "a") == dense["a.weight"].data


def test_what_cannot_be_packed_stays_as_it_is_and_is_told(tmp_path: Path) -> None:
    tensors = {
        "a.weight": torch.randn(4, 4),
        "norm.weight": torch.randn(4),
        "b.weight": torch.randn(4),
        "c": torch.eye(3),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    out = tmp_path / "y.safetensors"
    ran = thresh("gradient", tmp_path / "x.safetensors", "-t", "0", "--pack", "bitmask", "-o", out)
    assert ran.status == 0, ran.err
    assert "2 tensors (the first: 'b.weight') are not packed: it is no matrix" in ran.out
    assert "tensor 'c' is not packed: its name does not end in .weight" in ran.out
    assert "tensor 'a.weight' takes 116 bytes packed, 64 as it is" in ran.out
    parts = [f"a.{part}" for part in ("bitmask", "compressed", "row_offsets", "shape")]
    assert sorted(read_codes(out)) == [*parts, "b.weight", "c", "norm.weight"]


def test_where_nothing_can_be_packed_the_command_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.eye(3)}, tmp_path / "x.safetensors")
    np.save(tmp_path / "x.npy", np.eye(3))
    call = ["gradient", "-t", "0", "--pack", "bitmask"]
    ran = thresh(*call, tmp_path / "x.safetensors", "-o", tmp_path / "y.safetensors")
    refused(ran, 2, "nothing can be packed: tensor 'w' is not packed: its name does not end in .weight")
    refused(
        thresh(*call, tmp_path / "x.npy", "-o", tmp_path / "y.npy"), 2, "--pack bitmask writes safetensors, not npy"
    )
    refused(thresh(*call, tmp_path / "x.npy", "--in-place"), 2, "not npy", "--to safetensors")
    assert listed(tmp_path) == ["x.npy", "x.safetensors"]


def test_names_that_are_taken_are_refused(tmp_path: Path) -> None:
    save_file({"a.weight": torch.eye(3), "a.shape": torch.ones(1)}, tmp_path / "x.safetensors")
    ran = thresh(
        "gradient", tmp_path / "x.safetensors", "-t", "0", "--pack", "bitmask", "-o", tmp_path / "y.safetensors"
    )
    refused(ran, 2, "two tensors would be called 'a.shape'")


def test_a_dry_run_says_that_it_cannot_know_the_size(tmp_path: Path) -> None:
    save_file({"a.weight": torch.eye(300)}, tmp_path / "x.safetensors")
    ran = thresh("gradient", tmp_path / "x.safetensors", "-t", "0", "--pack", "bitmask", "-n")
    assert ran.status == 0, ran.err
    assert "the size depends on the data: what is told of it is the most that it may be" in ran.out
    assert listed(tmp_path) == ["x.safetensors"]


def test_the_file_gets_smaller_and_the_report_says_by_how_much(tmp_path: Path) -> None:
    save_file({"a.weight": torch.eye(300)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    out = tmp_path / "y.safetensors"
    ran = thresh("gradient", tmp_path / "x.safetensors", "-t", "0", "--pack", "bitmask", "-o", out, "--json")
    (file,) = ran.json["files"]
    assert (file["bytes_in"], file["bytes_out"]) == ((tmp_path / "x.safetensors").stat().st_size, out.stat().st_size)
    assert file["bytes_out"] < file["bytes_in"] / 10
    assert json.loads(metadata(out)["thresh"])["pack"] == "bitmask"
    assert metadata(out)["format"] == "pt"


def test_a_residual_is_dense_and_in_place_works(tmp_path: Path) -> None:
    x = torch.randn(5, 9)
    save_file({"a.weight": x}, tmp_path / "x.safetensors")
    left = tmp_path / "left.safetensors"
    call = ["gradient", tmp_path / "x.safetensors", "-t", "1", "--pack", "bitmask", "--in-place"]
    ran = thresh(*call, "--residual", left)
    assert ran.status == 0, ran.err
    assert torch.equal(load_file(left)["a.weight"], torch.where(x.abs() > 1, 0, x))
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a.compressed"], x[x.abs() > 1])
    assert listed(tmp_path) == ["left.safetensors", "x.safetensors"]


def test_what_fails_on_the_first_pass_leaves_nothing(tmp_path: Path) -> None:
    save_file({"a.weight": torch.tensor([[float("nan")]])}, tmp_path / "x.safetensors")
    call = ["gradient", tmp_path / "x.safetensors", "-t", "1", "--nan", "error", "--pack", "bitmask"]
    refused(thresh(*call, "-o", tmp_path / "y.safetensors"), 4, "holds NaN")
    assert listed(tmp_path) == ["x.safetensors"]


@pytest.mark.parametrize(
    "call", [["gradient", "-t", "zero60%", "--pack", "bitmask"], ["binary", "-t", "0", "--pack", "bits"]]
)
def test_what_the_output_tells_of_itself_makes_it_again(tmp_path: Path, call: list[str]) -> None:
    x, first, second, back = (tmp_path / f"{name}.safetensors" for name in ("x", "first", "second", "back"))
    save_file({"a.weight": torch.randn(9, 13), "b": torch.randn(5)}, x)
    assert thresh(*call, x, "-o", first).status == 0
    ran = thresh("run", first, x, "-o", second)
    assert ran.status == 0, ran.err
    assert second.read_bytes() == first.read_bytes()
    assert thresh("unpack", first, "-o", back).status == 0
    assert thresh(*call[:3], x, "-o", tmp_path / "plain.safetensors").status == 0
    assert back.read_bytes() == (tmp_path / "plain.safetensors").read_bytes()


def test_several_steps_are_packed_as_one(tmp_path: Path) -> None:
    save_file({"a.weight": torch.randn(9, 13)}, tmp_path / "x.safetensors")
    steps = 'steps = [{ rule = "clamp", low = -1, high = 1 }, { rule = "hard", threshold = 0.5 }]'
    (tmp_path / "recipe.toml").write_text(f"[[rules]]\n{steps}\n")
    call = ["run", tmp_path / "recipe.toml", tmp_path / "x.safetensors"]
    assert thresh(*call, "-o", tmp_path / "dense.safetensors").status == 0
    assert thresh(*call, "-o", tmp_path / "small.safetensors", "--pack", "bitmask").status == 0
    dense, small = (raw_tensors(tmp_path / f"{name}.safetensors") for name in ("dense", "small"))
    assert from_bitmask(small, "a") == dense["a.weight"].data
    refused(thresh(*call, "-n", "--pack", "bits"), 2, "masks of 0 and 1")


def test_rows_without_elements_do_not_fill_the_disk(tmp_path: Path) -> None:
    """A header may claim any number of them; few are packed as any others."""
    for rows, status in ((1 << 10, 0), (1 << 40, 2), (1 << 60, 2)):
        header = f'{{"a.weight":{{"dtype":"F32","shape":[{rows},0],"data_offsets":[0,0]}}}}'.encode()
        (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        out = tmp_path / f"{rows}.safetensors"
        ran = thresh("gradient", tmp_path / "x.safetensors", "-t", "0", "--pack", "bitmask", "-o", out)
        assert ran.status == status, ran.err
        assert out.exists() == (not status)
    refused(ran, 2, "nothing can be packed", "it has rows and no elements")
