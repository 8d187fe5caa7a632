"""Automatic thresholds are what their definitions say: in fractions, one cut at a time."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_threshold_automatic import solved, value
from threshcli.errors import InputError
from threshcli.studies.base import Array
from threshcli.thresholds.base import Terms


def elements(counts: list[int]) -> Array:
    """So many of each value, from 0 on."""
    return np.repeat(np.arange(len(counts)), counts).astype(np.uint8)


def split(counts: list[int], cut: int) -> tuple[int, Fraction, int, Fraction]:
    """Number and mean of the elements up to a cut, and of the others."""
    found: list[Any] = []
    for part in (range(cut + 1), range(cut + 1, len(counts))):
        number = sum(counts[place] for place in part)
        found += [number, Fraction(sum(place * counts[place] for place in part), number)]
    return found[0], found[1], found[2], found[3]


def between(counts: list[int], cut: int) -> Fraction:
    low, low_mean, high, high_mean = split(counts, cut)
    return low * high * (low_mean - high_mean) ** 2


def correlation(counts: list[int], cut: int) -> Fraction:
    low, _, high, _ = split(counts, cut)
    squares = [sum(count * count for count in part) for part in (counts[: cut + 1], counts[cut + 1 :])]
    return Fraction((low * high) ** 2, squares[0] * squares[1])


def first_largest(values: list[Fraction]) -> int:
    return values.index(max(values))


histograms = st.lists(st.integers(0, 30), min_size=0, max_size=12).flatmap(
    lambda inner: st.tuples(st.integers(1, 30), st.integers(1, 30)).map(lambda ends: [ends[0], *inner, ends[1]])
)
"""Counts of values, of which the first and the last occur."""


@given(counts=histograms)
def test_otsu_has_the_most_variance_between_its_classes(counts: list[int]) -> None:
    """Of equally good cuts the first; ties that only rounding breaks are left to it."""
    found = [between(counts, cut) for cut in range(len(counts) - 1)]
    cut = int(value("otsu", elements(counts)))
    assert found[cut] >= max(found) * (1 - Fraction(1, 10**14))
    assert counts[cut] > 0


@given(counts=histograms)
def test_yen_has_the_most_correlation(counts: list[int]) -> None:
    found = [correlation(counts, cut) for cut in range(len(counts) - 1)]
    assert found[int(value("yen", elements(counts)))] >= max(found) * (1 - Fraction(1, 10**14))


@given(counts=histograms)
def test_isodata_is_the_first_that_lies_midway(counts: list[int]) -> None:
    cuts = range(len(counts) - 1)
    middles = [(split(counts, cut)[1] + split(counts, cut)[3]) / 2 for cut in cuts]
    assert value("isodata", elements(counts)) == next(cut for cut in cuts if cut <= middles[cut] < cut + 1)


@given(counts=histograms)
def test_the_triangle_is_farthest_under_the_line(counts: list[int]) -> None:
    """From the peak, the first of the highest bins, to the farther end; the first such bin from that end on."""
    last, peak = len(counts) - 1, counts.index(max(counts))
    width = max(peak, last - peak)
    tail = counts if peak >= last - peak else counts[::-1]
    under = [Fraction(tail[step]) - Fraction(counts[peak] * step, width) for step in range(width)]
    step = under.index(min(under))
    assert value("triangle", elements(counts)) == (step if tail is counts else last - step)


@given(counts=histograms)
def test_li_steps_until_it_moves_by_no_more_than_half_a_value(counts: list[int]) -> None:
    """From the mean on, or until nothing but the smallest value is under it."""
    found = li(np.array(counts), np.arange(len(counts)), 0.5)
    assert float(value("li", elements(counts))) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("bins", [256, 20_000])
def test_li_of_floats_steps_until_no_bin_changes_sides(bins: int) -> None:
    """Of 16,384 bins at least, seen from the smallest element."""
    data = np.random.default_rng(0).random(30_000) ** 4 - 5
    counts, edges = np.histogram(data, max(bins, 16_384))
    found = li(counts, (edges[:-1] + edges[1:]) / 2 - data.min(), 0) + data.min()
    assert float(solved("li", data, terms=Terms(bins=bins)).values[0]) == pytest.approx(found, rel=1e-12)


def li(counts: Array, values: Array, tolerance: float) -> float:
    """Step by step, from all values each time."""
    cut, before = float(np.average(values, weights=counts)), math.inf
    while abs(cut - before) > tolerance:
        before = cut
        low, high = (np.average(values[part], weights=counts[part]) for part in (values <= cut, values > cut))
        if low > 0:
            cut = float((low - high) / math.log(low / high))
    return cut


@given(counts=histograms, classes=st.integers(2, 5))
def test_multiotsu_is_the_best_of_all_cuts(counts: list[int], classes: int) -> None:
    """Against every choice there is; ties that only rounding breaks are left to it."""
    held = [place for place, count in enumerate(counts) if count]
    text = f"multiotsu:{classes}"
    if len(held) < classes:
        with pytest.raises(InputError, match=f"has {len(held)} different values, and {text} needs at least {classes}"):
            solved(text, elements(counts))
        return
    best = max(gain(counts, cuts) for cuts in itertools.combinations(held[:-1], classes - 1))
    found = tuple(int(cut) for cut in solved(text, elements(counts)).values)
    assert gain(counts, found) >= best * (1 - Fraction(1, 10**14))
    assert set(found) <= set(held[:-1])


def gain(counts: list[int], cuts: tuple[int, ...]) -> Fraction:
    """The sum over classes of n * m^2."""
    total = Fraction(0)
    for first, after in itertools.pairwise([0, *(cut + 1 for cut in cuts), len(counts)]):
        mass = sum(place * counts[place] for place in range(first, after))
        total += Fraction(mass * mass, sum(counts[first:after]))
    return total


@pytest.mark.parametrize("classes", range(2, 9))
@pytest.mark.parametrize("heaps", [1, 10])
def test_halving_finds_the_cuts_that_a_full_search_finds(classes: int, heaps: int) -> None:
    """300 levels with gaps between, every j for every i; in heaps many i have the same j."""
    rng = np.random.default_rng(classes)
    places = np.sort(rng.choice(1000, 300, replace=False))
    places += places * heaps // 1000 * (heaps - 1) * 500
    counts = np.concatenate([rng.poisson(rng.uniform(1, 50), 100) + 1 for _ in range(3)])
    number, mass = (np.append(0, np.cumsum(values)).astype(float) for values in (counts, counts * (places - 500)))
    with np.errstate(all="ignore"):
        table = np.triu((mass - mass[:, None]) ** 2 / (number - number[:, None]), 1) - np.tri(301) * 1e300
    best, chosen = table[:, 300], []
    for _ in range(classes - 1):
        chosen.append((table + best).argmax(axis=1))
        best = (table + best).max(axis=1)
    cuts, begin = [], 0
    for after in reversed(chosen):
        begin = int(after[begin])
        cuts.append(int(places[begin - 1]))
    data = np.repeat(places, counts).astype(np.int32)
    assert list(solved(f"multiotsu:{classes}", data).values) == cuts


def test_minimum_needs_two_peaks() -> None:
    with pytest.raises(InputError, match="has no threshold minimum: its histogram has no two peaks") as caught:
        solved("minimum", elements([1, 4, 9, 4, 1]))
    assert caught.value.hint


def test_minimum_of_flat_noise_gives_up() -> None:
    """After 10,000 rounds many peaks are left of 3,000 levels."""
    with pytest.raises(InputError, match="no two peaks"):
        solved("minimum", np.random.default_rng(3).integers(0, 3000, 20_000))


def test_multiotsu_of_floats_needs_bins_that_hold_elements() -> None:
    data = np.array([0.0, 1e-9, 1.0])
    with pytest.raises(InputError, match="has 2 bins that hold elements, and multiotsu:3 needs at least 3") as caught:
        solved("multiotsu:3", data)
    assert "--bins" in str(caught.value.hint)
    assert len(solved("multiotsu:3", np.array([0.0, 0.5, 1.0])).values) == 2


def test_multiotsu_of_as_many_values_as_classes_cuts_after_each() -> None:
    found = solved("multiotsu:4", np.array([9, 1, 30, 200, 1], np.uint8))
    assert found.values == (1, 9, 30)
