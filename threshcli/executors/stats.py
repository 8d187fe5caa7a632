"""What `stats` tells of a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from threshcli.dtypes import DType, Real
from threshcli.executors.examine import Subject
from threshcli.findings import TensorStats
from threshcli.results import Scalar
from threshcli.studies.base import MAGNITUDE, VALUE
from threshcli.studies.percentiles import percentiles
from threshcli.studies.summary import Summary, summary


@dataclass(frozen=True, slots=True)
class Stats:
    """Looks at tensors, or at their magnitudes; percentiles that are wanted come as they were written, and exact."""

    percentiles: tuple[tuple[str, Fraction], ...] = ()
    magnitude: bool = False

    def look(self, subject: Subject) -> TensorStats:
        """All of it from one pass; percentiles of large tensors take some more."""
        lens = MAGNITUDE if self.magnitude else VALUE
        shares = [share for _, share in self.percentiles]
        found: Summary
        found, *ranked = subject.answers(summary(lens), *([percentiles(lens, shares)] if shares else []))
        stats = numbers_of(subject.about(), found, lens.dtype(subject.tensor.dtype))
        told = [(text, value) for values in ranked for (text, _), value in zip(self.percentiles, values, strict=True)]
        return replace(stats, percentiles=tuple(told)) if told else stats


def numbers_of(about: Mapping[str, Any], found: Summary, dtype: DType) -> TensorStats:
    """What a summary tells of elements that are seen as this dtype; `about` is what the header says of the tensor."""
    low, high = _extremes(found, dtype)
    return TensorStats(
        **about,
        zeros=found.zeros,
        nan=found.nan,
        inf=found.inf,
        min=low,
        max=high,
        mean=found.mean,
        std=None if found.variance is None else math.sqrt(found.variance),
        norm1=found.norm1,
        norm2=found.norm2,
        norm_max=max((abs(end) for end in _finite(found, dtype)), default=None),
    )


def _extremes(found: Summary, dtype: DType) -> tuple[Scalar | None, Scalar | None]:
    """The least and the greatest of all that is not NaN."""
    ends = list(_finite(found, dtype))
    if found.negative_inf:
        ends.append(-math.inf)
    if found.inf > found.negative_inf:
        ends.append(math.inf)
    return min(ends, default=None), max(ends, default=None)


def _finite(found: Summary, dtype: DType) -> tuple[Scalar, ...]:
    """The least and the greatest finite element, if there is any."""
    return tuple(number(end, dtype) for end in (found.low, found.high) if end is not None)


def number(value: Real, dtype: DType) -> Scalar:
    """A value of a dtype as Python's own number, exact."""
    return float(value) if dtype.is_float or isinstance(value, float) else int(value)
