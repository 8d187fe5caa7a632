"""`thresh stats` for people and for programs: a row a tensor, a row a file where there are many, and sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from threshcli.findings import TensorStats
from threshcli.report import figures
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.machine import render_look
from threshcli.report.summary import MOST_TENSORS, brief, label
from threshcli.report.table import laid_out
from threshcli.report.terminal import Terminal
from threshcli.report.totals import tensors_of
from threshcli.results import FileResult, RunResult, Scalar, TensorResult

_VALUES = ("zeros", "density", "nan", "inf", "min", "max", "mean", "std", "norm1", "norm2", "norm_max")


@dataclass(frozen=True, slots=True)
class Sums:
    """What the tensors that were looked at come to; norms are those of all of them taken as one."""

    elements: int
    zeros: int
    nan: int
    inf: int
    min: Scalar | None
    max: Scalar | None
    norm1: float
    norm2: float
    norm_max: Scalar | None

    @classmethod
    def of(cls, tensors: Iterable[TensorResult]) -> Self:
        found = [item for item in tensors if isinstance(item, TensorStats)]
        return cls(
            elements=sum(item.elements for item in found),
            zeros=sum(item.zeros for item in found),
            nan=sum(item.nan or 0 for item in found),
            inf=sum(item.inf or 0 for item in found),
            min=min((item.min for item in found if item.min is not None), default=None),
            max=max((item.max for item in found if item.max is not None), default=None),
            norm1=sum(item.norm1 for item in found),
            norm2=figures.root_sum_square([item.norm2 for item in found]),
            norm_max=max((item.norm_max for item in found if item.norm_max is not None), default=None),
        )


def document(run: RunResult) -> str:
    """The report for programs, thresh.stats/1."""
    sums = Sums.of(tensors_of(run))
    names = ("zeros", "nan", "inf", "min", "max", "norm1", "norm2", "norm_max")
    return render_look(run, _shown, {name: getattr(sums, name) for name in names})


def _shown(tensor: TensorResult) -> dict[str, object]:
    if not isinstance(tensor, TensorStats):
        return {**dict.fromkeys(_VALUES), "percentiles": {}}
    return {**{name: getattr(tensor, name) for name in _VALUES}, "percentiles": dict(tensor.percentiles)}


def table(run: RunResult, terminal: Terminal, *, verbose: bool) -> str:
    """The report for people."""
    shape = _Table(run, verbose)
    return laid_out(run, shape.columns(), list(shape.rows()), shape.closing(), terminal, verbose=verbose)


class _Table:
    """The table of a run, before it is laid out; `each` asks for a row a tensor however many there are."""

    def __init__(self, run: RunResult, each: bool) -> None:
        self._run = run
        tensors = list(tensors_of(run))
        found = [item for item in tensors if isinstance(item, TensorStats)]
        self._each = each or len(tensors) <= MOST_TENSORS
        self._unsound = any(item.nan or item.inf for item in found)
        self._percentiles = [text for text, _ in found[0].percentiles] if found else []
        self._notes = any(file.status == "failed" for file in run.files) or len(found) < len(tensors)

    def columns(self) -> tuple[Column, ...]:
        """The least important go first where there is no room."""
        return (
            Column(title="FILE / TENSOR", short="NAME", folds=True, least=12),
            Column(title="SHAPE", short="SHAPE", right=True, importance=6),
            Column(title="DTYPE", short="DTYPE", importance=5),
            Column(title="ELEMENTS", short="ELEMENTS", right=True, importance=10),
            Column(title="ZERO", short="ZERO", right=True, importance=3),
            Column(title="DENSITY", short="DENSITY", right=True, importance=9),
            Column(title="NAN/INF", short="NAN/INF", right=True, importance=12 if self._unsound else 4),
            Column(title="min..max", short="min..max", right=True),
            Column(title="MEAN", short="MEAN", right=True, importance=11),
            Column(title="STD", short="STD", right=True, importance=8),
            Column(title="L1", short="L1", right=True, importance=2),
            Column(title="L2", short="L2", right=True, importance=7),
            Column(title="MAX |x|", short="MAX |x|", right=True, importance=1),
            *(Column(title=f"p{text}", short=f"p{text}", right=True, importance=13) for text in self._percentiles),
            *([Column(title="NOTE", short="NOTE", folds=True, least=12, importance=1)] if self._notes else []),
        )

    def rows(self) -> Iterator[Row]:
        """The rows of all files; the totals last where there is more than one."""
        rows = [row for file in self._run.files for row in self._file(file)]
        yield from rows
        if sum(row.kind == "row" for row in rows) > 1:
            yield Row(self._sums("TOTAL", list(tensors_of(self._run))), "bold", "total")

    def _file(self, file: FileResult) -> Iterator[Row]:
        if file.status == "failed":
            yield Row(self._cells(file.input, {"range": Cell("failed")}, brief(file)), "red")
        elif len(file.tensors) == 1:
            yield self._tensor(label(file), file.tensors[0])
        elif self._each and file.tensors:
            yield Row((Cell(file.input),), kind="heading")
            for tensor in file.tensors:
                yield self._tensor(f"  {tensor.name}", tensor)
        else:
            yield Row(self._sums(file.input, file.tensors))

    def _tensor(self, name: str, tensor: TensorResult) -> Row:
        about = {"shape": Cell(figures.shape(tensor.shape)), "dtype": Cell(tensor.dtype)}
        if not isinstance(tensor, TensorStats):
            return Row(self._cells(name, about, tensor.reason or ""), "dim")
        moments = {"mean": _number(tensor.mean), "std": _number(tensor.std)}
        percentiles = {f"p{text}": _number(value) for text, value in tensor.percentiles}
        return Row(self._cells(name, about | _common(Sums.of([tensor])) | moments | percentiles))

    def _sums(self, name: str, tensors: Sequence[TensorResult]) -> tuple[Cell, ...]:
        found = [item for item in tensors if isinstance(item, TensorStats)]
        about = {"shape": Cell(figures.counted(len(found), "tensor"))}
        dtypes = {item.dtype for item in found}
        if dtypes and name != "TOTAL":
            about["dtype"] = Cell(dtypes.pop() if len(dtypes) == 1 else f"{len(dtypes)} dtypes")
        return self._cells(name, about | _common(Sums.of(tensors)))

    def _cells(self, name: str, found: dict[str, Cell], note: str = "") -> tuple[Cell, ...]:
        """The cells of a row in their order; there is nothing where nothing was found."""
        names = ("shape", "dtype", "elements", "zeros", "density", "unsound", "range", "mean", "std", "l1", "l2", "max")
        blank = Cell() if name == "TOTAL" else Cell(NOTHING)
        places = (*names, *(f"p{text}" for text in self._percentiles))
        cells = (found.get(place, blank) for place in places)
        return (Cell(name), *cells, *([Cell(note, fold="end")] if self._notes else []))

    def closing(self) -> Iterator[str]:
        """What was looked at, and what it took."""
        run = self._run
        tensors, files = sum(item.applied for item in tensors_of(run)), figures.counted(len(run.files), "file")
        what = "|x| of " if run.params.get("magnitude") else ""
        read = figures.size(sum(file.bytes_in for file in run.files))
        yield f"{what}{figures.counted(tensors, 'tensor')} in {files}, {read}, {figures.duration(run.seconds)}"
        if not self._each:
            yield "-v shows each tensor"


def _common(sums: Sums) -> dict[str, Cell]:
    """The cells that one tensor and several have alike."""
    norms = {"l1": sums.norm1, "l2": sums.norm2, "max": sums.norm_max} if sums.norm_max is not None else {}
    unsound = Cell(f"{figures.count(sums.nan)}/{figures.count(sums.inf)}", "yellow")
    low, high = figures.number(sums.min), figures.number(sums.max)
    return {
        "elements": Cell(figures.count(sums.elements)),
        "zeros": Cell(figures.count(sums.zeros)),
        "density": Cell(figures.percent(sums.elements - sums.zeros, sums.elements)),
        "unsound": unsound if sums.nan or sums.inf else Cell("0"),
        "range": Cell(NOTHING) if sums.min is None else Cell(low, joint="..", after=high),
        **{name: _number(value) for name, value in norms.items()},
    }


def _number(value: Scalar | None) -> Cell:
    return Cell(figures.number(value))
