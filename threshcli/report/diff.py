"""`thresh diff` for people and for programs: what differs between two files, by how much, and where."""

from __future__ import annotations

from collections.abc import Iterator

from threshcli.report import figures
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.machine import render_look
from threshcli.report.summary import brief
from threshcli.report.table import laid_out
from threshcli.report.terminal import Terminal
from threshcli.report.totals import tensors_of
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


def document(run: RunResult) -> str:
    """The report for programs, thresh.diff/1."""
    found = [item for item in tensors_of(run) if isinstance(item, TensorDiff)]
    totals = {
        "same": all(isinstance(file, FileDiff) and file.same for file in run.files),
        "compared": len(found),
        "different": sum(bool(item.differs) for item in found),
        "differing": sum(item.differing or 0 for item in found),
    }
    return render_look(run, _shown, totals, _about)


def _about(file: FileResult) -> dict[str, object]:
    if not isinstance(file, FileDiff):
        return {"same": None, "other": None, "other_format": None, "other_bytes_in": 0, "only": None, "metadata": []}
    return {
        "same": file.same,
        "other": file.other,
        "other_format": file.other_format,
        "other_bytes_in": file.other_bytes,
        "only": file.only,
        "metadata": [{"key": key, "a": a, "b": b} for key, a, b in file.keys],
    }


def _shown(tensor: TensorResult) -> dict[str, object]:
    differs = tensor.differs if isinstance(tensor, TensorDiff) else ()
    return {"differs": differs, **{name: getattr(tensor, name, None) for name in _VALUES}}


def table(run: RunResult, terminal: Terminal, *, verbose: bool) -> str:
    """The report for people: what differs; with `verbose` every tensor."""
    several = len(run.files) > 1
    rows = [row for file in run.files for row in _rows(file, several, verbose)]
    most = run.params.get("max")
    shown = rows[:most] if isinstance(most, int) and not verbose else rows
    closing = list(_closing(run))
    if len(shown) < len(rows):
        closing.append(f"{figures.counted(len(rows) - len(shown), 'more row')}: -v shows all")
    return laid_out(run, _COLUMNS, shown, closing, terminal, verbose=verbose)


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


def _closing(run: RunResult) -> Iterator[str]:
    """The keys of metadata that differ, then what it comes to."""
    for file in run.files:
        for key, a, b in file.keys if isinstance(file, FileDiff) else ():
            yield f"metadata {key}: {_value(a)} | {_value(b)}"
    found = [item for item in tensors_of(run) if isinstance(item, TensorDiff)]
    different = sum(bool(item.differs) for item in found)
    tensors = figures.counted(len(found), "tensor")
    read = figures.size(sum(file.bytes_in + getattr(file, "other_bytes", 0) for file in run.files))
    told = (
        f"{different} of {tensors} differ{'s' if len(found) == 1 else ''}"
        if different
        else f"{tensors}, none differs"
        if found
        else "no tensors"
    )
    differ = any(isinstance(file, FileDiff) and not file.same for file in run.files)
    verdict = "different" if differ else "the same"
    if len(run.files) > 1:
        apart = sum(isinstance(file, FileDiff) and not file.same for file in run.files)
        verdict = f"{apart} of {figures.counted(len(run.files), 'file')} {'are' if apart != 1 else 'is'} different"
        verdict += f", {run.failed} failed" * bool(run.failed)
    yield f"{verdict}: {told}, {read}, {figures.duration(run.seconds)}"


def _value(text: str | None) -> str:
    return NOTHING if text is None else repr(text if len(text) <= 60 else text[:57] + "...")
