"""`clamp`: limit values to an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from threshcli.dtypes import DType, Real
from threshcli.errors import UsageError
from threshcli.kernels.base import Block, Cut, Kernels, Scalar
from threshcli.rules.base import Outcome, Rule, Slot


@dataclass(frozen=True)
class Clamp(Rule):
    """Limit x to [low, high]; either limit may be left out.

    Formula: y = min(max(x, low), high). Limits of integers are real numbers: a fractional low is taken up, a fractional
    high down to the next integer, and one beyond the dtype's range limits nothing.

    Example: thresh clamp image.npy --low 0 --high 1 -o limited.npy
    """

    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("low", "Lower limit.", default=-math.inf),
        Slot("high", "Upper limit.", default=math.inf),
    )

    def operator(self) -> str:
        return "low <= x <= high"

    def check(self, given: frozenset[str]) -> None:
        super().check(given)
        if not given:
            raise UsageError("--low and --high are both missing", hint="give one of them, for instance --low 0")

    def check_values(self, dtype: DType, values: dict[str, Real]) -> None:
        super().check_values(dtype, values)
        low, high = values.get("low", -math.inf), values.get("high", math.inf)
        keys = dtype.interval("ge", low), dtype.interval("le", high)
        if max(item.low for item in keys) > min(item.high for item in keys):
            alone = {"low": "is as high as --low", "high": "is as low as --high"}
            what = "lies between --low and --high" if len(values) > 1 else alone[min(values)]
            raise UsageError(f"no {dtype.name} {what}", hint="widen the interval")

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        low, high = cuts
        limited = x
        if low != Scalar(-math.inf):
            limited = k.select(k.compare(x, "lt", low), k.bound(low, x.dtype, up=True), limited, x.dtype)
        if high != Scalar(math.inf):
            limited = k.select(k.compare(x, "gt", high), k.bound(high, x.dtype, up=False), limited, x.dtype)
        return Outcome(k.cast(limited, out), k.between(x, ("ge", low), ("le", high)))
