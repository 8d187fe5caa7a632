"""The table of bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["wall", "cpu", "peak"]


@dataclass(frozen=True, slots=True)
class Row:
    """One bar: what was measured of thresh, of what it is compared with, and the most that it may be (`limit`, in the
    same unit; None where nothing is asked). Seconds, or bytes for a peak."""

    bar: str
    quantity: Quantity
    ours: float
    theirs: float | None
    limit: float | None
    rule: str
    """The limit in words."""

    @property
    def met(self) -> bool | None:
        return None if self.limit is None else self.ours <= self.limit

    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        ratio = "" if not self.theirs else f"{self.ours / self.theirs:.2f}"
        met = {None: "", True: "yes", False: "NO"}[self.met]
        shown = [self._shown(value) for value in (self.ours, self.theirs, self.limit)]
        return (self.bar, self.quantity, shown[0], shown[1], ratio, shown[2], self.rule, met)

    def _shown(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value / 1e6:.0f} MB" if self.quantity == "peak" else f"{value:.3f} s"


TITLES = ("BAR", "WHAT", "OURS", "THEIRS", "RATIO", "AT MOST", "WHICH IS", "MET")
_RIGHT = (2, 3, 4, 5)


def render(rows: Sequence[Row]) -> str:
    """Lines of text, one a row."""
    table = [TITLES, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(TITLES))]
    return "".join(_line(cells, widths) for cells in table)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip() + "\n"
