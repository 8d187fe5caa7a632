"""`thresh diff` for people and for programs: what differs between two files, by how much, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threshcli.report import figures, looking
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.spool import Spool
from threshcli.report.summary import brief
from threshcli.report.tally import Tally
from threshcli.results import FileResult, RunResult, TensorResult
from threshcli.verdicts import FileDiff, Index, TensorDiff

_VALUES = (
    *("other_shape", "other_dtype", "differing", "first", "one_nan", "max_abs", "max_abs_at", "max_rel", "max_rel_at"),
)
_COLUMNS = (
    Column(title="TENSOR", short="TENSOR", folds=True, least=12),
    Column(title="SHAPE", short="SHAPE", right=True, importance=3),
    Column(title="DTYPE", short="DTYPE", importance=4),
    Column(title="DIFFERS", short="DIFFERS"),
    Column(title="ELEMENTS", short="ELEMENTS", right=True, importance=8),
    Column(title="FIRST", short="FIRST", importance=5),
    Column(title="MAX |a-b|", short="MAX", right=True, importance=7),
    Column(title="AT", short="AT", importance=6),
    Column(title="MAX |a-b|/|b|", short="REL", right=True, importance=2),
    Column(title="ONE NAN", short="ONE NAN", right=True, importance=1),
)


class Findings(looking.Listed):
    """What differs; people are shown every tensor if they ask for that."""

    def __init__(self, run: RunResult, each: bool) -> None:
        super().__init__(run, each)
        most = run.params.get("max")
        self._most = most if isinstance(most, int) and not each else None
        self._files = self._same = self._apart = self._other_bytes = 0
        self._compared = self._different = self._differing = 0
        self._rows = 0
        self._keys = Spool()

    def add(self, file: FileResult) -> None:
        super().add(file)
        self._files += 1
        if isinstance(file, FileDiff):
            self._same += file.same
            self._apart += not file.same
            self._other_bytes += file.other_bytes
            for key, a, b in file.keys:
                self._keys.add(f"metadata {key}: {_value(a)} | {_value(b)}")
        found = [item for item in file.tensors if isinstance(item, TensorDiff)]
        self._compared += len(found)
        self._different += sum(bool(item.differs) for item in found)
        self._differing += sum(item.differing or 0 for item in found)

    def about(self, file: FileResult) -> dict[str, object]:
        if not isinstance(file, FileDiff):
            nothing = {"same": None, "other": None, "other_format": None, "other_bytes_in": 0, "only": None}
            return {**nothing, "metadata": []}
        return {
            "same": file.same,
            "other": file.other,
            "other_format": file.other_format,
            "other_bytes_in": file.other_bytes,
            "only": file.only,
            "metadata": [{"key": key, "a": a, "b": b} for key, a, b in file.keys],
        }

    def shown(self, tensor: TensorResult) -> dict[str, object]:
        differs = tensor.differs if isinstance(tensor, TensorDiff) else ()
        return {"differs": differs, **{name: getattr(tensor, name, None) for name in _VALUES}}

    def totals(self) -> dict[str, object]:
        return {
            "same": self._same == self._files,
            "compared": self._compared,
            "different": self._different,
            "differing": self._differing,
        }

    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        return _COLUMNS

    def rows(self, file: FileResult) -> Iterator[Row]:
        for row in _rows(file, self._files > 1, self._verbose):
            self._rows += 1
            if self._most is None or self._rows <= self._most:
                yield row

    def closing(self, run: RunResult, tally: Tally) -> Iterator[str]:
        """The keys of metadata that differ, then what it comes to."""
        yield from self._keys
        tensors = figures.counted(self._compared, "tensor")
        told = (
            f"{self._different} of {tensors} differ{'s' if self._compared == 1 else ''}"
            if self._different
            else f"{tensors}, none differs"
            if self._compared
            else "no tensors"
        )
        verdict = "different" if self._apart else "the same"
        if tally.files > 1:
            are = "are" if self._apart != 1 else "is"
            verdict = f"{self._apart} of {figures.counted(tally.files, 'file')} {are} different"
            verdict += f", {tally.failed} failed" * bool(tally.failed)
        read = figures.size(tally.bytes_in + self._other_bytes)
        yield f"{verdict}: {told}, {read}, {figures.duration(run.seconds)}"
        if self._most is not None and self._rows > self._most:
            yield f"{figures.counted(self._rows - self._most, 'more row')}: -v shows all"


def _rows(file: FileResult, several: bool, verbose: bool) -> Iterator[Row]:
    if not isinstance(file, FileDiff):
        yield Row((Cell(file.input), *_blanks(2), Cell("failed"), Cell(brief(file)), *_blanks(5)), "red")
        return
    if file.only:
        yield Row((Cell(file.input), *_blanks(2), Cell(f"only in {file.only}"), *_blanks(6)))
        return
    shown = [item for item in file.tensors if isinstance(item, TensorDiff) and (verbose or item.differs)]
    if several and (shown or file.keys):
        yield Row((Cell(file.input, joint="-", after=file.other or ""),), kind="heading")
    indent = "  " if several else ""
    for item in shown:
        yield Row((Cell(indent + item.name), *_cells(item)))


def _cells(item: TensorDiff) -> tuple[Cell, ...]:
    """The cells of a tensor, its name apart."""
    values: tuple[Cell, ...] = _blanks(6)
    if item.differing is not None:
        values = (
            Cell(f"{figures.count(item.differing)} ({figures.percent(item.differing, item.elements)})"),
            _place(item.first),
            Cell(figures.number(item.max_abs)),
            _place(item.max_abs_at),
            Cell(figures.number(item.max_rel)),
            Cell(figures.count(item.one_nan or 0)),
        )
    other = None if item.other_shape is None else figures.shape(item.other_shape)
    return (
        _both(figures.shape(item.shape), other),
        _both(item.dtype, item.other_dtype),
        Cell(", ".join(item.differs) or "no"),
        *values,
    )


def _both(first: str, second: str | None) -> Cell:
    return Cell(first) if second in (None, first) else Cell(first, joint="|", after=str(second))


def _place(index: Index | None) -> Cell:
    return Cell(NOTHING if index is None else str(list(index)))


def _blanks(number: int) -> tuple[Cell, ...]:
    return (Cell(NOTHING),) * number


def _value(text: str | None) -> str:
    return NOTHING if text is None else repr(text if len(text) <= 60 else text[:57] + "...")
