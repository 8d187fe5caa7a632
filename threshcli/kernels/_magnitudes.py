"""abs(x) of complex x, for NumPy and torch alike: the same operations in the same order, so the same bits.

Libraries do not agree on it, nor do processors, so it is made of +, -, *, / and square roots, each rounded once as IEEE
754 says. Parts of up to 32 bits are squared exactly in float64, and the root of the sum is rounded once more to their
type: it is within 0.5000001 units in the last place of the true value. Of float64 parts the root is corrected by what
rounding has left of its square (Dekker 1971, doi:10.1007/BF01397083): within 0.501 units, or one where it is subnormal.
Neither overflows before the result does. Whole numbers such as abs(3 + 4i) are exact.

An infinite part makes it infinite whatever the other part is, as C99 (annex G) has it; else NaN makes it NaN. What is
said here of arrays holds for tensors: `xp` is the library.
"""

from __future__ import annotations

from typing import Any

_LARGE, _SMALL = 2.0**500, 2.0**-400
"""Where the larger part is between these, squares keep all their digits; beyond, it is scaled by 2^600 first."""
_SPLITTER = 2.0**27 + 1
_NOTHING = 2.0**-1000  # added to a divisor, it changes none but 0


def narrow(real: Any, imaginary: Any, xp: Any) -> Any:
    """sqrt(real^2 + imaginary^2) of float64 arrays whose squares are exact; NaN where a part is."""
    return xp.sqrt(real * real + imaginary * imaginary)


def usual(real: Any, imaginary: Any, xp: Any) -> Any:
    """The same of any float64 parts that need no scaling; NaN where a part is, or is infinite."""
    first, second = _square(real), _square(imaginary)
    total, rest = _sum(first[0], second[0])
    root = xp.sqrt(total)
    high, low = _square(root)
    rest = ((total - high) - low) + (rest + (first[1] + second[1]))
    return root + rest / ((root + root) + _NOTHING)


def scaled(real: Any, imaginary: Any, xp: Any) -> Any:
    """The same of all float64 parts."""
    peak = xp.maximum(xp.abs(real), xp.abs(imaginary))
    large, small = peak > _LARGE, peak < _SMALL
    up, down, one = (xp.full_like(peak, number) for number in (2.0**600, 2.0**-600, 1.0))
    scale = xp.where(large, down, xp.where(small, up, one))
    back = xp.where(large, up, xp.where(small, down, one))
    return usual(real * scale, imaginary * scale, xp) * back


def needs_scaling(peak: Any) -> bool:
    """Whether some larger parts of an array need it; zeros do not, NaN and infinities do."""
    if not peak.max() <= _LARGE:
        return True
    return bool(peak.min() < _SMALL and ((peak < _SMALL) & (peak > 0)).any())


def _square(x: Any) -> tuple[Any, Any]:
    """x^2 as the nearest float64 and what it lacks, both exact."""
    spread = x * _SPLITTER
    high = spread - (spread - x)
    low = x - high
    square = x * x
    return square, ((high * high - square) + (high + high) * low) + low * low


def _sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b as the nearest float64 and what it lacks, exact (Knuth's TwoSum: no order of size is needed)."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)
