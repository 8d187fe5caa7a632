"""What thresholds that are worked out from data must be: element by element, in plain Python, slow and obvious.

Values are Fractions, or the floats inf, -inf and nan; a position is an index into the population. Order statistics are
exact here and are compared as such; what is computed in float64 is compared within a few units in the last place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random

import numpy as np

from tests import reference
from tests.reference import decode, is_finite, is_nan, size
from tests.strategies import REAL
from threshcli.dtypes import DType, Real
from threshcli.kernels.base import MapCompare


class Nothing(Exception):
    """There is no such threshold."""


@dataclass(frozen=True)
class Found:
    """A threshold; of a cut by rank, the positions of the elements equal to it that are above it. `exact`: to the last
    bit. `asked`, `usable` and `unusable` as the report has them."""

    value: Real
    above: frozenset[int] | None = None
    exact: bool = True
    asked: int | None = None
    usable: int = 0
    unusable: int = 0

    def holds(self, code: int, dtype: DType, position: int, compare: MapCompare, magnitude: bool) -> bool:
        """Whether an element is above the threshold, or whatever `compare` says."""
        x = decode(code, dtype)
        if is_nan(x):
            return False
        x = size(x) if magnitude else x
        if self.above is not None:
            return x > self.value or (x == self.value and position in self.above)
        return reference.scalar([code], dtype, compare, self.value, magnitude=magnitude)[0]


def work(spec: str, values: Sequence[Real], *, magnitude: bool = False, ties: str = "first") -> Found:
    """The threshold of a population, by what the documentation says."""
    own = [size(value) if magnitude else value for value in values]
    known = [position for position, value in enumerate(own) if not is_nan(value)]
    finite = [value for value in values if is_finite(value)]
    for pattern, source in _SOURCES.items():
        match = re.fullmatch(pattern, spec)
        if match is not None:
            sums = source in (_sigma, _mean, _bayes)
            if not (finite if sums else known):
                raise Nothing
            found = source(_Asked("".join(match.groups()), magnitude, ties), values, own)
            usable = len(finite) if sums else len(known)
            return Found(
                found.value, found.above, found.exact, found.asked, usable=usable, unusable=len(values) - usable
            )
    raise KeyError(spec)


@dataclass(frozen=True)
class _Asked:
    text: str = ""
    magnitude: bool = False
    ties: str = "first"

    @property
    def number(self) -> Fraction:
        return Fraction(self.text)


Values = Sequence[Real]


def _sorted(values: Values) -> list[Real]:
    return sorted(value for value in values if not is_nan(value))


def _between(low: Real, high: Real, mixed: Callable[[], float]) -> Found:
    if low == high:
        return Found(low if not is_finite(low) else Fraction(float(low)))
    if not (is_finite(low) and is_finite(high)):
        raise Nothing
    return Found(_real(mixed()))


def _real(value: float) -> Real:
    return Fraction(value) if math.isfinite(value) else value


def _percentile(asked: _Asked, values: Values, own: Values) -> Found:
    ordered, p = _sorted(own), float(asked.number)
    place = (len(ordered) - 1) * (p / 100)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return _between(low, high, lambda: float(np.percentile([float(value) for value in ordered], p)))


def _median(asked: _Asked, values: Values, own: Values) -> Found:
    ordered = _sorted(own)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return _between(low, high, lambda: float(np.median([float(value) for value in ordered])))


def _cut(own: Values, kept: int, ties: str) -> Found:
    """The cut that so many of the largest are above."""
    ordered = _sorted(own)
    value = ordered[min(len(ordered) - kept, len(ordered) - 1)]
    tied = [position for position, other in enumerate(own) if other == value]
    wanted = kept - sum(other > value for other in own)
    if 0 < wanted < len(tied):
        wanted = {"first": wanted, "all": len(tied), "none": 0}[ties]
    return Found(value, frozenset(tied[: max(wanted, 0)]), asked=kept)


def _top(asked: _Asked, values: Values, own: Values) -> Found:
    usable = len(_sorted(own))
    found = _cut(own, min(int(asked.number), usable), asked.ties)
    return Found(found.value, found.above, asked=int(asked.number))


def _share(asked: _Asked, values: Values, own: Values) -> Found:
    return _cut(own, round(asked.number / 100 * len(_sorted(own))), asked.ties)


def _zero(asked: _Asked, values: Values, own: Values) -> Found:
    sizes = [size(value) for value in values]
    ordered = _sorted(sizes)
    goes = math.ceil(asked.number / 100 * len(ordered))
    value = ordered[max(goes - 1, 0)]
    tied = [position for position, other in enumerate(sizes) if other == value]
    return Found(value, frozenset([] if goes else tied), asked=len(ordered) - goes)


def _energy(asked: _Asked, values: Values, own: Values) -> Found:
    largest = _sorted(own)[::-1]
    infinite = sum(value == math.inf for value in largest)
    squares = [value * value for value in largest if is_finite(value)]
    total, held, kept = sum(squares, Fraction(0)), Fraction(0), infinite
    while total and held < asked.number / 100 * total:
        held += Fraction(squares[kept - infinite])
        kept += 1
    return _cut(own, kept, asked.ties)


def _moments(values: Values) -> tuple[int, float, float, float]:
    """How many are finite, their mean, mean square and variance: exact, then rounded once."""
    finite = [Fraction(value) for value in values if is_finite(value)]
    count = len(finite)
    mean = sum(finite, Fraction(0)) / count
    square = sum((value * value for value in finite), Fraction(0)) / count
    return count, float(mean), _float(square), _float(square - mean * mean)


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _mean(asked: _Asked, values: Values, own: Values) -> Found:
    return Found(_real(_moments(own)[1]), exact=False)


def _sigma(asked: _Asked, values: Values, own: Values) -> Found:
    _, mean, _, variance = _moments(values)
    spread = float(asked.number) * math.sqrt(variance)
    return Found(_real(spread if asked.magnitude else mean + spread), exact=False)


def _mad(asked: _Asked, values: Values, own: Values) -> Found:
    middle = float(_median(asked, values, values).value)
    off = [_real(abs(float(value) - middle)) for value in values if not is_nan(value)]
    spread = float(asked.number) * 1.4826 * float(_median(asked, off, off).value)
    return Found(_real(spread if asked.magnitude else middle + spread), exact=False)


def _noise(values: Values) -> float:
    sizes = [size(value) for value in values]
    return float(_median(_Asked(), sizes, sizes).value) / 0.6745


def _universal(asked: _Asked, values: Values, own: Values) -> Found:
    return Found(_real(_noise(values) * math.sqrt(2 * math.log(len(_sorted(own))))), exact=False)


def _bayes(asked: _Asked, values: Values, own: Values) -> Found:
    noise, square = _noise(values), _moments(values)[2]
    if square <= noise * noise:
        return Found(max(size(value) for value in values if is_finite(value)))
    return Found(_real(noise * noise / math.sqrt(square - noise * noise)), exact=False)


_NUMBER = r"([+-]?[\d.]+)"
_SOURCES: dict[str, Callable[[_Asked, Values, Values], Found]] = {
    f"p{_NUMBER}": _percentile,
    "median": _median,
    r"top(\d+)": _top,
    f"top{_NUMBER}%": _share,
    f"zero{_NUMBER}%": _zero,
    f"energy{_NUMBER}%": _energy,
    "mean": _mean,
    f"{_NUMBER}sigma": _sigma,
    f"{_NUMBER}mad": _mad,
    "universal": _universal,
    "bayes": _bayes,
}
ORDER = ["p0", "p100", "p50", "p12.5", "p99.9", "median", "top0", "top1", "top5", "top30%", "top1000"]
ORDER += ["zero0%", "zero50%", "zero90%", "zero100%", "energy0%", "energy60%", "energy100%"]
"""Sources that are order statistics."""
COMPUTED = ["mean", "2sigma", "-1sigma", "3mad", "universal", "bayes"]
"""Sources that compute in float64."""


def values_of(codes: Sequence[int], dtype: DType) -> list[Real]:
    return [decode(code, dtype) for code in codes]


def close(found: float, wanted: Real, values: Sequence[Real]) -> bool:
    """Whether a threshold computed from these values is what it should be but for rounding in float64."""
    if not is_finite(wanted) or not math.isfinite(found):
        return found == wanted
    largest = max(size(value) for value in (wanted, *values) if is_finite(value))
    return abs(found - float(wanted)) <= float(largest) / 1e14


def samples(dtype: DType, seed: int = 0) -> dict[str, list[int]]:
    """Codes of a dtype as data has them: any bits, few different values, one, a constant, in order, ends of ranges."""
    chance = Random(seed + len(dtype.name))
    whole = 2 if dtype.kind == "bool" else 1 << dtype.bits
    special = reference.special(dtype)
    number = [code for code in special if is_finite(decode(code, dtype))]
    few = chance.sample(number, min(4, len(number)))
    pool = [*special, *(chance.randrange(whole) for _ in special)]
    in_order = sorted((code for code in pool if is_finite(decode(code, dtype))), key=lambda code: decode(code, dtype))
    return {
        "mixed": [chance.choice(pool) for _ in range(25)],
        "ties": [chance.choice(few) for _ in range(30)],
        "one": [number[-1]],
        "constant": [number[0]] * 7,
        "sorted": in_order[::3],
        "special": special,
        "empty": [],
    }


@cache
def all_samples(seed: int = 0) -> dict[str, tuple[DType, list[int]]]:
    """Such data in every dtype, by name."""
    return {f"{dtype}.{kind}": (dtype, codes) for dtype in REAL for kind, codes in samples(dtype, seed).items()}
