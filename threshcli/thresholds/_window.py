"""How sources from a window around each element are written."""

from __future__ import annotations

import re

from threshcli.dtypes import Real
from threshcli.errors import UsageError
from threshcli.spec import Number

_SIZES = re.compile(r"\d{1,6}(x\d{1,6})*", re.ASCII)


def sizes_in(text: str, spec: str) -> tuple[int, ...]:
    """The sizes of a window, `15` or `15x15x7`; UsageError where they are none, or even."""
    if _SIZES.fullmatch(text) is None:
        name = spec.partition(":")[0]
        raise UsageError(f"{spec!r} has no window", hint=f"write {name}:15, or {name}:15x15x7 for three axes")
    found = tuple(map(int, text.split("x")))
    if not all(size % 2 for size in found):
        raise UsageError(f"{spec!r} has a window of even size", hint="a window has its element in the middle: use 15")
    return found


def number_of(text: str, name: str, spec: str) -> float:
    """A finite number among the options of a source."""
    try:
        value: Real = Number.parse(text).value
        found = float(value)
    except (UsageError, OverflowError):
        raise UsageError(f"{name} of {spec!r} is not a number", hint="write it as 0.2") from None
    if isinstance(value, float):
        raise UsageError(f"{name} of {spec!r} is not finite", hint="write it as 0.2")
    return found
