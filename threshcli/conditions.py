"""Conditions on what was counted, as people write them: `nan>0`, `kept<1%`, `norm_max >= 1e4`."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from threshcli.dtypes import Real
from threshcli.errors import UsageError
from threshcli.spec import Number

_FORM = re.compile(r"\s*([A-Za-z][\w-]*)\s*(>=|<=|==|!=|>|<|=)\s*([^%]+?)\s*(%?)\s*", re.ASCII)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """`NAME OP NUMBER`, or `NAME OP NUMBER%` for a count as a share of the elements; compared without rounding."""

    text: str
    name: str
    compare: str
    number: Number
    percent: bool

    @classmethod
    def parse(cls, text: str, counts: Collection[str], values: Collection[str] = ()) -> Condition:
        """Read a condition on one of these names, of which `counts` may be shares too; raises UsageError."""
        match = _FORM.fullmatch(text)
        if match is None or len(text) > 200:
            raise UsageError(f"{text[:60]!r} is not a condition", hint="write NAME OP NUMBER, such as 'nan>0'")
        name, compare, number, percent = match.groups()
        name = name.lower().replace("-", "_")
        known = [*counts, *values]
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"{text!r}: nothing is called {name!r}", hint=f"{meant}there are {', '.join(known)}")
        if percent and name not in counts:
            raise UsageError(
                f"{text!r}: {name} is no count, and has no share", hint=f"of {', '.join(counts)} a % can be"
            )
        try:
            limit = Number.parse(number)
        except UsageError as error:
            raise UsageError(f"{text!r}: {error.what}", hint=error.hint) from error
        if limit.is_nan:
            raise UsageError(f"{text!r}: nothing compares with NaN", hint="count them: 'nan>0'")
        return cls(text.strip(), name, "==" if compare == "=" else compare, limit, bool(percent))

    def holds(self, value: float | int | None, elements: int) -> bool:
        """Whether it holds of this value, of so many elements; it does of nothing that is missing, or NaN."""
        if value is None or value != value or (self.percent and not elements):
            return False
        found = _exact(value)
        if self.percent:
            found = found * 100 / elements
        return bool(_OPERATORS[self.compare](found, self.number.value))

    def __str__(self) -> str:
        return self.text


def _exact(value: float | int) -> Real:
    return Fraction(value) if math.isfinite(value) else float(value)
