"""The mean as a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._written import exact
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study


@dataclass(frozen=True)
class Mean(Worked):
    """`mean`: the mean of x, or of abs(x) for rules that compare it, NaN and infinities left out, in float64.

    Formula: sum / n, added without rounding but inside stretches of 65,536 elements. Glasbey 1993,
    doi:10.1006/cgip.1993.1040; as `skimage.filters.threshold_mean`.
    """

    form: ClassVar[str] = "mean"
    meaning: ClassVar[str] = "mean value"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        return cls(text) if text == "mean" else None

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.summary import summary

        found = yield from summary(terms.lens)
        if found.mean is None or found.low is None:
            raise self.useless("NaN or infinite")
        value = found.low if found.low == found.high else exact(found.mean)  # an integer may have more digits
        return Answer(values=(value,), usable=found.finite, unusable=found.nan + found.inf)
