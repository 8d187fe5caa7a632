"""Numbers as people read them: short, and never a lie (99.99 % is not 100 %)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from threshcli.results import Scalar

NOTHING = "-"
"""Stands where there is no number to show."""

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("", "k", "M", "G", "T", "P")


def number(value: Scalar | None) -> str:
    """A value of a tensor: integers whole (they can be pasted back into `-t`), floats with four digits."""
    if value is None:
        return NOTHING
    if isinstance(value, int):
        return str(int(value))
    if 1000 <= abs(value) < 1_000_000:  # four digits of 65504 would be 6.55e+04
        return f"{value:.0f}"
    return f"{value or 0.0:.4g}"  # `or`: no -0


def count(value: int) -> str:
    """How many: with thousands separators."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


@lru_cache(maxsize=4096, typed=True)  # of many small tensors alike the shares are the same again and again
def percent(part: float, whole: float) -> str:
    """A share with one decimal; `0%` and `100%` stand for none and all, and for nothing else."""
    if whole == 0 or not math.isfinite(whole) or not math.isfinite(2000 * (part / whole)):
        return NOTHING
    if part in (0, whole):
        return "0%" if part == 0 else "100%"
    exact = isinstance(part, int) and isinstance(whole, int)
    tenths = int((2000 * part + whole) // (2 * whole)) if exact else round(1000 * (part / whole))
    if tenths == 0:
        return "<0.1%"
    return ">99.9%" if tenths == 1000 and part < whole else f"{tenths // 10}.{tenths % 10}%"


def _scaled(value: float, step: int, units: Sequence[str]) -> str:
    place = 0
    while round(value) >= step and place < len(units) - 1:  # rounded: 1023.9 KiB would be shown as 1024 KiB
        value /= step
        place += 1
    digits = 0 if (place == 0 and value == int(value)) or value >= 100 else 1
    return f"{value:.{digits}f} {units[place]}".rstrip()


def size(nbytes: int) -> str:
    """Bytes in binary units."""
    return _scaled(nbytes, 1024, _BINARY)


def rate(elements: int, seconds: float) -> str:
    """Elements per second."""
    return _scaled(elements / seconds, 1000, _DECIMAL) + "/s"


def duration(seconds: float) -> str:
    """Seconds, and above two minutes coarser units as well."""
    whole = round(seconds)
    if whole >= 7200:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    if whole >= 120:
        return f"{whole // 60} min {whole % 60} s"
    if seconds >= 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.2g} s" if seconds >= 0.001 else "0.001 s" if seconds > 0 else "0 s"


def shape(sizes: Sequence[int]) -> str:
    """`4096x4096`; without dimensions, `scalar`."""
    return "x".join(map(str, sizes)) or "scalar"


def root_sum_square(norms: Sequence[float]) -> float:
    """The norm of several tensors taken as one."""
    return math.hypot(*norms)
