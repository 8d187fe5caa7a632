"""`thresh check` for people and for programs: what is wrong, with which file, at which element first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threshcli.report import figures, looking
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.spool import Spool
from threshcli.report.summary import brief, label
from threshcli.report.tally import Tally
from threshcli.results import FileResult, RunResult, TensorResult
from threshcli.verdicts import FileCheck, Index, TensorCheck

_MOST_FILES = 20
"""With more, those that are sound are only counted."""
_VALUES = ("nan", "first_nan", "inf", "first_inf", "invalid", "first_invalid", "damaged")
_COLUMNS = (
    Column(title="FILE / TENSOR", short="NAME", folds=True, least=12),
    Column(title="SHAPE", short="SHAPE", right=True, importance=2),
    Column(title="DTYPE", short="DTYPE", importance=1),
    Column(title="STATE", short="STATE"),
    Column(title="FINDING", short="FINDING", folds=True, least=16),
)


class Findings(looking.Listed):
    """What is wrong; to people it is told of every tensor if they ask for that, and of sound files if they are few."""

    def __init__(self, run: RunResult, each: bool) -> None:
        super().__init__(run, each)
        self._files = self._bad = self._checked = self._nan = self._inf = self._invalid = 0
        self._notes = Spool()

    def add(self, file: FileResult) -> None:
        super().add(file)
        self._files += 1
        self._bad += isinstance(file, FileCheck) and file.bad
        found = [item for item in file.tensors if isinstance(item, TensorCheck)]
        self._checked += len(found)
        self._nan += sum(item.nan or 0 for item in found)
        self._inf += sum(item.inf or 0 for item in found)
        self._invalid += sum(item.invalid for item in found)
        for note in file.notes if self._verbose else ():
            self._notes.add(f"{file.input}: {note}")

    def about(self, file: FileResult) -> dict[str, object]:
        if not isinstance(file, FileCheck):
            return {"verdict": None, "faults": [], "notes": []}
        return {"verdict": "bad" if file.bad else "ok", "faults": file.faults, "notes": file.notes}

    def shown(self, tensor: TensorResult) -> dict[str, object]:
        if not isinstance(tensor, TensorCheck):
            return {"verdict": None, **dict.fromkeys(_VALUES), "conditions": []}
        return {
            "verdict": "bad" if tensor.bad else "ok",
            **{name: getattr(tensor, name) for name in _VALUES},
            "conditions": [{"condition": text, "value": value} for text, value in tensor.conditions],
        }

    def totals(self) -> dict[str, object]:
        return {"bad": self._bad, "nan": self._nan, "inf": self._inf, "invalid": self._invalid}

    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        self.each = self._verbose or self._files <= _MOST_FILES
        return _COLUMNS

    def rows(self, file: FileResult) -> Iterator[Row]:
        if self.each or not (isinstance(file, FileCheck) and not file.bad):
            yield from _rows(file, self._verbose)

    def closing(self, run: RunResult, tally: Tally) -> Iterator[str]:
        """How many files are sound; what could not be seen."""
        states = [("ok", tally.files - self._bad - tally.failed), ("bad", self._bad), ("failed", tally.failed)]
        told = ", ".join(f"{figures.count(number)} {word}" for word, number in states if number)
        looked, read = figures.counted(self._checked, "tensor"), figures.size(tally.bytes_in)
        files = figures.counted(tally.files, "file")
        yield f"{looked} in {files}, {read}, {figures.duration(run.seconds)}" + (f": {told}" if told else "")
        if not self.each:
            yield "-v shows each file"
        yield from self._notes


def _rows(file: FileResult, verbose: bool) -> Iterator[Row]:
    """The rows of a file: its own, with what is wrong with it as a whole, then those of tensors that have something to
    tell. A tensor without a name, or the only one, shares the file's."""
    if not isinstance(file, FileCheck):
        yield Row((Cell(file.input), *_blanks(2), Cell("failed"), Cell(brief(file), fold="end")), "red")
        return
    shown = [item for item in file.tensors if verbose or _findings(item)]
    if len(file.tensors) == 1 and shown and not file.faults:
        yield _row(label(file), shown[0])
        return
    faults = "; ".join(file.faults)
    if not shown:
        yield Row((Cell(file.input), *_blanks(2), _state(file.bad), Cell(faults, fold="end")))
        return
    tensors = Cell(figures.counted(len(file.tensors), "tensor"))
    yield Row((Cell(file.input), tensors, Cell(NOTHING), _state(file.bad), Cell(faults, fold="end")))
    for item in shown:
        yield _row(f"  {item.name or file.input}", item)


def _row(name: str, tensor: TensorResult) -> Row:
    about = Cell(name), Cell(figures.shape(tensor.shape)), Cell(tensor.dtype)
    if not isinstance(tensor, TensorCheck):
        return Row((*about, Cell(NOTHING), Cell(tensor.reason or "", fold="end")), "dim")
    return Row((*about, _state(tensor.bad), Cell("; ".join(_findings(tensor)), fold="end")))


def _findings(tensor: TensorResult) -> list[str]:
    """What there is to tell of a tensor, allowed or not."""
    if not isinstance(tensor, TensorCheck):
        return []
    found = ["its bytes do not have their CRC-32"] if tensor.damaged else []
    kinds = (
        ("NaN", tensor.nan, tensor.first_nan),
        ("infinite", tensor.inf, tensor.first_inf),
        ("neither 0 nor 1", tensor.invalid, tensor.first_invalid),
    )
    found += [_counted(count, kind, first) for kind, count, first in kinds if count]
    return found + [f"{text} holds: {figures.number(value)}" for text, value in tensor.conditions]


def _counted(count: int, kind: str, first: Index | None) -> str:
    where = f" at {list(first)}" if first else ""
    return f"{figures.count(count)} {kind}{', the first' if count > 1 and where else ''}{where}"


def _state(bad: bool) -> Cell:
    return Cell("bad", "red") if bad else Cell("ok")


def _blanks(number: int) -> tuple[Cell, ...]:
    return (Cell(NOTHING),) * number
