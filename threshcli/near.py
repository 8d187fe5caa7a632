"""Names that are near to one that is not there, for those who mistyped it."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Collection

_MANY = 1000
"""Names that are compared, at about 50 us each; where there are more than twice as many, so many that begin like the
wanted one, and so many that end like it."""


def near_names(wanted: str, names: Collection[str], *, cutoff: float = 0.6) -> list[str]:
    """Up to three of the names: the nearest first, or the first ones where none is near."""
    ordered = sorted(set(names))
    some = ordered
    if len(ordered) > 2 * _MANY:
        backwards = _around(wanted[::-1], sorted(name[::-1] for name in ordered))
        some = sorted({*_around(wanted, ordered), *(name[::-1] for name in backwards)})
    return difflib.get_close_matches(wanted, some, 3, cutoff) or ordered[:3]


def _around(wanted: str, ordered: list[str]) -> list[str]:
    """The neighbours of a name in sorted ones: no others begin with more of what it begins with."""
    place = bisect.bisect(ordered, wanted)
    return ordered[max(place - _MANY // 2, 0) : place + _MANY // 2]
