"""Cuts by rank: which of the elements that are equal to the cut stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threshcli.thresholds.base import Answer, Ties

if TYPE_CHECKING:
    from threshcli.studies.base import Lens, Study
    from threshcli.studies.ranks import Ranked

EVERYWHERE = 1 << 62
"""A position after all others: every element equal to the cut is above it."""


def cut_at(lens: Lens, cut: Ranked, usable: int, kept: int, ties: Ties) -> Study[Answer]:
    """The cut at an order statistic that `kept` of the `usable` elements are to be above: all those that are larger,
    and of those equal to it the first ones, all, or none, as `ties` says."""
    from threshcli.studies.ties import tie_position

    wanted = kept - (usable - cut.below - cut.equal)
    above = 0
    if wanted >= cut.equal or (wanted > 0 and ties == "all"):
        above = EVERYWHERE
    elif wanted > 0 and ties == "first":
        above = yield from tie_position(lens, cut.value, wanted)
    return Answer(values=(cut.value,), above=above, asked=kept, tied=cut.equal, usable=usable)
