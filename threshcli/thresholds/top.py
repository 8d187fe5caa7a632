"""A number of elements that are to stay, as a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._ranked import cut_at
from threshcli.thresholds._written import number_in, share_in
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study


@dataclass(frozen=True)
class Top(Worked):
    """`top1000`, `top10%`: exactly that many of the largest elements stay; a share keeps round(share * n).

    Halves are rounded to even. Of the elements equal to the smallest that stays, those at the lowest positions in
    (file, tensor, flat index) order stay (`--ties first`), or all of them, or none. NaN is not counted. Where there are
    fewer elements than asked for, all stay, with a warning.
    """

    form: ClassVar[str] = "top1000, top10%"
    meaning: ClassVar[str] = "so many of the largest stay"
    keeps_largest: ClassVar[bool] = True

    count: int | None
    share: Fraction | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        share = share_in(text, "top")
        count = number_in(text, "top", "")
        if share is None and (count is None or "." in text):
            return None
        return cls(text, None if count is None else int(count), share)

    def kept(self, usable: int) -> int:
        """How many of so many elements stay."""
        return min(self.count, usable) if self.count is not None else round((self.share or 0) * usable)

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.ranks import ranking

        found = yield from ranking(terms.lens, lambda n: [min(n - self.kept(n), n - 1)] if n else [])
        if not found.usable:
            raise self.useless("NaN")
        kept = self.kept(found.usable)
        answer = yield from cut_at(terms.lens, found.found[0], found.usable, kept, terms.ties)
        asked, warning = kept, None
        if self.count is not None and self.count > found.usable:
            asked, warning = self.count, f"{self.text} asks for more than there are: all {found.usable:,} stay"
        return answer._replace(asked=asked, unusable=found.unusable, warning=warning)
