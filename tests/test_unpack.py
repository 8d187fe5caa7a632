"""`thresh unpack`: what comes back is what the rule would have written without --pack, or nothing."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.files import CODES, write_codes
from tests.harness import listed, refused, thresh
from tests.packs import raw_tensors
from threshcli import packings
from threshcli.containers.base import Contents, OutTensor, Tensor
from threshcli.dtypes import BOOL, DTYPES, DType
from threshcli.packings import bitmask
from threshcli.packings.base import Given
from threshcli.tiles import View, row_major, tiles

KINDS = [DTYPES[name] for name in sorted(set(CODES) - {"float8_e8m0fnu", "complex64"})]
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)
LENIENT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def codes_of(dtype: DType, count: int, seed: int) -> list[int]:
    """Codes of a dtype, many of them zeros, ones, NaN and -0.0."""
    draw = random.Random(seed)
    one = dtype.encode(1.0) if dtype.is_float else 1
    known = [0, one or 0, dtype.sign | 0, dtype.nan] if dtype.is_float else [0, 1]
    highest = 2 if dtype is BOOL else 1 << dtype.bits
    return [draw.choice([*known, draw.randrange(highest)]) for _ in range(count)]


def both(folder: Path, rule: list[str], packing: str, name: str = "x.safetensors") -> tuple[Path, Path]:
    """What a rule writes, and what comes back of it when it was packed."""
    call = [rule[0], folder / name, *rule[1:]]
    plain, small, back = (folder / f"{kind}{Path(name).suffix}" for kind in ("plain", "small", "back"))
    for path in (plain, small, back):
        path.unlink(missing_ok=True)
    for arguments in ([*call, "-o", plain], [*call, "--pack", packing, "-o", small], ["unpack", small, "-o", back]):
        ran = thresh(*arguments, "-q")
        assert ran.status == 0, ran.err
    return plain, back


@LENIENT
@given(st.sampled_from(KINDS), st.lists(SHAPES, min_size=1, max_size=3), st.integers(0, 99), st.booleans())
def test_masks_come_back_in_every_dtype_and_rank(
    tmp_path: Path, dtype: DType, shapes: list[tuple[int, ...]], seed: int, above: bool
) -> None:
    """Whole files: header, metadata, elements."""
    named = {f"t{number}": shape for number, shape in enumerate(shapes)}
    tensors = {name: (dtype, codes_of(dtype, math.prod(shape), seed)) for name, shape in named.items()}
    write_codes(tmp_path / "x.safetensors", tensors, shapes=named, metadata={"format": "pt"})
    levels = ["--above", str(int(above)), "--below", str(int(not above))]
    plain, back = both(tmp_path, ["binary", "-t", "0", *levels], "bits")
    assert back.read_bytes() == plain.read_bytes()


@LENIENT
@given(
    st.sampled_from([*KINDS, DTYPES["complex64"]]),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=3),
    SHAPES,
    st.integers(0, 99),
)
def test_weights_come_back_in_every_dtype(
    tmp_path: Path, dtype: DType, matrices: list[tuple[int, int]], other: tuple[int, ...], seed: int
) -> None:
    """Whole files, -0.0 and NaN included; a tensor of another rank goes through."""
    named = {**{f"m.{number}.weight": shape for number, shape in enumerate(matrices)}, "other": other}
    tensors = {name: (dtype, codes_of(dtype, math.prod(shape), seed)) for name, shape in named.items()}
    write_codes(tmp_path / "x.safetensors", tensors, shapes=named)
    plain, back = both(tmp_path, ["gradient", "-t", "1"], "bitmask")
    assert back.read_bytes() == plain.read_bytes()


def test_negative_zero_and_nan_are_values(tmp_path: Path) -> None:
    codes = [0x8000, 0, 0x7FC1, 0, 0xFFFF, 0x8000]
    write_codes(tmp_path / "x.safetensors", {"a.weight": (DTYPES["bfloat16"], codes)}, shapes={"a.weight": [2, 3]})
    plain, back = both(tmp_path, ["clamp", "--low", "-1"], "bitmask")
    assert raw_tensors(tmp_path / "small.safetensors")["a.compressed"].shape == (4,)
    assert raw_tensors(back)["a.weight"] == raw_tensors(plain)["a.weight"]


@pytest.mark.parametrize("kind", ["<f8", ">f4", "<f2", "|i1", "|b1"])
@pytest.mark.parametrize("shape", [(), (13,), (0, 3), (3, 4, 5)])
def test_npy_comes_back_with_a_shape_or_a_file_that_has_it(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(-1, 2, shape).astype(kind)
    np.save(tmp_path / "x.npy", x)
    mask = tmp_path / "m.npy"
    assert thresh("binary", tmp_path / "x.npy", "-t", "0", "--pack", "bits", "-o", mask).status == 0
    assert thresh("unpack", mask, "--like", tmp_path / "x.npy", "-o", tmp_path / "like.npy").status == 0
    found = np.load(tmp_path / "like.npy")
    assert (found.dtype, found.shape) == (np.dtype(kind).newbyteorder("="), shape)
    assert np.array_equal(found != 0, x > 0)
    written = ",".join(map(str, shape))
    assert thresh("unpack", mask, "--shape", written, "-o", tmp_path / "bool.npy").status == 0
    assert np.array_equal(np.load(tmp_path / "bool.npy"), x > 0)
    ran = thresh("unpack", mask, "--shape", written, "--out-dtype", "int32", "-o", tmp_path / "int.npy", "--json")
    assert np.array_equal(np.load(tmp_path / "int.npy"), (x > 0).astype("i4"))
    assert (ran.tensor["out_dtype"], ran.tensor["packing"], ran.json["command"]) == ("int32", "bits", "unpack")


def test_pt_comes_back_by_the_names_of_a_file_like_it(tmp_path: Path) -> None:
    a, c, d = torch.randn(3, 5), torch.randn(9).half(), torch.arange(4, dtype=torch.uint8)
    torch.save({"a": a, "b": {"c": c}, "n": 3, "d": d}, tmp_path / "x.pt")
    small, back = tmp_path / "small.pt", tmp_path / "back.pt"
    ran = thresh("binary", tmp_path / "x.pt", "-t", "0", "-x", "d", "--pack", "bits", "-o", small)
    assert ran.status == 0, ran.err
    ran = thresh("unpack", small, "--like", tmp_path / "x.pt", "-o", back)
    assert ran.status == 0, ran.err
    assert "bits -> float32" in ran.out
    found = torch.load(back)
    assert torch.equal(found["a"], (a > 0).float())
    assert torch.equal(found["b"]["c"], (c > 0).half())
    assert (found["n"], found["d"].tolist()) == (3, [0, 1, 2, 3])
    refused(thresh("unpack", small, "--shape", "3,5", "-o", tmp_path / "c.pt"), 2, "--shape is for one mask", "--like")


def test_formats_may_change_on_the_way(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((6, 7)).astype("f4")
    np.save(tmp_path / "x.npy", x)
    small = tmp_path / "small.safetensors"
    ran = thresh("gradient", tmp_path / "x.npy", "-t", "1", "-o", small, "--pack", "bits")
    refused(ran, 2, "masks")
    assert thresh("binary", tmp_path / "x.npy", "-t", "1", "-o", small, "--pack", "bits").status == 0
    assert thresh("unpack", small, "-o", tmp_path / "back.npy").status == 0
    assert np.array_equal(np.load(tmp_path / "back.npy"), (x > 1).astype("f4"))


@pytest.mark.parametrize("workers", [("-j", "1", "--max-memory", "2MiB"), ("-j", "3", "--max-memory", "8MiB"), ()])
@pytest.mark.parametrize("alone", [False, True])
def test_workers_change_nothing(tmp_path: Path, workers: tuple[str, ...], alone: bool) -> None:
    torch.manual_seed(0)
    wide = torch.randn(3, 700_001) * (torch.rand(3, 700_001) > 0.9)
    save_file({"a.weight": wide, "b.weight": torch.randn(600, 2048).bfloat16()}, tmp_path / "x.safetensors")
    small, back = tmp_path / "small.safetensors", tmp_path / "back.safetensors"
    call = [tmp_path / "x.safetensors", "-t", "1", *workers]
    assert thresh("gradient", *call, "--pack", "bitmask", "-o", small, alone=alone).status == 0
    assert thresh("unpack", small, "-o", back, *workers, alone=alone).status == 0
    for name, weight in load_file(tmp_path / "x.safetensors").items():
        assert torch.equal(load_file(back)[name], torch.where(weight.abs() > 1, weight, 0))


class _Held:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        assert offset + size <= len(self._data)
        return self._data[offset : offset + size]


@pytest.mark.parametrize("mark", [8, 64, 104])
@pytest.mark.parametrize("columns", [1, 5, 8, 50, 700])
def test_any_stretch_of_elements_can_be_asked_for(mark: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the middle of rows, over notes of how many values came before."""
    monkeypatch.setattr(bitmask, "_MARK", mark)
    rows = -(-700 // columns)
    x = np.random.default_rng(columns).integers(0, 3, rows * columns).astype("u2")
    kind = packings.find("bitmask")
    out = OutTensor("a.weight", DTYPES["uint16"], (rows, columns), (0, 1))
    packed = kind.pack(out, {0: int(np.count_nonzero(x))})
    parts = [bytearray(part.nbytes) for part in packed.parts]
    (tile,) = tiles(len(x), len(x))
    for piece in (*packed.constants(), *packed.pieces(tile, x.view("u1").data)):
        for place, byte in enumerate(bytes(piece.data), piece.offset):
            parts[piece.part][place] |= byte
    places = [sum(map(len, parts[:number])) for number in range(4)]
    tensors = tuple(
        Tensor(part.name, part.dtype, part.shape, View(place, part.shape, row_major(part.shape), part.dtype.itemsize))
        for part, place in zip(packed.parts, places, strict=True)
    )
    reader = _Held(b"".join(parts))
    (folded,) = kind.packed_in(Contents("safetensors", tensors), reader, Given())
    folded.check(reader)
    draw = random.Random(mark)
    for _ in range(60):
        start = draw.randrange(len(x))
        stop = draw.randint(start + 1, len(x))
        assert bytes(folded.elements(reader, start, stop)) == x[start:stop].tobytes()


def test_the_options_of_outputs_are_those_of_rules(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([0x80], "u1"))
    call = ["unpack", tmp_path / "m.npy", "--shape", "2,4"]
    ran = thresh(*call, "-n")
    assert (ran.status, listed(tmp_path)) == (0, ["m.npy"])
    assert "dry run on cpu, nothing was written" in ran.out
    assert thresh(*call, "-O", tmp_path / "out").status == 0
    assert "skipped" in thresh(*call, "-O", tmp_path / "out", "--skip-existing").out
    refused(thresh(*call, "-O", tmp_path / "out"), 5, "exists already")
    refused(thresh(*call), 2, "nowhere to write")
    assert thresh(*call, "--in-place", "--report", "ndjson").out.count("\n") == 2
    assert np.load(tmp_path / "m.npy").tolist() == np.load(tmp_path / "out" / "m.npy").tolist()


def test_packed_tensors_go_through_pipes(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((30, 50)).astype("f4")
    np.save(tmp_path / "x.npy", x)
    line = "$T binary x.npy -t 0 --pack bits -o - -q | $T unpack - --shape 30,50 -o - -q > mask.npy"
    env = os.environ | {"T": f"{sys.executable} -m threshcli"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=tmp_path, env=env, check=True, timeout=60)
    assert np.array_equal(np.load(tmp_path / "mask.npy"), x > 0)


@pytest.mark.parametrize("packing", ["bits", "bitmask"])
def test_what_is_unpacked_already_is_left_alone(tmp_path: Path, packing: str) -> None:
    """And what is of another file, or damaged, is told."""
    save_file({"a.weight": torch.randn(20, 30)}, tmp_path / "x.safetensors")
    small, back = tmp_path / "small.safetensors", tmp_path / "back.safetensors"
    assert thresh("binary", tmp_path / "x.safetensors", "-t", "0", "--pack", packing, "-o", small).status == 0
    call = ["unpack", small, "-o", back, "--skip-existing"]
    assert thresh(*call).status == 0
    before = back.stat().st_mtime_ns
    assert "skipped" in thresh(*call).out
    assert back.stat().st_mtime_ns == before
    back.write_bytes(back.read_bytes()[:-1] + b"\x40")
    refused(thresh(*call), 5, "exists already, with other values")


def test_a_mask_that_has_no_name_is_told_without_one(tmp_path: Path) -> None:
    np.save(tmp_path / "bits.npy", np.zeros(5, np.uint8))
    ran = thresh("unpack", tmp_path / "bits.npy", "--shape", "4,4", "-o", tmp_path / "x.npy")
    refused(ran, 4, "bits.npy: does not hold a mask of shape [4, 4] in bits: that is uint8 of 2 bytes")


@pytest.mark.parametrize("kind", ["bool", "u1", "f4"])
def test_a_mask_of_one_element_is_a_byte_in_bits_too(tmp_path: Path, kind: str) -> None:
    """By the dtype of the file that it is like, or by its bits; another byte is none."""
    np.save(tmp_path / "x.npy", np.ones(1, kind))
    assert thresh("binary", tmp_path / "x.npy", "-t", "0.5", "--pack", "bits", "-o", tmp_path / "m.npy").status == 0
    words = ("--like", tmp_path / "x.npy", "-o", tmp_path / "back.npy")
    assert thresh("unpack", tmp_path / "m.npy", *words).status == 0
    assert (tmp_path / "back.npy").read_bytes() == (tmp_path / "x.npy").read_bytes()
    np.save(tmp_path / "u.npy", np.full(1, 7, "u1"))
    ran = thresh("unpack", tmp_path / "u.npy", "--like", tmp_path / "u.npy", "-o", tmp_path / "no.npy")
    refused(ran, 4, "holds nothing that is packed")


def test_elements_stay_aligned_in_what_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes go back to the order that they had."""
    monkeypatch.chdir(tmp_path)
    tensors = {"a": torch.ones(5, dtype=torch.float64), "b": torch.ones(1, dtype=torch.complex64), "c": torch.ones(16)}
    save_file(tensors, "x.safetensors")
    rule = ("binary", "x.safetensors", "-t", "0.5", "--out-dtype", "bool")
    assert thresh(*rule, "-o", "plain.safetensors").status == 0
    assert thresh(*rule, "--pack", "bits", "-o", "small.safetensors").status == 0
    assert thresh("unpack", "small.safetensors", "-o", "back.safetensors").status == 0
    assert Path("back.safetensors").read_bytes() == Path("plain.safetensors").read_bytes()
