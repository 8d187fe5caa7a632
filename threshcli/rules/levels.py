"""`levels`: how many thresholds an element is above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from threshcli.dtypes import INT64, UINT8, DType
from threshcli.errors import UsageError
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Outcome, Rule, Slot, option
from threshcli.spec import Number, Numbers


@dataclass(frozen=True)
class Levels(Rule):
    """Write how many cuts x is above, or a value for that.

    Formula: y = the number of thresholds T with x > T, as int64 unless --out-dtype says otherwise; with --values
    v0,v1,... the value of that number, in x's dtype unless --out-dtype says otherwise. Cuts are given in ascending
    order: with commas between, by -t again, or all by one source that gives several. NaN is above none.

    Example: thresh levels cells.npy -t multiotsu:3 --out-dtype uint8 -o classes.npy
    """

    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("threshold", "Cuts, in ascending order: 0.1,0.5 or p25,p75 or multiotsu:4. Repeatable.", "-t", many=True),
    )

    compare: Literal["gt", "ge"] = option("gt", "How x is compared with the cuts.")
    values: Numbers | None = option(None, "A value for each number of cuts, from none to all.", "V,V,...")

    @property
    def decides(self) -> bool:
        return True

    def output(self, dtype: DType) -> DType:
        return dtype if self.values else INT64

    def check_cuts(self, count: int, out: DType) -> None:
        if self.values is not None and len(self.values.items) != count + 1:
            raise UsageError(
                f"--values needs {count + 1} values, one more than there are cuts, and has {len(self.values.items)}",
                hint="give a value for each number of cuts that an element can be above, from none to all",
            )
        lost = next((number for number in self.written(count) if not _holds(out, number)), None)
        if self.values is None and lost is not None:
            raise UsageError(f"{out.name} has no {lost}, and there are {count} cuts", hint="use a wider --out-dtype")

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        narrow = self.values is None and len(cuts) <= UINT8.keys.high  # counted in one byte an element
        kind = UINT8 if narrow else out
        codes = [number.stored(kind) for number in self.written(len(cuts))]
        selected = k.compare(x, self.compare, cuts[0])
        found = k.select(selected, codes[1], codes[0], kind)
        for cut, code in zip(cuts[1:], codes[2:], strict=True):
            with k.scratch():  # there may be many
                k.put(found, k.compare(x, self.compare, cut), code)
        return Outcome(k.cast(found, out), selected)

    def written(self, count: int) -> Sequence[Number]:
        return _counted(count) if self.values is None else self.values.items


@lru_cache(maxsize=16)
def _counted(count: int) -> tuple[Number, ...]:
    """The numbers from 0 to `count`."""
    return tuple(map(Number.of, range(count + 1)))


def _holds(dtype: DType, number: Number) -> bool:
    """Whether a dtype has just this value."""
    code = dtype.encode(number.value)
    return code is not None and (not dtype.is_float or dtype.value(dtype.key(number.value)) == number.value)
