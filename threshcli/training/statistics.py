"""What became of gradients: counts and norms, for logging."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["GradientStats", "ParameterStats"]

Array = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """Of some elements: how many, how many are zero afterwards, how many are NaN, and the sums of squares of what is
    finite, before and after."""

    elements: int = 0
    dropped: int = 0
    nan: int = 0
    before: float = 0.0
    after: float = 0.0

    def plus(self, other: Measured) -> Measured:
        """Of both together."""
        counts = (self.elements + other.elements, self.dropped + other.dropped, self.nan + other.nan)
        return Measured(*counts, self.before + other.before, self.after + other.after)


class Rows(NamedTuple):
    """Some columns of a table of what was measured on a device. Its four lines are norms of what is finite, before and
    after, how many elements are not zero afterwards, and how many are NaN."""

    table: Tensor
    start: int
    stop: int
    droppable: int
    """How many elements were dropped if they are zero: by rank, zeros may stay."""


class Waiting(NamedTuple):
    """What `Measured` tells of elements on a device that may still be at work: nobody waits for it until the numbers
    are asked for."""

    elements: int
    rows: tuple[Rows, ...]

    def read(self, fetched: Mapping[int, Array]) -> Measured:
        """The numbers, from tables by their ids."""
        found = Measured(self.elements)
        for table, start, stop, droppable in self.rows:
            columns = fetched[id(table)][:, start:stop]
            before, after = np.square(columns[:2]).sum(1).tolist()
            stays, nan = (int(count) for count in columns[2:].sum(1))
            found = found.plus(Measured(0, max(0, droppable - stays), nan, before, after))
        return found


@dataclass(frozen=True, slots=True)
class ParameterStats:
    """What became of the gradient of one parameter, or of several together.

    Example:
        >>> import torch, threshcli
        >>> weight = torch.nn.Parameter(torch.zeros(4))
        >>> weight.grad = torch.tensor([3.0, -4.0, 0.5, 0.0])
        >>> found = threshcli.backward_threshold([weight], 1).total
        >>> found.kept_share, found.sparsity, found.norm_before
        (0.5, 0.5, 5.024937810560445)
    """

    elements: int
    kept: int
    """Elements above the threshold."""
    nan: int
    """Elements that are NaN, which pass; they are not in `kept`."""
    norm_before: float
    """Root of the sum of squares of the finite elements; with error feedback, of gradient and remainder together."""
    norm_after: float
    threshold: float | None = None
    """What was compared with; None of several parameters together."""

    @property
    def kept_share(self) -> float:
        """The density: what was kept, of all elements; 1 where there are none."""
        return self.kept / self.elements if self.elements else 1.0

    @property
    def sparsity(self) -> float:
        """The share of elements that are zero now."""
        return (self.elements - self.kept - self.nan) / self.elements if self.elements else 0.0

    @property
    def norm_kept(self) -> float:
        """The share of the norm that is left; 1 where there was none."""
        return self.norm_after / self.norm_before if self.norm_before else 1.0


@dataclass(frozen=True, slots=True)
class GradientStats:
    """What became of gradients at one step, by parameter and in sum; parameters without a gradient, or without a
    threshold, are not in it.

    Example:
        >>> import torch, threshcli
        >>> layer = torch.nn.Linear(3, 2)
        >>> layer(torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        >>> stats = threshcli.backward_threshold(layer, 1)
        >>> stats.kept_share, stats.parameters["bias"].sparsity
        (0.5, 1.0)
    """

    parameters: Mapping[str, ParameterStats]

    @property
    def total(self) -> ParameterStats:
        """All of them together."""
        parts = self.parameters.values()
        norms = [math.hypot(*(getattr(part, name) for part in parts)) for name in ("norm_before", "norm_after")]
        kept, nan = (sum(getattr(part, name) for part in parts) for name in ("kept", "nan"))
        return ParameterStats(sum(part.elements for part in parts), kept, nan, norms[0], norms[1])

    @property
    def kept_share(self) -> float:
        """The density of all gradients together."""
        return self.total.kept_share

    @property
    def sparsity(self) -> float:
        """The share of all elements that is zero now."""
        return self.total.sparsity

    @property
    def norm_kept(self) -> float:
        """The share of the norm of all gradients together that is left."""
        return self.total.norm_kept


class Line(NamedTuple):
    """What is to be told of a parameter: its name, its threshold, what was measured."""

    name: str
    threshold: float
    measured: Measured | Waiting


def told(lines: Iterable[Line]) -> GradientStats:
    """Statistics; waits for devices."""
    found, all_lines = {}, list(lines)
    fetched = _fetched(line.measured for line in all_lines if isinstance(line.measured, Waiting))
    for name, threshold, measured in all_lines:
        seen = measured.read(fetched) if isinstance(measured, Waiting) else measured
        kept = seen.elements - seen.dropped - seen.nan
        found[name] = ParameterStats(
            seen.elements, kept, seen.nan, math.sqrt(seen.before), math.sqrt(seen.after), threshold
        )
    return GradientStats(found)


def _fetched(several: Iterable[Waiting]) -> dict[int, Array]:
    """What was measured on devices, by the ids of its tables there. Each device is waited for once."""
    there: dict[torch.device, dict[int, Tensor]] = {}
    for waiting in several:
        for rows in waiting.rows:
            there.setdefault(rows.table.device, {})[id(rows.table)] = rows.table
    found: dict[int, Array] = {}
    for tables in there.values():
        ends = np.cumsum([table.shape[1] for table in tables.values()])
        here = torch.cat(list(tables.values()), 1).cpu().double().numpy()
        found.update(zip(tables, np.split(here, ends[:-1], axis=1), strict=True))
    return found
