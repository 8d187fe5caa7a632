"""`nm`: of every M neighbours the N largest magnitudes stay."""

from __future__ import annotations

import importlib
import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.files import read_codes, write_codes
from tests.harness import refused, thresh
from tests.kernel_sets import SETS
from tests.reference import decode, is_nan, size, special
from tests.strategies import REAL
from threshcli.dtypes import DTYPES, DType
from threshcli.engine import ranking
from threshcli.executors.local import Executor
from threshcli.kernels.base import Scalar
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.rules.nm import Nm
from threshcli.sideways.nm import nm_mask
from threshcli.spec import NofM

Array = npt.NDArray[Any]
SIGNED = [dtype for dtype in REAL if dtype.signed]


def largest(sizes: Sequence[Any], n: int) -> set[int]:
    """The places of the n largest, NaN first, of equal ones those at lower places: in plain Python."""
    return set(
        sorted(range(len(sizes)), key=lambda place: (not is_nan(sizes[place]), -_number(sizes[place]), place))[:n]
    )


def _number(value: Any) -> Any:
    return 0 if is_nan(value) else value


def stays(sizes: Sequence[Any], n: int, m: int) -> list[bool]:
    """What stays of a row of magnitudes."""
    found: list[bool] = []
    for start in range(0, len(sizes), m):
        group = sizes[start : start + m]
        kept = largest(group, -(-n * len(group) // m))
        found += [place in kept for place in range(len(group))]
    return found


def wanted(x: Array, n: int, m: int, axis: int) -> Array:
    """What `nm` makes of an array, row by row."""
    rows = np.moveaxis(x, axis, -1)
    out = np.zeros_like(rows)
    for index in np.ndindex(rows.shape[:-1]):
        row = [abs(value) if isinstance(value, float) else abs(int(value)) for value in rows[index].tolist()]
        out[index] = np.where(stays(row, n, m), rows[index], 0)
    return np.moveaxis(out, -1, axis)


@pytest.mark.parametrize("dtype", SIGNED, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("pattern", ["2:4", "1:3", "3:4", "1:1"])
def test_groups_keep_their_largest_in_every_dtype(pattern: str, dtype: DType, tmp_path: Path) -> None:
    """Ties, NaN, infinities, zeros of both signs, the least integer; kept elements keep their bits."""
    n, m = map(int, pattern.split(":"))
    pick = random.Random(f"{pattern} {dtype.name}")
    hard = special(dtype)
    codes = [pick.choice(hard if pick.random() < 0.8 else hard[:3]) for _ in range(300 * m)]
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, codes)})
    ran = thresh("nm", tmp_path / "x.safetensors", "-t", pattern, "-o", tmp_path / "y.safetensors", "--json")
    assert ran.status == 0, ran.err
    keep = stays([size(decode(code, dtype)) for code in codes], n, m)
    assert read_codes(tmp_path / "y.safetensors")["x"][1] == [
        code if kept else 0 for code, kept in zip(codes, keep, strict=True)
    ]
    nan = [is_nan(decode(code, dtype)) for code in codes]
    assert ran.tensor["nan"] == sum(nan)
    assert ran.tensor["kept"] == sum(kept and not missing for kept, missing in zip(keep, nan, strict=True))


@pytest.mark.parametrize(("n", "m"), [(n, m) for m in range(1, 6) for n in range(1, m + 1)])
def test_every_group_of_few_values_is_ranked_as_it_should(n: int, m: int) -> None:
    """All of them: every order, every tie."""
    groups = list(itertools.product(range(3 if m == 5 else 4), repeat=m))
    found = nm_mask(np.array(groups, np.uint32), n, m)
    assert found.tolist() == [stays(group, n, m) for group in groups]
    along = nm_mask(np.array(groups, np.uint32).T, n, m, axis=0)
    assert (along == found.T).all()


@settings(max_examples=80)
@given(data=st.data())
def test_groups_of_any_size_along_any_axis(data: st.DataObject) -> None:
    """Large groups are sorted, small ones compared; the last may be short."""
    m = data.draw(st.integers(1, 40))
    n = data.draw(st.integers(1, m))
    shape = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = data.draw(st.integers(0, 2 * m + 2))
    keys = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 6, shape, np.uint8)
    rows = np.moveaxis(nm_mask(keys, n, m, axis=axis, partial=True), axis, -1)
    for index in np.ndindex(rows.shape[:-1]):
        assert rows[index].tolist() == stays(np.moveaxis(keys, axis, -1)[index].tolist(), n, m)
    if shape[axis] % m:
        with pytest.raises(ValueError, match="does not divide"):
            nm_mask(keys, n, m, axis=axis)


