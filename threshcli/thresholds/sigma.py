"""Standard deviations as a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._written import exact, number_in
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Lens, Study
    from threshcli.studies.summary import Summary

_LEAST = 1e-280  # variances below it have lost digits


@dataclass(frozen=True)
class Sigma(Worked):
    """`2sigma`: so many standard deviations above the mean; for rules that compare abs(x), so many from zero.

    Formula: mean + K * std, or K * std; the population's standard deviation (ddof 0) of x itself, NaN and infinities
    left out, in float64. Of complex x it is sqrt(mean(abs(x - mean(x))^2)), as `numpy.std` has it.
    """

    form: ClassVar[str] = "2sigma"
    meaning: ClassVar[str] = "mean and standard deviations"
    alike: ClassVar[bool] = True

    factor: Fraction

    @classmethod
    def parse(cls, text: str) -> Self | None:
        factor = number_in(text, "", "sigma", signed=True)
        return None if factor is None else cls(text, factor)

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.base import VALUE, Lens

        lenses = (Lens(part=0), Lens(part=1)) if terms.complex else (VALUE,)
        spreads = []
        for lens in lenses:
            found, deviation = yield from self._spread(lens)
            spreads.append(deviation)
        spread = float(self.factor) * math.hypot(*spreads)
        unusable = found.nan + found.inf
        value = spread if terms.magnitude else (found.mean or 0.0) + spread
        return Answer(values=(exact(value),), usable=found.elements - unusable, unusable=unusable)

    def _spread(self, lens: Lens) -> Study[tuple[Summary, float]]:
        """What one pass tells, and the standard deviation."""
        from threshcli.studies.summary import summary

        found = yield from summary(lens)
        if found.mean is None or found.variance is None:
            raise self.useless("NaN or infinite")
        if found.low == found.high or _LEAST < found.variance < math.inf:
            return found, math.sqrt(found.variance)
        around = yield from summary(replace(lens, centre=found.mean))  # squares overflow, or vanish
        if around.finite < found.finite or math.isinf(around.norm2):
            raise self.overflows()
        return found, around.norm2 / math.sqrt(around.finite)
