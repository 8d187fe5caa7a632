"""Order statistics: exact, whatever the data, the way taken, the stretches and their order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.strategies import REAL, blocks
from tests.studying import LENSES, Runner, seen, stored
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, INT64, UINT8, DType, Real
from threshcli.errors import InputError
from threshcli.kernels._numpy_convert import cast, storage
from threshcli.studies import _brackets, _prefixes, ranks
from threshcli.studies.base import MAGNITUDE, VALUE, Array, run_in_memory
from threshcli.studies.ranks import Percentile, Ranked, Ranking, median, percentile, ranking

WAYS: dict[str, dict[str, int]] = {
    "gathered": {},
    "sampled": {"SMALL": 0, "BLOCK": 2, "BLOCKS": 4},
    "missed": {"SMALL": 0, "BLOCK": 1, "BLOCKS": 3, "DEVIATIONS": -1},
    "overflowed": {"SMALL": 0, "BLOCK": 2, "BLOCKS": 4, "ROOM": 0},
    "crowded": {"SMALL": 0, "BLOCK": 2, "BLOCKS": 4, "ROOM": 16, "HEAVY": 1},
}
"""Constants under which small data goes every way."""


@contextmanager
def way(name: str, *, digit: int = 8, piece: int = 3) -> Iterator[None]:
    """Small pieces, short digits, and what leads one way."""
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in {"PIECE": piece, "CODES": 5, "AT_ONCE": 3, "DIGIT": digit, **WAYS[name]}.items():
            for module in (ranks, _brackets, _prefixes):
                patch.setattr(module, constant, value, raising=False)
        yield


def expected(values: list[Real]) -> Ranking:
    """Every rank of values, by sorting them."""
    known = sorted(value for value in values if not reference.is_nan(value))
    found = (Ranked(value, sum(other < value for other in known), known.count(value)) for value in known)
    return Ranking(len(known), len(values) - len(known), tuple(found))


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("name", WAYS)
@given(data=st.data())
@settings(max_examples=15)
def test_every_rank_is_that_of_sorted_values(dtype: DType, name: str, data: st.DataObject) -> None:
    """Of any codes, NaN, infinities and both zeros among them, through any lens, masked or not."""
    codes = data.draw(blocks(dtype, most=24))
    codes += data.draw(st.lists(st.sampled_from(codes), max_size=24)) if codes else []
    lens = data.draw(st.sampled_from(LENSES))
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=len(codes), max_size=len(codes)))
    runner = Runner(data.draw(st.integers(1, 50)), data.draw(st.integers(0, 9)))
    population = [code for code, inside in zip(codes, mask or [True] * len(codes), strict=True) if inside]
    with way(name):
        study = ranking(lens, range)
        found = runner(study, stored(codes, dtype), dtype, None if mask is None else np.array(mask, bool))
    assert found == expected(seen(population, dtype, lens))


def as_float64(data: Array, dtype: DType) -> Array:
    """The elements in float64, without NaN."""
    with np.errstate(all="ignore"):
        values = cast(data, dtype, FLOAT64)
    return values[~np.isnan(values)]


def drawn(dtype: DType, count: int) -> Array:
    """Random elements of a dtype, none of them infinite, but NaN where it has one."""
    chance = np.random.default_rng(count)
    if dtype in (FLOAT32, FLOAT64):
        spread = chance.standard_normal(count) * 10 ** chance.uniform(-20, 20, count)
        return np.where(chance.random(count) < 0.05, np.nan, spread).astype(dtype.name)
    codes = chance.integers(0, 2 if dtype.kind == "bool" else 1 << dtype.bits, count, f"u{dtype.itemsize}")
    if dtype.is_float and dtype.infinite:
        codes[codes & (dtype.sign - 1) == dtype.top] -= 1
    codes[0] = 0
    return codes.view(storage(dtype))


PERCENTILES = [0, 0.1, 25, 33.3, 50, 66.6, 90, 99.99, 100]


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("name", ["gathered", "sampled"])
def test_percentiles_and_the_median_are_numpys_to_the_last_bit(dtype: DType, name: str) -> None:
    for count in (1, 2, 999, 1000):
        data = drawn(dtype, count)
        values = as_float64(data, dtype)
        with way(name, piece=128):
            for p in PERCENTILES:
                found = Runner(400)(percentile(VALUE, p), data, dtype)
                assert found == Percentile(float(np.percentile(values, p)), values.size, count - values.size)
            found = Runner(400)(median(MAGNITUDE), data, dtype)
        assert found.value == float(np.median(np.abs(values)))


@given(a=st.floats(allow_nan=False), b=st.floats(allow_nan=False), p=st.floats(0, 100))
def test_a_percentile_of_two_is_finite_between_finite_ones(a: float, b: float, p: float) -> None:
    """NumPy's value where that is a number; its difference overflows between far ends, and inf * 0 is NaN."""
    low, high = sorted((a, b))
    data, within = np.array([b, a]), 0 < p / 100 < 1
    if low < high and within and math.inf in (-low, high):
        with pytest.raises(InputError, match="infinite element"):
            run_in_memory(percentile(VALUE, p), data, FLOAT64)
        return
    found = run_in_memory(percentile(VALUE, p), data, FLOAT64).value
    if math.isfinite(high - low):
        assert found == np.percentile(data, p)
    assert low <= found <= high


