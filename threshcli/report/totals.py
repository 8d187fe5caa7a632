"""Sums over tensors, for the rows of totals and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Literal, NamedTuple, Self

from threshcli.report import figures
from threshcli.results import RunResult, Scalar, TensorResult

Count = Literal["selected", "kept", "changed", "zeros_before", "zeros_after", "nan", "inf"]
_NONE = (0, 0)
_COUNTS: tuple[Count, ...] = ("selected", "kept", "changed", "zeros_before", "zeros_after", "nan", "inf")
_counts = attrgetter(*_COUNTS)


class Totals(NamedTuple):
    """What the tensors that a rule worked on come to; a count is None where none of them has it."""

    tensors: int
    elements: int
    counts: dict[Count, tuple[int, int]]
    """By name: the sum, and the elements of the tensors that it was taken over."""
    low: Scalar | None
    high: Scalar | None
    norms: tuple[float, float] | None

    @classmethod
    def of(cls, tensors: Sequence[TensorResult]) -> Self:
        """The totals of those `tensors` that the rule was applied to."""
        if len(tensors) == 1 and tensors[0].applied:
            return cls._of_one(tensors[0])
        applied = [tensor for tensor in tensors if tensor.applied]
        counts: dict[Count, tuple[int, int]] = {}
        for item in applied:
            for name, value in zip(_COUNTS, _counts(item), strict=True):
                if value is not None:
                    before = counts.get(name, _NONE)
                    counts[name] = before[0] + value, before[1] + item.elements
        norms = [
            (item.norm_before, item.norm_after)
            for item in applied
            if item.norm_before is not None and item.norm_after is not None
        ]
        return cls(
            tensors=len(applied),
            elements=sum(item.elements for item in applied),
            counts=counts,
            low=min(_numbers(item.min for item in applied), default=None),
            high=max(_numbers(item.max for item in applied), default=None),
            norms=_joined(norms) if norms else None,
        )

    @classmethod
    def _of_one(cls, item: TensorResult) -> Self:
        """Those of one tensor: what most files of a batch have."""
        elements, norms = item.elements, None
        if item.norm_before is not None and item.norm_after is not None:
            norms = item.norm_before, item.norm_after
        found = zip(_COUNTS, _counts(item), strict=True)
        counts = {name: (value, elements) for name, value in found if value is not None}
        return cls(1, elements, counts, _number(item.min), _number(item.max), norms)

    def plus(self, other: Totals) -> Totals:
        """These totals and those of other tensors."""
        counts = dict(self.counts)
        for name, (value, elements) in other.counts.items():
            before = counts.get(name, _NONE)
            counts[name] = before[0] + value, before[1] + elements
        norms = [pair for pair in (self.norms, other.norms) if pair is not None]
        low, high = self.low, self.high
        if other.low is not None and (low is None or other.low < low):
            low = other.low
        if other.high is not None and (high is None or other.high > high):
            high = other.high
        many, elements = self.tensors + other.tensors, self.elements + other.elements
        return Totals(many, elements, counts, low, high, _joined(norms) if norms else None)

    def sum(self, name: Count) -> int | None:
        """The sum of a count, or None where nothing was counted."""
        return self.counts[name][0] if name in self.counts else None

    def share(self, name: Count) -> str:
        """A count as a percentage of the elements."""
        return figures.percent(*self.counts[name]) if name in self.counts else figures.NOTHING


def _number(value: Scalar | None) -> Scalar | None:
    """A value that can be ordered, or None."""
    return value if value == value else None


def _numbers(values: Iterable[Scalar | None]) -> list[Scalar]:
    """Those that can be ordered: a tensor of nothing but NaN has no extremes."""
    return [value for value in values if value is not None and value == value]


def _joined(norms: list[tuple[float, float]]) -> tuple[float, float]:
    before, after = zip(*norms, strict=True)
    return figures.root_sum_square(before), figures.root_sum_square(after)


def tensors_of(run: RunResult) -> Iterator[TensorResult]:
    """Every tensor of every file."""
    return (tensor for file in run.files for tensor in file.tensors)


def warnings_of(run: RunResult) -> list[str]:
    """The warnings of the run, then those of its files with the file's name before them; none twice."""
    found = [*run.warnings, *(f"{file.input}: {text}" for file in run.files for text in file.warnings)]
    return list(dict.fromkeys(found))
