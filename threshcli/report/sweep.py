"""`thresh sweep` for people and for programs: for each tensor a row a threshold, and sums."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from threshcli.findings import SweepRow, TensorSweep
from threshcli.report import figures
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.machine import render_look
from threshcli.report.summary import MOST_TENSORS, brief, label
from threshcli.report.table import laid_out
from threshcli.report.terminal import Style, Terminal
from threshcli.report.totals import tensors_of
from threshcli.results import FileResult, RunResult, Scalar, TensorResult

_OPERATORS = {"gt": ">", "ge": ">="}


@dataclass(frozen=True, slots=True)
class _Sums:
    """What one threshold would do to those tensors that have it."""

    spec: str
    values: tuple[Scalar, ...]
    tensors: int
    elements: int
    kept: int
    energy_share: float | None
    zeros_after: int
    asked: int | None
    tied: int | None
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[tuple[TensorSweep, SweepRow]], *, shared: bool = False) -> Self:
        """The rows of one threshold; one that is `shared` by all tensors was asked for so many elements once."""
        having = [(item, row) for item, row in rows if row.reason is None]
        asked = [row.asked for _, row in having if row.asked is not None]
        tied = [row.tied for _, row in having if row.tied is not None]
        return cls(
            spec=rows[0][1].spec,
            values=tuple(row.value for _, row in having if row.value is not None),
            tensors=len(having),
            elements=sum(item.elements for item, _ in having),
            kept=sum(row.kept or 0 for _, row in having),
            energy_share=_energy_share(having),
            zeros_after=sum(row.zeros_after or 0 for _, row in having),
            asked=sum(asked[:1] if shared else asked) if asked else None,
            tied=sum(tied[:1] if shared else tied) if tied else None,
            reasons=tuple(dict.fromkeys(row.reason for _, row in rows if row.reason is not None)),
        )


def _energy_share(rows: Sequence[tuple[TensorSweep, SweepRow]]) -> float | None:
    """The share of the sum of squares of all; that of one tensor is known better than the sums, which may overflow."""
    if len(rows) == 1:
        return rows[0][1].energy_share
    whole = sum(item.energy for item, _ in rows)
    return sum(row.energy or 0.0 for _, row in rows) / whole if 0 < whole < math.inf else None


def _summed(tensors: Sequence[TensorSweep], *, shared: bool) -> list[_Sums]:
    """The sums of tensors, threshold by threshold."""
    rows = zip(*([(item, row) for row in item.rows] for item in tensors), strict=True)
    return [_Sums.of(several, shared=shared) for several in rows]


def _shared(run: RunResult) -> bool:
    return run.params.get("scope") == "global"


def document(run: RunResult) -> str:
    """The report for programs, thresh.sweep/1."""
    sums = _summed([item for item in tensors_of(run) if isinstance(item, TensorSweep)], shared=_shared(run))
    return render_look(run, _shown, {"rows": [_sums_shown(item) for item in sums]})


def _shown(tensor: TensorResult) -> dict[str, object]:
    if not isinstance(tensor, TensorSweep):
        return {"nan": None, "zeros": None, "energy": None, "rows": []}
    rows = [_row_shown(row, tensor.elements) for row in tensor.rows]
    return {"nan": tensor.nan, "zeros": tensor.zeros, "energy": tensor.energy, "rows": rows}


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


def table(run: RunResult, terminal: Terminal, *, verbose: bool) -> str:
    """The report for people."""
    shape = _Table(run, verbose)
    return laid_out(run, shape.columns(), list(shape.rows()), shape.closing(), terminal, verbose=verbose)


class _Table:
    """The table of a run, before it is laid out; `each` asks for every tensor however many there are."""

    def __init__(self, run: RunResult, each: bool) -> None:
        self._run = run
        self._found = [item for item in tensors_of(run) if isinstance(item, TensorSweep)]
        self._each = each or sum(len(file.tensors) for file in run.files) <= MOST_TENSORS
        rows = [row for item in self._found for row in item.rows]
        self._ranked = any(row.asked is not None for row in rows)
        self._notes = any(row.reason is not None for row in rows)

    def columns(self) -> tuple[Column, ...]:
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

    def rows(self) -> Iterator[Row]:
        """A block a tensor, or a file where there are many tensors; a block for all of them last."""
        for file in self._run.files:
            yield from self._file(file)
        if len(self._found) > 1:
            elements = sum(item.elements for item in self._found)
            name = f"TOTAL of {figures.counted(len(self._found), 'tensor')}, {figures.counted(elements, 'element')}"
            yield from self._block(name, self._found, "bold", shared=_shared(self._run))

    def _file(self, file: FileResult) -> Iterator[Row]:
        found = [item for item in file.tensors if isinstance(item, TensorSweep)]
        if file.status == "failed":
            yield Row((Cell(f"{file.input}: failed, {brief(file)}"),), "red", "heading")
        elif not self._each:
            if len(self._run.files) <= MOST_TENSORS and found:
                yield from self._block(f"{file.input}: {figures.counted(len(found), 'tensor')}", found)
        else:
            for tensor in file.tensors:
                name = label(file) if len(file.tensors) == 1 else f"{file.input}::{tensor.name}"
                name = f"{name}  {figures.shape(tensor.shape)} {tensor.dtype}"
                if isinstance(tensor, TensorSweep):
                    yield from self._block(name, [tensor])
                else:
                    yield Row((Cell(f"{name}: {tensor.reason or ''}"),), "dim", "heading")

    def _block(
        self, name: str, tensors: Sequence[TensorSweep], style: Style = "", *, shared: bool = False
    ) -> Iterator[Row]:
        elements, zeros = sum(item.elements for item in tensors), sum(item.zeros for item in tensors)
        nan = sum(item.nan or 0 for item in tensors)
        known = f", {figures.count(nan)} NaN" if nan else ""
        about = f"{figures.percent(zeros, elements)} zero{known}" if elements else "no elements"
        yield Row((Cell(f"{name}, {about}"),), style, "heading")
        for sums in _summed(tensors, shared=shared):
            yield Row(self._cells(sums, len(tensors)), "" if sums.tensors else "dim")

    def _cells(self, sums: _Sums, tensors: int) -> tuple[Cell, ...]:
        some = bool(sums.tensors)
        counts = (_count(sums.asked), _count(sums.tied)) if self._ranked else ()
        note = "; ".join(sums.reasons)
        if note and some:
            note = f"of {figures.counted(sums.tensors, 'tensor')}: {note}"
        return (
            Cell(f"  {sums.spec}"),
            _values(sums.values),
            _count(sums.kept if some else None),
            Cell(figures.percent(sums.kept, sums.elements)),
            *counts,
            Cell(NOTHING if sums.energy_share is None else figures.percent(sums.energy_share, 1.0)),
            Cell(figures.percent(sums.zeros_after, sums.elements)),
            *([Cell(note, fold="end")] if self._notes else []),
        )

    def closing(self) -> Iterator[str]:
        """The comparison, what was looked at, and what it took."""
        run = self._run
        left = "|x|" if run.params.get("magnitude") else "x"
        operator = _OPERATORS.get(str(run.params.get("compare")), "")
        tensors, files = figures.counted(len(self._found), "tensor"), figures.counted(len(run.files), "file")
        scope = f"scope {run.params.get('scope')}"
        yield f"kept: {left} {operator} T, {scope}, {tensors} in {files}, {figures.duration(run.seconds)}"
        if not self._each:
            yield "-v shows each tensor"


def _count(value: int | None) -> Cell:
    return Cell(NOTHING if value is None else figures.count(value))


def _values(values: Sequence[Scalar]) -> Cell:
    if not values:
        return Cell(NOTHING)
    low, high = _text(min(values)), _text(max(values))
    return Cell(low) if low == high else Cell(low, joint="..", after=high)


def _text(value: Scalar) -> str:
    """With as many digits as say something: a threshold is read off to be typed again."""
    return str(value) if isinstance(value, int) else f"{value or 0.0:.7g}"
