"""Histograms: one bin a value, or those of NumPy, bit for bit."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.strategies import FLOATS, INTEGERS, REAL, blocks
from tests.test_studies_summary import A, in_stretches, stored
from threshcli.dtypes import BFLOAT16, BOOL, DTYPES, FLOAT32, FLOAT64, INT64, UINT8, DType
from threshcli.kernels._numpy_convert import native, storage
from threshcli.studies.base import MAGNITUDE, VALUE, Array, Fold, Lens, Study, run_in_memory
from threshcli.studies.histogram import Histogram, histogram
from threshcli.tiles import LEAF


def told(data: Array, dtype: DType, bins: int = 256, lens: Lens = VALUE, mask: Array | None = None) -> Histogram:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run_in_memory(histogram(lens, bins), data, dtype, mask)


def same(a: Histogram, b: Histogram) -> bool:
    """Whether nothing tells two histograms apart."""
    arrays = [(found.counts.tolist(), found.centres.tolist(), str(found.edges)) for found in (a, b)]
    rest = [(found.usable, found.unusable, found.exact, found.first) for found in (a, b)]
    return arrays[0] == arrays[1] and rest[0] == rest[1]


def check_like_numpy(data: Array, dtype: DType, bins: int, lens: Lens = VALUE) -> None:
    """Counts, edges and centres are NumPy's of the finite elements as float64."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        wide = native(lens.see(data, dtype), lens.dtype(dtype)).astype(np.float64)
    finite = wide[np.isfinite(wide)]
    counts, edges = np.histogram(finite, bins)
    found = told(data, dtype, bins, lens)
    assert found.counts.dtype == np.int64
    assert (found.usable, found.unusable, found.exact) == (finite.size, wide.size - finite.size, False)
    assert found.counts.tolist() == counts.tolist()
    assert found.edges is not None
    assert found.edges.tolist() == edges.tolist()
    assert found.centres.tolist() == ((edges[:-1] + edges[1:]) / 2).tolist()


