"""A share of the sum of squares that is to stay, as a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._ranked import cut_at
from threshcli.thresholds._written import share_in
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study


@dataclass(frozen=True)
class EnergyThreshold(Worked):
    """`energy99%`: the fewest of the largest magnitudes stay whose squares add up to that share of all squares.

    For rules that compare x the largest x stay. The sums are exact. Infinite elements stay and are in no sum; of
    nothing but zeros nothing stays. Ties at the cut go by `--ties`.
    """

    form: ClassVar[str] = "energy99%"
    meaning: ClassVar[str] = "the fewest that hold so much of the sum of squares stay"
    keeps_largest: ClassVar[bool] = True

    share: Fraction

    @classmethod
    def parse(cls, text: str) -> Self | None:
        share = share_in(text, "energy")
        return None if share is None else cls(text, share)

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.energy import energy

        found = yield from energy(self.share, terms.lens)
        if not found.usable:
            raise self.useless("NaN")
        answer = yield from cut_at(terms.lens, found.cut, found.usable, found.kept, terms.ties)
        return answer._replace(unusable=found.unusable)