def test_the_least_integer_is_the_largest_magnitude(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([127, -128, -127, 127], np.int8))
    assert thresh("nm", tmp_path / "x.npy", "-t", "1:4", "-o", tmp_path / "y.npy", "-q").status == 0
    assert np.load(tmp_path / "y.npy").tolist() == [0, -128, 0, 0]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("shape", [(8, 12, 4), (4, 9, 20)])
@pytest.mark.parametrize("form", ["C", "F", "big-endian"])
def test_axes_memory_order_and_byte_order_change_nothing(
    form: str, shape: tuple[int, ...], axis: int, tmp_path: Path
) -> None:
    x = np.random.default_rng(1).integers(-9, 9, shape).astype("f4")
    np.save(tmp_path / "x.npy", {"C": x, "F": np.asfortranarray(x), "big-endian": x.astype(">f4")}[form])
    ran = thresh("nm", tmp_path / "x.npy", "-t", "2:4", "--axis", axis, "--partial", "-o", tmp_path / "y.npy", "-q")
    assert ran.status == 0, ran.err
    assert np.array_equal(np.load(tmp_path / "y.npy"), wanted(x, 2, 4, axis))


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize(("pattern", "axis", "shape"), [
    ("2:4", -1, (2, 70_000)), ("2:4", 0, (16, 2, 3001)), ("1:3", 1, (2, 40_001, 2)), ("5:7", 0, (21, 5_000)),
    ("2:4", 1, (512, 4, 64)),
])  # fmt: skip
def test_tiles_workers_memory_and_kernels_change_nothing(
    name: str, pattern: str, axis: int, shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks made in the tile, and before: with little memory groups are even cut into columns."""
    x = np.random.default_rng(2).integers(-30, 30, shape).astype("f4")
    np.save(tmp_path / "x.npy", x)
    n, m = map(int, pattern.split(":"))
    found = set()
    for number, (jobs, memory, share) in enumerate([(1, 64 << 20, 24), (2, 1 << 22, 24), (3, 64 << 20, 1 << 16)]):
        monkeypatch.setattr(ranking, "_SHARE", share)
        request = Request.of(
            rule=Nm(threshold=NofM(n, m), axis=axis, partial=True), command="nm", thresholds={}, specs={},
            names=Names(output=str(tmp_path / f"{number}.npy")), jobs=jobs, max_memory=memory,
        )  # fmt: skip
        jobs_ = request.names.jobs([str(tmp_path / "x.npy")])
        result = Executor(request, kernels=("cpu", SETS[name])).run(jobs_)
        assert result.status == "ok", result.files[0].error
        found.add((tmp_path / f"{number}.npy").read_bytes())
    assert len(found) == 1
    keys = np.abs(x).astype(np.uint8)
    assert np.array_equal(np.load(tmp_path / "0.npy"), np.where(nm_mask(keys, n, m, axis=axis, partial=True), x, 0))


@given(
    outer=st.integers(0, 4),
    length=st.integers(0, 30),
    inner=st.integers(1, 30),
    m=st.integers(1, 9),
    most=st.integers(1, 99),
)
def test_boxes_hold_whole_groups_and_each_element_once(outer: int, length: int, inner: int, m: int, most: int) -> None:
    seen = np.zeros(outer * length * inner, int)
    places = np.arange(seen.size).reshape(outer, length, inner)
    for box in ranking.boxes(outer, length, inner, m, most):
        rows = [np.arange(box.elements) + box.start + row * box.step for row in range(box.rows)]
        held = np.concatenate(rows).reshape(box.shape)
        seen[held] += 1
        first, _, column = (int(axis[0]) for axis in np.nonzero(places == held[0, 0, 0]))
        whole = places[first : first + box.shape[0], :, column : column + box.shape[2]]
        start = int(np.flatnonzero(whole[0, :, 0] == held[0, 0, 0])[0])
        assert np.array_equal(whole[:, start : start + box.shape[1]], held)
        assert start % m == 0
        assert box.shape[1] % m == 0 or start + box.shape[1] == length
        assert held.size <= max(most, m)
    assert (seen == 1).all()


def test_tensors_in_files_of_many_and_of_any_container(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(6, 8), "b": torch.randn(16), "norm": torch.ones(3), "empty": torch.zeros(0, 4)}
    torch.save({**tensors, "turned": tensors["a"].T}, tmp_path / "x.pt")
    ran = thresh("nm", tmp_path / "x.pt", "-t", "2:4", "-x", "norm", "-x", "turned", "-o", tmp_path / "y.pt", "-q")
    assert ran.status == 0, ran.err
    found = torch.load(tmp_path / "y.pt", weights_only=True)
    for name in ("a", "b"):
        assert np.array_equal(found[name].numpy(), wanted(tensors[name].numpy(), 2, 4, -1))
    assert torch.equal(found["norm"], tensors["norm"])
    assert found["empty"].shape == (0, 4)
    ran = thresh("nm", tmp_path / "x.pt", "-t", "2:4", "-k", "turned", "--axis", 0, "-o", tmp_path / "z.pt", "-q")
    assert ran.status == 0, ran.err
    assert torch.equal(torch.load(tmp_path / "z.pt", weights_only=True)["turned"], found["a"].T)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_the_result_is_a_pattern_that_torch_compresses(dtype: str, tmp_path: Path) -> None:
    """to_sparse_semi_structured works on accelerators only; its conversion, there and back, works here, and loses
    whatever breaks the pattern."""
    conversions = importlib.import_module("torch.sparse._semi_structured_conversions")
    x = (torch.randn(64, 128) * 20).to(getattr(torch, dtype))
    torch.save(x, tmp_path / "x.pt")
    assert thresh("nm", tmp_path / "x.pt", "-t", "2:4", "-o", tmp_path / "y.pt", "-q").status == 0
    made = torch.load(tmp_path / "y.pt", weights_only=True)
    there = conversions.sparse_semi_structured_from_dense_cutlass(made)
    assert torch.equal(conversions.sparse_semi_structured_to_dense_cutlass(*there), made)


def test_nan_that_is_not_among_the_largest_goes_and_the_pattern_holds(tmp_path: Path) -> None:
    """--nan is for the NaN that stays."""
    np.save(tmp_path / "x.npy", np.array([math.nan, 1, math.nan, math.nan, 5, math.nan, 0, 9]))
    for policy, stay in (("keep", math.nan), ("fill=7", 7.0)):
        ran = thresh("nm", tmp_path / "x.npy", "-t", "2:4", "--nan", policy, "-o", tmp_path / f"{policy}.npy", "-q")
        assert ran.status == 0
        expected = [stay, 0, stay, 0, 0, stay, 0, 9]
        assert np.array_equal(np.load(tmp_path / f"{policy}.npy"), expected, equal_nan=True)
    assert thresh("nm", tmp_path / "x.npy", "-t", "2:4", "--nan", "error", "-o", tmp_path / "e.npy").status == 4


@pytest.mark.parametrize(("arguments", "said"), [
    ("nm v.npy -t 0.5 -n", "not of the form N:M"),
    ("nm v.npy -t 0:4 -n", "keeps 0 of 4"),
    ("nm v.npy -t 5:4 -n", "keeps 5 of 4"),
    ("nm v.npy -n", "--threshold is missing"),
    ("nm v.npy -t 2:4 -n", "tensor 'v': 4 does not divide its 5 elements along axis -1"),
    ("nm v.npy -t 1:5 --axis 1 -n", "has 1 axes, and --axis is 1"),
    ("nm scalar.npy -t 1:1 -n", "has 0 axes"),
    ("nm v.npy -t 1:5 --nan below -n", "needs a rule that decides"),
    ("nm v.npy -t 1:5 --scope file -n", "--scope is for thresholds worked out from data"),
    ("nm i.npy -t 1:5 --fill 0.5 -n", "not representable"),
    ("binary v.npy -t 2:4 -n", "'2:4' is not a threshold"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(arguments: str, said: str, folder: Path) -> None:
    np.save("scalar.npy", np.float32(3))
    refused(thresh(*arguments.split()), 2, said)


def test_the_summary_names_the_pattern(folder: Path) -> None:
    ran = thresh("nm", "m.npy", "-t", "1:3", "-o", "o.npy")
    assert "1:3" in ran.out
    ran = thresh("nm", "m.npy", "-t", "1:3", "-o", "p.npy", "--json")
    assert ran.json["params"]["threshold"] == "1:3"
    assert (ran.tensor["kept"], ran.tensor["zeros_after"], ran.tensor["changed"]) == (3, 6, 6)


def test_a_rule_that_looks_sideways_is_not_applied_without_its_mask() -> None:
    k = SETS["numpy"]()
    x = k.load(memoryview(bytearray(4)), DTYPES["float32"])
    with pytest.raises(TypeError, match="mask"):
        Nm(threshold=NofM(1, 2)).apply(k, x, DTYPES["float32"], Scalar(0.5))