def normal(dtype: DType, count: int = 70_000) -> Array:
    """Elements of a bell around a number, with NaN and infinities where the format has them."""
    values = np.random.default_rng(1).normal(3, 2, count)
    if dtype is BFLOAT16:
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if dtype.is_float and dtype.itemsize == 1:
        return np.random.default_rng(1).integers(0, 256, count, np.uint8)
    own = values.astype(dtype.name)
    own[[0, 10, -1]] = np.nan, np.inf, -np.inf
    return own.view(storage(dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("lens", [VALUE, MAGNITUDE], ids=["value", "magnitude"])
@pytest.mark.parametrize("bins", [1, 7, 256])
def test_bins_of_floats_are_those_of_numpy(dtype: DType, lens: Lens, bins: int) -> None:
    if (dtype.name, lens) == ("float8_e4m3fn", VALUE):
        lens = Lens(centre=0.3)
    check_like_numpy(normal(dtype), dtype, bins, lens)


@pytest.mark.parametrize("dtype", [DTYPES[name] for name in ("int32", "uint32", "int64", "uint64")], ids=str)
@pytest.mark.parametrize("lens", [VALUE, MAGNITUDE], ids=["value", "magnitude"])
def test_wide_integers_are_binned_as_float64(dtype: DType, lens: Lens) -> None:
    """Beyond 2^53 too, over the whole range of their dtype."""
    low, high = dtype.keys.low, dtype.keys.high
    data = np.random.default_rng(2).integers(low, high, 70_000, dtype.name, endpoint=True)
    data[:3] = low, high, high - 1
    check_like_numpy(data, dtype, 256, lens)


@pytest.mark.parametrize("offset", [0.0, 1.0, -1e6, 0.1])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("bins", [10, 255, 256, 1000])
def test_elements_on_an_edge_and_beside_it_are_where_numpy_has_them(dtype: DType, bins: int, offset: float) -> None:
    """Every edge, and its neighbours on both sides, many times; this is where scaling alone goes wrong."""
    edges = np.linspace(offset, offset + 3, bins + 1).astype(dtype.name)
    steps = [edges, np.nextafter(edges, edges.dtype.type(-1e9)), np.nextafter(edges, edges.dtype.type(1e9))]
    check_like_numpy(np.repeat(np.concatenate(steps), 30), dtype, bins)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@given(data=st.data())
@settings(max_examples=60)
def test_bins_of_any_numbers_are_those_of_numpy(dtype: DType, data: st.DataObject) -> None:
    """Any finite codes, unless NumPy gives up: where the range overflows, or bins would be empty of numbers."""
    codes = data.draw(blocks(dtype, most=30))
    values = stored(codes, dtype)
    bins = data.draw(st.integers(1, 300))
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    usual = low < high and high - low < 1e300 and max(-low, high) < 1e300
    if usual and np.all(np.diff(np.linspace(low, high, bins + 1)) > 0):
        check_like_numpy(values, dtype, bins)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("place", ["low", "high", "zero"])
def test_integers_have_one_bin_a_value(dtype: DType, place: str) -> None:
    """At either end of their range and about zero: exact, even where float64 is not."""
    width = min(dtype.keys.high - dtype.keys.low, 65_535)
    low = {"low": dtype.keys.low, "high": dtype.keys.high - width, "zero": max(dtype.keys.low, -(width // 2) - 1)}[
        place
    ]
    away = np.append(np.random.default_rng(3).integers(0, width, 5000, endpoint=True), [0, width])
    values = [low + int(step) for step in away]
    found = told(stored([value % (1 << dtype.bits) for value in values], dtype), dtype)
    assert (found.exact, found.first, found.edges, found.usable) == (True, low, None, len(values))
    assert found.counts.tolist() == np.bincount(away, minlength=width + 1).tolist()
    assert [found.at(place) - low for place in (0, width, 0.5)] == [0, width, Fraction(1, 2)]


def test_integers_that_span_more_values_have_bins() -> None:
    exact, binned = (told(np.array([-5, 0, last - 5]), INT64, 10) for last in (65_535, 65_536))
    assert (exact.exact, len(exact.counts)) == (True, 65_536)
    assert (binned.exact, len(binned.counts)) == (False, 10)


def test_magnitudes_of_integers_reach_their_own_range() -> None:
    found = told(np.array([-128, 127, 3], np.int8), DTYPES["int8"], lens=MAGNITUDE)
    assert (found.first, found.counts.tolist()) == (3, [1, *[0] * 123, 1, 1])


many = np.random.default_rng(7).standard_cauchy(4 * LEAF + 77)
many[[5, LEAF, 3 * LEAF + 1]] = np.nan, np.inf, -np.inf
population = np.random.default_rng(8).random(many.size) < 0.3
population[LEAF : 2 * LEAF] = False
with np.errstate(all="ignore"):
    KINDS = {
        "float32": many.astype("f4"),
        "float64": many,
        "float16": many.astype("f2").view("u2"),
        "uint8": (many * 30).astype("u1"),
        "int16": (many * 3000).astype("i2"),
        "int32": (many * 3000).astype("i4"),
    }


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("mask", [None, population], ids=["all", "some"])
@given(cuts=st.sets(st.integers(1, 4)))
@settings(max_examples=5)
def test_neither_stretches_nor_their_order_change_a_count(name: str, mask: Array | None, cuts: set[int]) -> None:
    data, dtype = KINDS[name], DTYPES[name]
    whole = told(data, dtype, mask=mask)
    parts = in_stretches(histogram(VALUE, 256), data, dtype, [cut * LEAF for cut in cuts], mask)
    assert same(whole, parts)
    assert whole.usable + whole.unusable == (data.size if mask is None else np.count_nonzero(mask))


@pytest.mark.parametrize("name", ["bfloat16", "uint8", "int16"])
@given(cuts=st.sets(st.integers(1, 19_999)))
@settings(max_examples=10)
def test_codes_add_up_however_few_come_at_a_time(name: str, cuts: set[int]) -> None:
    """Few are kept as they are, many are counted; there is no telling which it was."""
    data = np.random.default_rng(9).integers(0, 250, 20_000).astype(storage(DTYPES[name]))
    assert same(told(data, DTYPES[name]), in_stretches(histogram(VALUE, 256), data, DTYPES[name], sorted(cuts)))


def watched(study: Study[A], seen: list[Fold[Any]]) -> Study[A]:
    """The same study, of which one sees what it asks for."""
    state: Any = None
    while True:
        try:
            seen.append(study.send(state))
        except StopIteration as ended:
            answer: A = ended.value
            return answer
        state = yield seen[-1]


@pytest.mark.parametrize(
    ("name", "passes"), [("uint8", 1), ("int16", 1), ("bfloat16", 1), ("int32", 2), ("float32", 2), ("float64", 2)]
)
def test_narrow_dtypes_take_one_pass_and_wide_ones_two(name: str, passes: int) -> None:
    data, seen = np.arange(1000).astype(storage(DTYPES[name])), list[Fold[Any]]()
    run_in_memory(watched(histogram(VALUE, 16), seen), data, DTYPES[name])
    assert len(seen) == passes


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_equal_elements_make_one_bin(dtype: DType) -> None:
    """-0.0 and 0.0 are equal."""
    key = dtype.keys.high - 2 if dtype.kind != "bool" else 1
    found = told(stored([dtype.code(key)] * 5, dtype), dtype)
    assert (found.counts.tolist(), found.exact, found.edges, found.usable) == ([5], True, None, 5)
    assert found.at(0) == reference.decode(dtype.code(key), dtype)
    if dtype.negative_zero:
        assert told(stored([0, dtype.sign], dtype), dtype).at(0) == 0


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf, np.nan]], ids=str)
@pytest.mark.parametrize("dtype", [FLOAT32, DTYPES["float16"]], ids=str)
def test_without_finite_elements_there_are_no_bins(values: list[float], dtype: DType) -> None:
    found = told(np.array(values, dtype.name).view(storage(dtype)), dtype)
    assert (found.counts.size, found.centres.size, found.usable, found.unusable) == (0, 0, 0, len(values))


def test_bools_are_numbers() -> None:
    found = told(np.array([1, 0, 1], np.uint8), BOOL)
    assert (found.counts.tolist(), found.centres.tolist()) == ([1, 2], [0, 1])


def test_a_range_that_overflows_has_bins_like_any_other() -> None:
    """NumPy's edges are NaN there; those of the elements divided by a power of two are not."""
    data = np.random.default_rng(4).uniform(-1, 1, 1000)
    small, large = told(data, FLOAT64), told(data * 2.0**1023 * 1.5, FLOAT64)
    counts, edges = np.histogram(data * 1.5, 256)
    assert large.counts.tolist() == counts.tolist()
    assert large.edges is not None
    assert (large.edges * 2.0**-1023).tolist() == edges.tolist()
    assert large.centres == pytest.approx(small.centres * 1.5 * 2.0**1023, rel=1e-12)


def test_bins_are_fewer_where_there_are_not_so_many_numbers() -> None:
    """NumPy gives up between neighbours."""
    found = told(np.array([1.0, np.nextafter(1, 2), 1 + 2**-50]), FLOAT64, 256)
    assert found.counts.sum() == 3
    assert 1 <= len(found.counts) < 256
    assert found.edges is not None
    assert np.all(np.diff(found.edges) > 0)


def test_a_position_between_bins_is_a_value_between_centres() -> None:
    found = told(np.array([0.0, 1.0, 8.0]), FLOAT64, 4)
    assert [float(found.at(place)) for place in (0, 0.5, 3, 1.25)] == [1, 2, 7, 3.5]


def test_every_byte_is_counted_once() -> None:
    """Pairs of bytes are counted together; an odd one is left over."""
    data = np.random.default_rng(6).integers(0, 256, 5 * LEAF + 1, np.uint8)
    assert told(data, UINT8).counts.tolist() == np.bincount(data).tolist()
