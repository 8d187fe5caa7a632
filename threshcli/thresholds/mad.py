"""Median absolute deviations as a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.errors import InputError
from threshcli.thresholds._written import exact, number_in
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study

_NORMAL = 1.4826  # makes the deviation that of a normal distribution: 1 / Phi^-1(3/4)


@dataclass(frozen=True)
class Mad(Worked):
    """`3mad`: so many median absolute deviations above the median; for rules that compare abs(x), so many from zero.

    Formula: median + K * 1.4826 * MAD, or K * 1.4826 * MAD, with MAD = median(abs(x - median(x))), in float64
    (Rousseeuw & Croux 1993, doi:10.1080/01621459.1993.10476408). Complex x have no median.
    """

    form: ClassVar[str] = "3mad"
    meaning: ClassVar[str] = "median and its absolute deviation"
    ordered: ClassVar[bool] = True

    factor: Fraction

    @classmethod
    def parse(cls, text: str) -> Self | None:
        factor = number_in(text, "", "mad", signed=True)
        return None if factor is None else cls(text, factor)

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.base import VALUE, Lens
        from threshcli.studies.ranks import median

        middle = yield from median(VALUE)
        if not middle.usable:
            raise self.useless("NaN")
        if math.isinf(middle.value):
            raise InputError(f"has no {self.text}: its median is infinite", hint="give a number, or a percentile")
        deviation = yield from median(Lens(centre=middle.value))
        spread = float(self.factor) * _NORMAL * deviation.value
        value = spread if terms.magnitude else middle.value + spread
        return Answer(values=(exact(value),), usable=middle.usable, unusable=middle.unusable)
