"""Order statistics: the exact element of a rank, percentiles, the median, of any number of elements in bounded memory.

Small populations are gathered and partitioned. Elements of up to 16 bits are counted by code, in one pass. All others
take a sample, which says where the wanted ranks lie, and a pass that collects only there; where the sample was
misleading, or too many elements are nearly equal, digits are counted until it is certain: two passes more for 32 bits,
up to four for 64. The answer never depends on which way was taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from threshcli.dtypes import DType, Real
from threshcli.errors import InputError
from threshcli.studies._brackets import Blocks, Collect, Sampled, Span, spans, spread
from threshcli.studies._gather import Codes, Order
from threshcli.studies._ordered import Found, shift, tally
from threshcli.studies.base import Lens, Study

SMALL = 1 << 22
"""Up to so many elements a population is gathered as a whole."""

Wanted = Callable[[int], Sequence[int]]
"""The 0-based ascending ranks that are wanted among so many elements; rank 0 is the smallest."""


class Ranked(NamedTuple):
    """One order statistic: the exact value of the element, how many elements are smaller (-0.0 equals 0.0), and how
    many are equal to it, itself included."""

    value: Real
    below: int
    equal: int


class Ranking(NamedTuple):
    """The order statistics that were wanted, in the order wanted, of the `usable` elements that are not NaN."""

    usable: int
    unusable: int
    found: tuple[Ranked, ...]


class Percentile(NamedTuple):
    """A percentile of the `usable` elements that are not NaN, rounded to float64; NaN where there are none."""

    value: float
    usable: int
    unusable: int


def ranking(lens: Lens, wanted: Wanted) -> Study[Ranking]:
    """The order statistics of the elements seen through a lens; of every real dtype, exact.

    `wanted` is a pure function: it is asked with an estimate of the number of usable elements first, and with the true
    one at the end. It is not asked where no element is usable: then nothing is found.
    """
    small = yield Order(lens, SMALL)
    if small.read:
        usable = small.usable
        found = _apply(small.find, wanted, usable)
        return Ranking(usable, small.nan, _ranked(found, lens.dtype(small.dtype)))
    if small.dtype.bits <= 16:
        return (yield from _of_codes(lens, small.dtype, wanted))
    return (yield from _of_many(lens, lens.dtype(small.dtype), wanted))


def _apply(find_all: Callable[[list[int]], list[Found]], wanted: Wanted, usable: int) -> list[Found]:
    ranks = list(wanted(usable)) if usable else []
    return find_all(ranks) if ranks else []


def _ranked(found: Iterable[Found], dtype: DType) -> tuple[Ranked, ...]:
    middle = shift(dtype)
    return tuple(Ranked(dtype.value(place - middle), below, equal) for place, below, equal in found)


def _of_codes(lens: Lens, dtype: DType, wanted: Wanted) -> Study[Ranking]:
    """By how often each code occurs."""
    counts = yield Codes()
    known = tally(counts, lens, dtype)
    usable = known.total
    found = _apply(known.find, wanted, usable)
    return Ranking(usable, int(counts.sum()) - usable, _ranked(found, lens.dtype(dtype)))


def _of_many(lens: Lens, dtype: DType, wanted: Wanted) -> Study[Ranking]:
    """By a sample, one pass, and counting where that was not enough; `dtype` is that of what is seen."""
    sampled = yield Blocks(lens)
    fold = Collect(lens, _bracketed(sampled, wanted, dtype))
    state = yield fold
    usable, unusable = state.usable, state.nan
    ranks = list(wanted(usable)) if usable else []
    found = fold.find(state, ranks)
    del state
    missing = sorted(set(ranks) - found.keys())
    if missing:
        from threshcli.studies._prefixes import by_counting  # late: hardly ever needed

        found |= yield from by_counting(lens, dtype, missing)
    return Ranking(usable, unusable, _ranked((found[rank] for rank in ranks), dtype))


def _bracketed(sampled: Sampled, wanted: Wanted, dtype: DType) -> tuple[Span, ...]:
    """Where a sample says that the wanted ranks lie; one without usable elements says nothing."""
    sample = spread(sampled, dtype)
    return () if sample is None else spans(sample, wanted(sample.stands_for), dtype)


def percentile(lens: Lens, p: float) -> Study[Percentile]:
    """The value under which p per cent of the elements lie, 0 <= p <= 100, interpolated linearly in float64.

    With n usable elements x[0] <= x[1] <= ..., h = (n - 1) * (p / 100) and g = h - floor(h): between x[floor(h)] and
    the next one at a share of g, to the last bit `numpy.percentile` of the elements in float64 (definition 7 of
    Hyndman & Fan 1996, doi:10.2307/2684934). Between two equal neighbours nothing is computed; InputError between
    a finite and an infinite one.
    """
    share = p / 100

    def neighbours(count: int) -> Sequence[int]:
        place = (count - 1) * share
        return math.floor(place), math.ceil(place)

    result = yield from ranking(lens, neighbours)
    place = (result.usable - 1) * share
    return _between(result, lambda a, b: linear(a, b, place - math.floor(place)), f"percentile {p:.15g}")


def median(lens: Lens) -> Study[Percentile]:
    """The middle element, or the mean of the middle two in float64, as `numpy.median` of the elements in float64
    (but never infinite between finite ones); InputError between a finite and an infinite one."""
    result = yield from ranking(lens, lambda count: ((count - 1) // 2, count // 2))
    return _between(result, _mean, "median")


def _between(result: Ranking, mix: Callable[[float, float], float], name: str) -> Percentile:
    """What two neighbours are mixed to, if they differ."""
    value = math.nan
    if result.found:
        a, b = (float(ranked.value) for ranked in result.found)
        if a != b and (math.isinf(a) or math.isinf(b)):
            ends = "two infinite elements" if a == -b else "a finite and an infinite element"
            raise InputError(f"has no {name}: it lies between {ends}", hint="choose another, or a rank such as top10%")
        value = a if a == b else mix(a, b)
    return Percentile(value, result.usable, result.unusable)


def linear(a: float, b: float, share: float) -> float:
    """The value at a share of the way from a to b, rounded as NumPy does (from the nearer end, so that it never falls
    as the share grows); halved first where the difference would overflow."""
    step = b - a
    if math.isinf(step):
        return 2 * linear(a / 2, b / 2, share)
    return b - step * (1 - share) if share >= 0.5 else a + step * share


def _mean(a: float, b: float) -> float:
    return a / 2 + b / 2 if math.isinf(a + b) else (a + b) / 2
