"""Standard deviations as a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._written import exact, number_in
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study

_LEAST = 1e-280  # variances below it have lost digits


@dataclass(frozen=True)
class Sigma(Worked):
    """`2sigma`: so many standard deviations above the mean; for rules that compare abs(x), so many from zero.

    Formula: mean + K * std, or K * std; the population's standard deviation (ddof 0) of x itself, NaN and infinities
    left out, in float64.
    """

    form: ClassVar[str] = "2sigma"
    meaning: ClassVar[str] = "mean and standard deviations"

    factor: Fraction

    @classmethod
    def parse(cls, text: str) -> Self | None:
        factor = number_in(text, "", "sigma", signed=True)
        return None if factor is None else cls(text, factor)

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.base import VALUE, Lens
        from threshcli.studies.summary import summary

        found = yield from summary(VALUE)
        if found.mean is None or found.variance is None:
            raise self.useless("NaN or infinite")
        deviation = math.sqrt(found.variance)
        if found.low != found.high and not _LEAST < found.variance < math.inf:  # squares overflow, or vanish
            around = yield from summary(Lens(centre=found.mean))
            if around.finite < found.finite or math.isinf(around.norm2):
                raise self.overflows()
            deviation = around.norm2 / math.sqrt(around.finite)
        spread = float(self.factor) * deviation
        unusable = found.nan + found.inf
        value = spread if terms.magnitude else found.mean + spread
        return Answer(values=(exact(value),), usable=found.elements - unusable, unusable=unusable)
