"""What the commands that only look have found, as plain values: `stats`, `hist`, `sweep`.

Apart from `results`, which every command needs: a class takes half a millisecond to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from threshcli.results import Scalar, TensorResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStats(TensorResult):
    """What `stats` tells of a tensor that was looked at, or of its magnitudes.

    `min` and `max` are over all that is not NaN; `mean`, `std` (of the population) and the norms over what is finite.
    None where there are no such elements; a percentile is None between a finite and an infinite one too.
    """

    zeros: int
    std: float | None
    norm1: float
    norm2: float
    norm_max: Scalar | None
    percentiles: tuple[tuple[str, float | None], ...] = ()
    """As they were asked for, with their values."""

    @property
    def density(self) -> float | None:
        """The share of the elements that are not zero; NaN is not."""
        return (self.elements - self.zeros) / self.elements if self.elements else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a cut lies in a histogram: before a row (counted from 0), or inside of it, after `before` of its elements;
    and which side of it is removed, if any is."""

    spec: str
    slot: str
    value: Scalar
    row: int
    before: int | None
    removing: Literal["below", "above"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHist(TensorResult):
    """What `hist` tells of a tensor that was looked at, or of its magnitudes: `counts` of the finite elements in rows
    between `edges`, one edge more than rows, the last row closed; of integers, the last edge is past the last row.

    `kept` and `removed` are of all that is not NaN, `removed_counts` by row; None where nothing is cut. `min` and `max`
    are over what is finite.
    """

    edges: tuple[Scalar, ...] = ()
    counts: tuple[int, ...] = ()
    removed_counts: tuple[int, ...] | None = None
    removed: int | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """What one threshold would do to a tensor: how many elements it would keep, the sum of squares of those that are
    finite (`energy`, as a share of that of all: `energy_share`), and how many elements would be zero then."""

    spec: str
    value: Scalar | None = None
    kept: int | None = None
    energy: float | None = None
    energy_share: float | None = None
    zeros_after: int | None = None
    asked: int | None = None
    tied: int | None = None
    reason: str | None = None
    """Why there is no such threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSweep(TensorResult):
    """What `sweep` tells of a tensor that was looked at, or of its magnitudes: a row for each threshold, in the order
    in which they were asked for; `energy` is the sum of squares of all finite elements."""

    rows: tuple[SweepRow, ...]
    zeros: int
    energy: float
