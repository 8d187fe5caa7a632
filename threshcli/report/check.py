"""`thresh check` for people and for programs: what is wrong, with which file, at which element first."""

from __future__ import annotations

from collections.abc import Iterator

from threshcli.report import figures
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.machine import render_look
from threshcli.report.summary import brief, label
from threshcli.report.table import laid_out
from threshcli.report.terminal import Terminal
from threshcli.report.totals import tensors_of
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


def document(run: RunResult) -> str:
    """The report for programs, thresh.check/1."""
    found = [item for item in tensors_of(run) if isinstance(item, TensorCheck)]
    sums = {kind: sum(getattr(item, kind) or 0 for item in found) for kind in ("nan", "inf", "invalid")}
    return render_look(run, _shown, {"bad": len(_bad(run)), **sums}, _about)


def _about(file: FileResult) -> dict[str, object]:
    if not isinstance(file, FileCheck):
        return {"verdict": None, "faults": [], "notes": []}
    return {"verdict": "bad" if file.bad else "ok", "faults": file.faults, "notes": file.notes}


def _shown(tensor: TensorResult) -> dict[str, object]:
    if not isinstance(tensor, TensorCheck):
        return {"verdict": None, **dict.fromkeys(_VALUES), "conditions": []}
    return {
        "verdict": "bad" if tensor.bad else "ok",
        **{name: getattr(tensor, name) for name in _VALUES},
        "conditions": [{"condition": text, "value": value} for text, value in tensor.conditions],
    }


def table(run: RunResult, terminal: Terminal, *, verbose: bool) -> str:
    """The report for people: what is bad; with `verbose` every tensor, and of many files those that are sound too."""
    each = verbose or len(run.files) <= _MOST_FILES
    files = [file for file in run.files if each or not (isinstance(file, FileCheck) and not file.bad)]
    rows = [row for file in files for row in _rows(file, verbose)]
    return laid_out(run, _COLUMNS, rows, _closing(run, verbose, each), terminal, verbose=verbose)


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


def _bad(run: RunResult) -> list[FileCheck]:
    return [file for file in run.files if isinstance(file, FileCheck) and file.bad]


def _closing(run: RunResult, verbose: bool, each: bool) -> Iterator[str]:
    """How many files are sound; what could not be seen."""
    bad, failed = len(_bad(run)), run.failed
    states = [("ok", len(run.files) - bad - failed), ("bad", bad), ("failed", failed)]
    told = ", ".join(f"{figures.count(number)} {word}" for word, number in states if number)
    looked = figures.counted(sum(isinstance(item, TensorCheck) for item in tensors_of(run)), "tensor")
    read = figures.size(sum(file.bytes_in for file in run.files))
    files = figures.counted(len(run.files), "file")
    yield f"{looked} in {files}, {read}, {figures.duration(run.seconds)}" + (f": {told}" if told else "")
    if not each:
        yield "-v shows each file"
    if verbose:
        yield from (f"{file.input}: {note}" for file in run.files for note in file.notes)
