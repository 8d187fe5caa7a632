"""`thresh sweep` for people and for programs: for each tensor a row a threshold, and sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from threshcli.findings import SweepRow, TensorSweep
from threshcli.report import figures, looking
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.summary import MOST_TENSORS, brief, label
from threshcli.report.tally import Tally
from threshcli.report.terminal import Style
from threshcli.results import FileResult, RunResult, Scalar, TensorResult

_OPERATORS = {"gt": ">", "ge": ">="}


@dataclass(slots=True)
class _Sums:
    """What one threshold would do to those tensors that have it; one that is `shared` by all of them was asked for so
    many elements once."""

    spec: str
    shared: bool = False
    low: Scalar | None = None
    high: Scalar | None = None
    tensors: int = 0
    elements: int = 0
    kept: int = 0
    zeros_after: int = 0
    asked: int | None = None
    tied: int | None = None
    reasons: dict[str, None] = field(default_factory=dict)
    """Why others have it not."""
    _energy: float = 0.0
    _energy_kept: float = 0.0
    _share: float | None = None

    def add(self, item: TensorSweep, row: SweepRow) -> None:
        """One more tensor."""
        if row.reason is not None:
            self.reasons[row.reason] = None
            return
        if row.value is not None:
            self.low = row.value if self.low is None else min(self.low, row.value)
            self.high = row.value if self.high is None else max(self.high, row.value)
        self.tensors += 1
        self.elements += item.elements
        self.kept += row.kept or 0
        self.zeros_after += row.zeros_after or 0
        self.asked, self.tied = self._ranked(self.asked, row.asked), self._ranked(self.tied, row.tied)
        self._energy += item.energy
        self._energy_kept += row.energy or 0.0
        self._share = row.energy_share

    def _ranked(self, before: int | None, more: int | None) -> int | None:
        return more if before is None else before if more is None or self.shared else before + more

    @property
    def energy_share(self) -> float | None:
        """The share of the sum of squares of all; that of one tensor is known better than the sums, which may
        overflow."""
        if self.tensors == 1:
            return self._share
        return self._energy_kept / self._energy if 0 < self._energy < math.inf else None


@dataclass(slots=True)
class _Several:
    """What thresholds would do to several tensors."""

    shared: bool = False
    tensors: int = 0
    elements: int = 0
    zeros: int = 0
    nan: int = 0
    sums: list[_Sums] = field(default_factory=list)

    @classmethod
    def of(cls, tensors: Iterable[TensorSweep]) -> Self:
        found = cls()
        for item in tensors:
            found.add(item)
        return found

    def add(self, item: TensorSweep) -> None:
        """One more tensor, of which the same thresholds were tried."""
        self.tensors += 1
        self.elements += item.elements
        self.zeros += item.zeros
        self.nan += item.nan or 0
        self.sums = self.sums or [_Sums(row.spec, self.shared) for row in item.rows]
        for sums, row in zip(self.sums, item.rows, strict=True):
            sums.add(item, row)


def _row_shown(row: SweepRow, elements: int) -> dict[str, object]:
    return {
        "spec": row.spec,
        "value": row.value,
        "kept": row.kept,
        "kept_share": None if row.kept is None or not elements else row.kept / elements,
        "energy_share": row.energy_share,
        "zeros_after": row.zeros_after,
        "asked": row.asked,
        "tied": row.tied,
        "reason": row.reason,
    }


def _sums_shown(sums: _Sums) -> dict[str, object]:
    return {
        "spec": sums.spec,
        "tensors": sums.tensors,
        "elements": sums.elements,
        "kept": sums.kept,
        "kept_share": sums.kept / sums.elements if sums.elements else None,
        "energy_share": sums.energy_share,
        "zeros_after": sums.zeros_after,
    }


class Findings(looking.Listed):
    """What each threshold would keep: a block a tensor, or a file where there are many tensors, and one for all."""

    def __init__(self, run: RunResult, each: bool) -> None:
        super().__init__(run, each)
        self._all = _Several(shared=run.params.get("scope") == "global")
        self._files = self._tensors = 0
        self._each, self._by_file = each, True
        self._ranked = self._notes = False

    def add(self, file: FileResult) -> None:
        super().add(file)
        self._files += 1
        self._tensors += len(file.tensors)
        for item in file.tensors:
            if isinstance(item, TensorSweep):
                self._all.add(item)

    def shown(self, tensor: TensorResult) -> dict[str, object]:
        if not isinstance(tensor, TensorSweep):
            return {"nan": None, "zeros": None, "energy": None, "rows": []}
        rows = [_row_shown(row, tensor.elements) for row in tensor.rows]
        return {"nan": tensor.nan, "zeros": tensor.zeros, "energy": tensor.energy, "rows": rows}

    def totals(self) -> dict[str, object]:
        return {"rows": [_sums_shown(item) for item in self._all.sums]}

    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        self._each = self._verbose or self._tensors <= MOST_TENSORS
        self._by_file = self._files <= MOST_TENSORS
        self._ranked = any(item.asked is not None for item in self._all.sums)
        self._notes = more or any(item.reasons for item in self._all.sums)
        return self._columns()

    def _columns(self) -> tuple[Column, ...]:
        """The least important go first where there is no room."""
        asked = (
            Column(title="ASKED", short="ASKED", right=True, importance=3),
            Column(title="TIED", short="TIED", right=True, importance=1),
        )
        return (
            Column(title="THRESHOLD", short="THRESHOLD", folds=True, least=9),
            Column(title="VALUE", short="VALUE", right=True),
            Column(title="KEPT", short="KEPT", right=True, importance=4),
            Column(title="OF ALL", short="OF ALL", right=True, importance=7),
            *(asked if self._ranked else ()),
            Column(title="ENERGY KEPT", short="ENERGY", right=True, importance=6),
            Column(title="ZERO AFTER", short="ZERO", right=True, importance=5),
            *([Column(title="NOTE", short="NOTE", folds=True, least=12, importance=2)] if self._notes else []),
        )

    def rows(self, file: FileResult) -> Iterator[Row]:
        found = [item for item in file.tensors if isinstance(item, TensorSweep)]
        if file.status == "failed":
            yield Row((Cell(f"{file.input}: failed, {brief(file)}"),), "red", "heading")
        elif not self._each:
            if self._by_file and found:
                yield from self._block(f"{file.input}: {figures.counted(len(found), 'tensor')}", _Several.of(found))
        else:
            for tensor in file.tensors:
                name = label(file) if len(file.tensors) == 1 else f"{file.input}::{tensor.name}"
                name = f"{name}  {figures.shape(tensor.shape)} {tensor.dtype}"
                if isinstance(tensor, TensorSweep):
                    yield from self._block(name, _Several.of([tensor]))
                else:
                    yield Row((Cell(f"{name}: {tensor.reason or ''}"),), "dim", "heading")

    def is_summed(self, rows: Sequence[Row]) -> bool:
        return self._all.tensors > 1

    def total(self, tally: Tally) -> Iterator[Row]:
        if self._all.tensors > 1:
            tensors, elements = (self._all.tensors, "tensor"), (self._all.elements, "element")
            name = f"TOTAL of {figures.counted(*tensors)}, {figures.counted(*elements)}"
            yield from self._block(name, self._all, "bold")

    def _block(self, name: str, several: _Several, style: Style = "") -> Iterator[Row]:
        known = f", {figures.count(several.nan)} NaN" if several.nan else ""
        about = f"{figures.percent(several.zeros, several.elements)} zero{known}" if several.elements else "no elements"
        yield Row((Cell(f"{name}, {about}"),), style, "heading")
        for sums in several.sums:
            yield Row(self._cells(sums, several.tensors), "" if sums.tensors else "dim")

    def _cells(self, sums: _Sums, tensors: int) -> tuple[Cell, ...]:
        some = bool(sums.tensors)
        counts = (_count(sums.asked), _count(sums.tied)) if self._ranked else ()
        note = "; ".join(sums.reasons)
        if note and some:
            note = f"of {figures.counted(sums.tensors, 'tensor')}: {note}"
        return (
            Cell(f"  {sums.spec}"),
            _values(sums),
            _count(sums.kept if some else None),
            Cell(figures.percent(sums.kept, sums.elements)),
            *counts,
            Cell(NOTHING if sums.energy_share is None else figures.percent(sums.energy_share, 1.0)),
            Cell(figures.percent(sums.zeros_after, sums.elements)),
            *([Cell(note, fold="end")] if self._notes else []),
        )

    def closing(self, run: RunResult, tally: Tally) -> Iterator[str]:
        """The comparison, what was looked at, and what it took."""
        left = "|x|" if run.params.get("magnitude") else "x"
        operator = _OPERATORS.get(str(run.params.get("compare")), "")
        tensors, files = figures.counted(self._all.tensors, "tensor"), figures.counted(tally.files, "file")
        scope = f"scope {run.params.get('scope')}"
        yield f"kept: {left} {operator} T, {scope}, {tensors} in {files}, {figures.duration(run.seconds)}"
        if not self._each:
            yield "-v shows each tensor"


def _count(value: int | None) -> Cell:
    return Cell(NOTHING if value is None else figures.count(value))


def _values(sums: _Sums) -> Cell:
    if sums.low is None or sums.high is None:
        return Cell(NOTHING)
    low, high = _text(sums.low), _text(sums.high)
    return Cell(low) if low == high else Cell(low, joint="..", after=high)


def _text(value: Scalar) -> str:
    """With as many digits as say something: a threshold is read off to be typed again."""
    return str(value) if isinstance(value, int) else f"{value or 0.0:.7g}"
