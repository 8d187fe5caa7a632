"""A share of elements that are to be zero, as a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._ranked import EVERYWHERE
from threshcli.thresholds._written import share_in
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study


@dataclass(frozen=True)
class Zero(Worked):
    """`zero90%`: at least that share of the elements is zero afterwards, those counted that were zero before.

    Of n elements that are not NaN at least ceil(share * n) go: those whose magnitude is at or under the order
    statistic that this needs, all of its ties with it, whatever the rule says of equality. It is the sparsity that
    pruning speaks of, and looks at abs(x) for every rule.
    """

    form: ClassVar[str] = "zero90%"
    meaning: ClassVar[str] = "so much is zero afterwards"
    keeps_largest: ClassVar[bool] = True

    share: Fraction

    @classmethod
    def parse(cls, text: str) -> Self | None:
        share = share_in(text, "zero")
        return None if share is None else cls(text, share)

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.base import MAGNITUDE
        from threshcli.studies.ranks import ranking

        found = yield from ranking(MAGNITUDE, lambda n: [max(math.ceil(self.share * n) - 1, 0)] if n else [])
        if not found.usable:
            raise self.useless("NaN")
        cut, goes = found.found[0], math.ceil(self.share * found.usable)
        return Answer(
            values=(cut.value,),
            above=0 if goes else EVERYWHERE,
            asked=found.usable - goes,
            tied=cut.equal,
            usable=found.usable,
            unusable=found.unusable,
        )
