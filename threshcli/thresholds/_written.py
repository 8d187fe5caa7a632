"""How sources with a number in them are written."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from threshcli.errors import UsageError

_DECIMAL = r"(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})"


def number_in(text: str, before: str, after: str, *, signed: bool = False) -> Fraction | None:
    """The decimal number between two fixed parts of a text, exact; None if it is not written so."""
    sign = "([+-]?)" if signed else "()"
    match = re.fullmatch(f"{sign}{re.escape(before)}{_DECIMAL}{re.escape(after)}", text, re.ASCII)
    if match is None:
        return None
    return -Fraction(match[2]) if match[1] == "-" else Fraction(match[2])


def share_in(text: str, before: str, after: str = "%") -> Fraction | None:
    """Such a number as a share of one: `zero90%` is 9/10; UsageError above 100 %."""
    found = number_in(text, before, after)
    if found is not None and found > 100:
        raise UsageError(f"{text!r} is more than all", hint=f"write a number up to 100: {before}100{after}")
    return None if found is None else found / 100


def exact(value: float) -> Fraction | float:
    """A float as a threshold's value: without rounding from here on."""
    return Fraction(value) if math.isfinite(value) else value
