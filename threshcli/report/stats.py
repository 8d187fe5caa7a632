"""`thresh stats` for people and for programs: a row a tensor, a row a file where there are many, and sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from threshcli.findings import TensorStats
from threshcli.report import figures, looking
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.summary import MOST_TENSORS, brief, label
from threshcli.report.tally import Tally
from threshcli.results import FileResult, RunResult, Scalar, TensorResult

_VALUES = ("zeros", "density", "nan", "inf", "min", "max", "mean", "std", "norm1", "norm2", "norm_max")


@dataclass(frozen=True, slots=True)
class Sums:
    """What the tensors that were looked at come to; norms are those of all of them taken as one."""

    tensors: int
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
    def of(cls, tensors: Sequence[TensorResult]) -> Self:
        found = [item for item in tensors if isinstance(item, TensorStats)]
        if len(found) == 1:  # as most files of a batch have it
            one = found[0]
            counts = one.elements, one.zeros, one.nan or 0, one.inf or 0
            return cls(1, *counts, one.min, one.max, one.norm1, one.norm2, one.norm_max)
        return cls(
            tensors=len(found),
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

    def plus(self, other: Sums) -> Sums:
        """These and those of other tensors."""
        return Sums(
            tensors=self.tensors + other.tensors,
            elements=self.elements + other.elements,
            zeros=self.zeros + other.zeros,
            nan=self.nan + other.nan,
            inf=self.inf + other.inf,
            min=_joined(min, self.min, other.min),
            max=_joined(max, self.max, other.max),
            norm1=self.norm1 + other.norm1,
            norm2=figures.root_sum_square([self.norm2, other.norm2]),
            norm_max=_joined(max, self.norm_max, other.norm_max),
        )


def _joined(choose: Callable[[Scalar, Scalar], Scalar], first: Scalar | None, second: Scalar | None) -> Scalar | None:
    """One of two ends, or the only one that there is."""
    return second if first is None else first if second is None else choose(first, second)


class Findings(looking.Listed):
    """What `stats` tells of files."""

    def __init__(self, run: RunResult, each: bool) -> None:
        super().__init__(run, each)
        self._sums, self._tensors = Sums.of(()), 0
        self._unsound = self._notes = False
        self._percentiles: list[str] = []

    def add(self, file: FileResult) -> None:
        super().add(file)
        self._sums = self._sums.plus(Sums.of(file.tensors))
        self._tensors += len(file.tensors)

    def shown(self, tensor: TensorResult) -> dict[str, object]:
        if not isinstance(tensor, TensorStats):
            return {**dict.fromkeys(_VALUES), "percentiles": {}}
        return {**{name: getattr(tensor, name) for name in _VALUES}, "percentiles": dict(tensor.percentiles)}

    def totals(self) -> dict[str, object]:
        names = ("zeros", "nan", "inf", "min", "max", "norm1", "norm2", "norm_max")
        return {name: getattr(self._sums, name) for name in names}

    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        tensors = [item for file in files for item in file.tensors]
        found = [item for item in tensors if isinstance(item, TensorStats)]
        self.each = self.each or self._tensors <= MOST_TENSORS
        self._unsound = any(item.nan or item.inf for item in found)
        self._percentiles = [text for text, _ in found[0].percentiles] if found else []
        self._notes = more or any(file.status == "failed" for file in files) or len(found) < len(tensors)
        return self._columns()

    def _columns(self) -> tuple[Column, ...]:
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

    def rows(self, file: FileResult) -> Iterator[Row]:
        if file.status == "failed":
            yield Row(self._cells(file.input, {"range": Cell("failed")}, brief(file)), "red")
        elif len(file.tensors) == 1:
            yield self._tensor(label(file), file.tensors[0])
        elif self.each and file.tensors:
            yield Row((Cell(file.input),), kind="heading")
            for tensor in file.tensors:
                yield self._tensor(f"  {tensor.name}", tensor)
        else:
            found = [item for item in file.tensors if isinstance(item, TensorStats)]
            dtypes = {item.dtype for item in found}
            dtype = Cell(dtypes.pop() if len(dtypes) == 1 else f"{len(dtypes)} dtypes" if dtypes else NOTHING)
            yield Row(self._of_several(file.input, Sums.of(found), dtype))

    def total(self, tally: Tally) -> Iterator[Row]:
        yield Row(self._of_several("TOTAL", self._sums, Cell()), "bold", "total")

    def _tensor(self, name: str, tensor: TensorResult) -> Row:
        about = {"shape": Cell(figures.shape(tensor.shape)), "dtype": Cell(tensor.dtype)}
        if not isinstance(tensor, TensorStats):
            return Row(self._cells(name, about, tensor.reason or ""), "dim")
        moments = {"mean": _number(tensor.mean), "std": _number(tensor.std)}
        percentiles = {f"p{text}": _number(value) for text, value in tensor.percentiles}
        return Row(self._cells(name, about | _common(Sums.of([tensor])) | moments | percentiles))

    def _of_several(self, name: str, sums: Sums, dtype: Cell) -> tuple[Cell, ...]:
        about = {"shape": Cell(figures.counted(sums.tensors, "tensor")), "dtype": dtype}
        return self._cells(name, about | _common(sums))

    def _cells(self, name: str, found: dict[str, Cell], note: str = "") -> tuple[Cell, ...]:
        """The cells of a row in their order; there is nothing where nothing was found."""
        names = ("shape", "dtype", "elements", "zeros", "density", "unsound", "range", "mean", "std", "l1", "l2", "max")
        blank = Cell() if name == "TOTAL" else Cell(NOTHING)
        places = (*names, *(f"p{text}" for text in self._percentiles))
        cells = (found.get(place, blank) for place in places)
        return (Cell(name), *cells, *([Cell(note, fold="end")] if self._notes else []))

    def closing(self, run: RunResult, tally: Tally) -> Iterator[str]:
        """What was looked at, and what it took."""
        files, tensors = figures.counted(tally.files, "file"), figures.counted(self._sums.tensors, "tensor")
        what = "|x| of " if run.params.get("magnitude") else ""
        yield f"{what}{tensors} in {files}, {figures.size(tally.bytes_in)}, {figures.duration(run.seconds)}"
        if not self.each:
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
