"""Several percentiles in the passes of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from threshcli.studies.base import Lens, Study
from threshcli.studies.ranks import linear, ranking


def percentiles(lens: Lens, ps: Sequence[Fraction]) -> Study[tuple[float | None, ...]]:
    """For each p per cent, 0 <= p <= 100, the value under which so many elements lie: to the last bit that of
    `threshcli.studies.ranks.percentile`. None where no element is usable, and between a finite and an infinite one."""
    shares = [float(p) / 100 for p in ps]

    def wanted(count: int) -> list[int]:
        places = [(count - 1) * share for share in shares]
        return sorted({rank for place in places for rank in (math.floor(place), math.ceil(place))})

    result = yield from ranking(lens, wanted)
    if not result.found:
        return (None,) * len(shares)
    known = {rank: float(found.value) for rank, found in zip(wanted(result.usable), result.found, strict=True)}
    return tuple(_at((result.usable - 1) * share, known) for share in shares)


def _at(place: float, known: dict[int, float]) -> float | None:
    """The value at a place between two ranks."""
    a, b = known[math.floor(place)], known[math.ceil(place)]
    if a == b:
        return a
    return None if math.isinf(a) or math.isinf(b) else linear(a, b, place - math.floor(place))
