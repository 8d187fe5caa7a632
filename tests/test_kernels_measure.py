"""One pass over a block tells its extremes, counts and sums."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.kernel_sets import SETS, every_set, load, using
from tests.strategies import FLOATS, REAL, blocks, real_dtypes
from threshcli.dtypes import DTYPES, FLOAT16, FLOAT32, FLOAT64, DType
from threshcli.kernels.base import Block, Kernels
from threshcli.stats import Measure
from threshcli.tiles import LEAF


def _agrees(found: Measure, expected: Measure, tolerance: float) -> None:
    """Extremes and counts equal, and of the same type; sums near."""
    assert replace(found, sums=[], squares=[]) == replace(expected, sums=[], squares=[])
    assert (type(found.low), type(found.high)) == (type(expected.low), type(expected.high))
    assert len(found.sums) == len(expected.sums)
    assert len(found.squares) == len(expected.squares)
    scales = [math.sqrt(square * LEAF) for square in expected.squares]
    for total, wanted, scale in zip(found.sums, expected.sums, scales, strict=True):
        assert total == pytest.approx(wanted, rel=tolerance, abs=tolerance * min(scale, 1e300))
    for square, wanted in zip(found.squares, expected.squares, strict=True):
        assert square == pytest.approx(wanted, rel=tolerance, abs=1e-300)


def _tame(dtype: DType, values: list[int]) -> list[int]:
    """Codes whose sums and squares stay finite in float64."""
    return [code for code in values if dtype is not FLOAT64 or 1e-150 < abs(_number(code)) < 1e150]


def _number(code: int) -> float:
    return float(reference.decode(code, FLOAT64))


@every_set
@settings(max_examples=150)
@given(st.data())
def test_extremes_and_counts_leave_out_nan_only(name: str, data: st.DataObject) -> None:
    """For every dtype, with infinities and both zeros."""
    dtype = data.draw(real_dtypes)
    values = data.draw(blocks(dtype))
    with using(name) as k:
        found = k.measure(load(k, values, dtype))
    _agrees(found, replace(reference.measure(values, dtype), sums=[], squares=[]), 0)


@pytest.mark.parametrize("dtype", [dtype for dtype in REAL if dtype.itemsize == 1], ids=str)
def test_each_code_of_8_bits_is_measured(dtype: DType) -> None:
    """Alone, and beside the one 37 codes on: the extremes may be any two."""
    many = 2 if dtype.kind == "bool" else 256
    found = [[code] for code in range(many)] + [[code, (code + 37) % many] for code in range(many)]
    for values in found:
        expected = replace(reference.measure(values, dtype), sums=[], squares=[])
        for name in SETS:
            with using(name) as k:
                _agrees(k.measure(load(k, values, dtype)), expected, 0)


@every_set
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, DTYPES["float8_e5m2"], DTYPES["float8_e4m3fn"]], ids=str)
def test_nan_hides_neither_extremes_nor_infinities(name: str, dtype: DType) -> None:
    """Whatever stands beside it, in any order."""
    codes = [dtype.nan, dtype.nan | dtype.sign, dtype.code(-dtype.top), dtype.code(1), dtype.code(dtype.top)]
    with using(name) as k:
        for values in (list(order) for many in (2, 3, 4) for order in itertools.permutations(codes, many)):
            expected = replace(reference.measure(values, dtype), sums=[], squares=[])
            _agrees(k.measure(load(k, values, dtype)), expected, 0)
            k.reset()


@every_set
@pytest.mark.parametrize("precise", [True, False])
@settings(max_examples=80)
@given(st.data())
def test_sums_are_over_finite_values(name: str, precise: bool, data: st.DataObject) -> None:
    """NaN and infinities count as nothing."""
    dtype = data.draw(real_dtypes)
    values = _tame(dtype, data.draw(blocks(dtype)))
    values += [code for code in reference.special(dtype) if not reference.is_finite(reference.decode(code, dtype))]
    with using(name) as k:
        found = k.measure(load(k, values, dtype), moments=True, precise=precise)
    _agrees(found, reference.measure(values, dtype), 1e-14 if precise else 1e-6)


@pytest.mark.parametrize("dtype", [FLOAT32, DTYPES["bfloat16"], DTYPES["float8_e4m3fn"], DTYPES["int8"]], ids=str)
def test_sums_are_taken_leaf_by_leaf(dtype: DType) -> None:
    """A leaf and an odd rest; the sums of a leaf do not depend on what follows it."""
    dice = random.Random(3)
    few = [dtype.code(dice.randrange(dtype.top // 3 or 50, dtype.top // 2 or 100)) for _ in range(197)]
    numbers = [float(reference.decode(code, dtype)) for code in few]
    starts = range(0, LEAF + 301, LEAF)
    leaves = [[numbers[index % 197] for index in range(a, min(a + LEAF, LEAF + 301))] for a in starts]
    sums = [math.fsum(leaf) for leaf in leaves]
    squares = [math.fsum(number * number for number in leaf) for leaf in leaves]
    raw = bytes(reference.pack(few, dtype)) * (LEAF // 197 + 3)
    for name, precise in itertools.product(SETS, (True, False)):
        with using(name) as k:
            found = k.measure(_loaded(k, raw, dtype, LEAF + 301), moments=True, precise=precise)
            k.reset()
            first = k.measure(_loaded(k, raw, dtype, LEAF), moments=True, precise=precise)
        assert found.sums == pytest.approx(sums, rel=1e-12 if precise else 1e-6), name
        assert found.squares == pytest.approx(squares, rel=1e-12 if precise else 1e-6), name
        assert (first.sums, first.squares) == (found.sums[:1], found.squares[:1]), name


@every_set
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_zeros_and_sums_can_be_had_alone(name: str, dtype: DType) -> None:
    """As measure tells them; sums that nobody wants may be zeros."""
    values = [code for code in reference.special(dtype) if reference.is_finite(reference.decode(code, dtype))]
    values = _tame(dtype, values)
    with using(name) as k:
        x, empty = load(k, values, dtype), load(k, [], dtype)
        told = k.measure(x, moments=True)
        assert k.zeros(x) == told.zeros
        assert k.moments(x, clean=True, precise=True) == (told.sums, told.squares)
        assert k.moments(x, clean=False, precise=True) == (told.sums, told.squares)
        sums, squares = k.moments(x, clean=True, precise=True, sums=False)
        assert squares == told.squares
        assert sums in (told.sums, [0.0] * len(squares))
        assert (k.zeros(empty), k.moments(empty, clean=True, precise=True)) == (0, ([], []))


@every_set
@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("size", [1, 7, 1024, 2500])
def test_parts_of_a_block_are_measured_as_each_alone(name: str, dtype: DType, size: int) -> None:
    """To the last bit: with and without zeros, NaN and infinities among them, or nothing else."""
    dice = random.Random(size)
    finite = [code for code in reference.special(dtype) if reference.is_finite(reference.decode(code, dtype))]
    tame = _tame(dtype, finite) if dtype.is_float else finite
    positive = [code for code in tame if reference.decode(code, dtype) > 0]
    infinite = [[dtype.code(key)] for key in (dtype.top, -dtype.top) if dtype.infinite]
    several = range(1 << min(dtype.bits, 8)) if dtype.kind != "bool" else []  # their squares differ in the last digits
    kinds = [tame, positive, positive[:1], tame[:1], finite, reference.special(dtype), *infinite, several]
    blocks = [[dice.choice(kind) for _ in range(size)] for kind in (*kinds, *kinds[:2]) if kind]
    for chosen in (blocks[:2], blocks[1:3], blocks):
        with using(name) as k:
            x, many = load(k, [code for block in chosen for code in block], dtype), len(chosen)
            found = k.measures(x, many)
            clean = not any(own.nan or own.inf for own in found)
            sums = k.moments_of(x, many, clean=clean, precise=True)
            squares = [own for _, own in k.moments_of(x, many, clean=clean, precise=True, sums=False)]
        for own, moments, square, block in zip(found, sums, squares, chosen, strict=True):
            with using(name) as k:
                alone = k.measure(load(k, block, dtype))
                assert (own, type(own.low), type(own.high)) == (alone, type(alone.low), type(alone.high))
                x = load(k, block, dtype)
                again = k.moments(x, clean=not (alone.nan or alone.inf), precise=True)
            assert str(moments) == str(again)  # NaN, of sums that overflow, is not equal to itself
            assert square == again[1]


def _loaded(k: Kernels, raw: bytes, dtype: DType, many: int) -> Block:
    return k.load(memoryview(bytearray(raw[: many * dtype.itemsize])), dtype)


@every_set
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_block_of_nothing_but_nan_has_no_extremes(name: str, dtype: DType) -> None:
    """It is not empty, but there is nothing to be told."""
    with using(name) as k:
        found = k.measure(load(k, [dtype.nan] * 3, dtype), moments=True)
    assert found == Measure(None, None, 3, 0, 0, [0.0], [0.0])
