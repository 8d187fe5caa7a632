"""The median as a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._written import exact
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study


@dataclass(frozen=True)
class Median(Worked):
    """`median`: the value that half of the elements lie under, of x, or of abs(x) for rules that compare it.

    Formula: the middle one of the elements that are not NaN, or the mean of the middle two: `numpy.median` of the
    float64 copy.
    """

    form: ClassVar[str] = "median"
    meaning: ClassVar[str] = "middle value"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        return cls(text) if text == "median" else None

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.ranks import median

        found = yield from median(terms.lens)
        if not found.usable:
            raise self.useless("NaN")
        return Answer(values=(exact(found.value),), usable=found.usable, unusable=found.unusable)