def test_what_lies_between_a_finite_and_an_infinite_element_is_refused() -> None:
    data = np.array([1, 2, 3, np.inf], "f4")
    with pytest.raises(InputError, match=r"has no percentile 99\.5: it lies between a finite and an infinite element"):
        run_in_memory(percentile(VALUE, 99.5), data, FLOAT32)
    with pytest.raises(InputError, match="has no median: it lies between two infinite elements"):
        run_in_memory(median(VALUE), np.array([np.inf, -np.inf]), FLOAT64)
    assert run_in_memory(percentile(VALUE, 100), data, FLOAT32).value == math.inf
    assert run_in_memory(median(VALUE), np.array([1, np.inf, np.inf, np.inf]), FLOAT64).value == math.inf


def test_between_large_elements_nothing_overflows() -> None:
    assert run_in_memory(median(VALUE), np.array([1.5e308, 1.7e308]), FLOAT64).value == 1.6e308
    assert run_in_memory(percentile(VALUE, 25), np.array([1.6e308, -1.6e308]), FLOAT64).value == -0.8e308


@pytest.mark.parametrize("dtype", [FLOAT32, DTYPES["float16"]], ids=str)
@pytest.mark.parametrize("name", ["gathered", "sampled"])
@pytest.mark.parametrize("codes", [[], [0x7E00], [0x7FC00000] * 9], ids=["nothing", "no NaN", "NaN"])
def test_without_usable_elements_nothing_is_found(dtype: DType, name: str, codes: list[int]) -> None:
    data = stored([dtype.nan for _ in codes], dtype)

    def wanted(count: int) -> range:
        assert count, "must not be asked for ranks of nothing"
        return range(count)

    with way(name):
        assert Runner()(ranking(VALUE, wanted), data, dtype) == Ranking(0, len(codes), ())
        found = Runner()(percentile(VALUE, 50), data, dtype)
    assert math.isnan(found.value)
    assert (found.usable, found.unusable) == (0, len(codes))


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("gathered", ["Order"]),
        ("sampled", ["Order", "Blocks", "Collect"]),
        ("missed", ["Order", "Blocks", "Collect", "Digits", "Digits"]),
        ("overflowed", ["Order", "Blocks", "Collect", "Digits", "Digits"]),
    ],
)
def test_each_way_is_taken(name: str, passes: list[str]) -> None:
    """So that the other tests test what they mean to."""
    data = drawn(FLOAT32, 500)
    runner = Runner(100)
    with way(name, digit=16):
        found = runner(ranking(VALUE, lambda count: [count // 2]), data, FLOAT32)
    assert found.found[0].value == Fraction(float(np.sort(data)[found.usable // 2]))
    assert runner.passes == passes


def test_elements_of_64_bits_are_collected_once_few_share_their_first_digits() -> None:
    runner = Runner()
    with way("missed", digit=16):
        runner(ranking(VALUE, lambda count: [count // 2]), drawn(FLOAT64, 500), FLOAT64)
    assert runner.passes == ["Order", "Blocks", "Collect", "Digits", "Collect"]
    runner = Runner()
    with way("overflowed", digit=16):
        runner(ranking(VALUE, lambda count: [count // 2]), np.arange(500), INT64)
    assert runner.passes == ["Order", "Blocks", "Collect", *["Digits"] * 4]


def test_narrow_elements_are_read_once() -> None:
    runner = Runner()
    with way("sampled"):
        found = runner(ranking(MAGNITUDE, range), np.array([3, 1, 3], "u1"), UINT8)
    assert [ranked.value for ranked in found.found] == [1, 3, 3]
    assert runner.passes == ["Order", "Codes"]


def many(kind: str, count: int) -> Array:
    """Elements of kinds that mislead a sample, or are too equal to be collected."""
    chance = np.random.default_rng(5)
    data = chance.standard_normal(count, dtype=np.float32)
    if kind == "sorted":
        data.sort()
    if kind == "constant":
        data[:] = 0.1
    if kind == "mostly zero":
        data[data < 0.2] = 0
    if kind == "layers":
        data *= np.repeat(np.exp(chance.standard_normal(count // 20_000)).astype("f4"), 20_000)
    if kind == "few values":
        data = np.round(data * 2)
    return data


@pytest.mark.parametrize("kind", ["independent", "sorted", "constant", "mostly zero", "layers", "few values"])
def test_of_many_elements_few_are_kept(kind: str) -> None:
    """One pass after the sample is enough for common kinds of data, and its states are small."""
    data = many(kind, 600_000)
    runner = Runner(1 << 17)
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in {"BLOCKS": 512, "BLOCK": 64}.items():
            patch.setattr(_brackets, constant, value)
        patch.setattr(ranks, "SMALL", 1 << 16)
        found = runner(ranking(VALUE, lambda count: [count // 2, count // 10 * 9, count - 1000]), data, FLOAT32)
    assert runner.passes == ["Order", "Blocks", "Collect"]
    assert max(runner.largest.values()) < data.nbytes / 5
    ordered = np.sort(data)
    for ranked, rank in zip(found.found, [300_000, 540_000, 599_000], strict=True):
        assert ranked.value == Fraction(float(ordered[rank]))
        ends = [int(np.searchsorted(ordered, ordered[rank], side=side)) for side in ("left", "right")]
        assert [ranked.below, ranked.below + ranked.equal] == ends


def test_a_state_never_outgrows_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where nearly all elements lie in a span that the sample promised to be small."""
    data = many("independent", 200_000)
    for module, constant, value in ((ranks, "SMALL", 0), (_brackets, "ROOM", 10_000), (_brackets, "BLOCKS", 4)):
        monkeypatch.setattr(module, constant, value)
    runner = Runner(1 << 16)
    found = runner(percentile(VALUE, 75), data, FLOAT32)
    assert found.value == np.percentile(data.astype("f8"), 75)
    assert runner.passes == ["Order", "Blocks", "Collect", "Digits", "Digits"]
    assert runner.largest["Collect"] < 10_000 + 1000
    assert runner.largest["Digits"] < (1 << 16) * 8 + 1000


@pytest.mark.parametrize("elements", [1, 5000, 1 << 23, 10**9 + 7, 10**11])
def test_the_sample_is_spread_over_all_and_ends_at_the_end(elements: int) -> None:
    ends = list(_brackets.Blocks(VALUE).stretches(elements))
    assert ends[-1][1] == elements
    assert min(elements, 256) <= len(ends) <= 8192
    assert all(start < stop for start, stop in ends)
    for (start, stop), (following, _) in pairwise(ends):
        assert stop <= following <= start + 2 * elements / len(ends) + 1
