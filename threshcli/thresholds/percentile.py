"""A percentile as a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._written import exact, share_in
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study


@dataclass(frozen=True)
class Percentile(Worked):
    """`p90`: the value under which 90 % lie, of x, or of abs(x) for rules that compare it.

    Formula: with the n elements that are not NaN in ascending order and h = (n - 1) * p / 100, the elements at floor(h)
    and the next, interpolated linearly in float64: `numpy.percentile(..., method="linear")` of the float64 copy, bit
    for bit (definition 7 of Hyndman & Fan 1996, doi:10.1080/00031305.1996.10473566). Between a finite and an infinite
    element there is nothing: InputError.
    """

    form: ClassVar[str] = "p90"
    meaning: ClassVar[str] = "percentile"

    share: Fraction

    @classmethod
    def parse(cls, text: str) -> Self | None:
        share = share_in(text, "p", "")
        return None if share is None else cls(text, share)

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.ranks import percentile

        found = yield from percentile(terms.lens, float(self.share * 100))
        if not found.usable:
            raise self.useless("NaN")
        return Answer(values=(exact(found.value),), usable=found.usable, unusable=found.unusable)
