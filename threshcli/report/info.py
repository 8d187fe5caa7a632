"""`thresh info` for people: what is in the files, and what they say about themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threshcli.report import figures
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row, render_grid
from threshcli.report.summary import brief, label
from threshcli.report.table import folded, warning_lines
from threshcli.report.terminal import Terminal
from threshcli.report.texts import shorten
from threshcli.report.totals import tensors_of
from threshcli.results import FileResult, RunResult, TensorResult

_COLUMNS = (
    Column(title="FILE / TENSOR", short="NAME", folds=True, least=16),
    Column(title="SHAPE", short="SHAPE", right=True),
    Column(title="DTYPE", short="DTYPE"),
    Column(title="BYTES", short="BYTES", right=True, importance=2),
    Column(title="LAYOUT", short="LAYOUT", folds=True, importance=1),
)


def render_info(run: RunResult, terminal: Terminal) -> str:
    """Every tensor of every file with its shape, type, bytes and layout; then the metadata; then the totals."""
    rows = [row for file in run.files for row in _rows(file)]
    lines = render_grid(_COLUMNS, rows, terminal) if rows else []
    for file in run.files:
        lines += _about(file, terminal)
    lines += folded([(_closing(run), ""), *warning_lines(run, verbose=False)], terminal)
    return "".join(f"{line}\n" for line in lines)


def _rows(file: FileResult) -> Iterator[Row]:
    if file.status == "failed":
        yield Row((Cell(file.input), Cell("failed"), *_blanks(2), Cell(brief(file), fold="end")), "red")
    elif not file.tensors:
        yield Row((Cell(file.input), Cell("index" if file.format == "index" else "0 tensors"), *_blanks(2), Cell()))
    elif len(file.tensors) == 1:
        yield _row(label(file), file.tensors[0])
    else:
        yield Row((Cell(file.input),), kind="heading")
        for tensor in file.tensors:
            yield _row(f"  {tensor.name}", tensor)


def _row(name: str, tensor: TensorResult) -> Row:
    shape, nbytes = figures.shape(tensor.shape), figures.count(tensor.nbytes)
    return Row((Cell(name), Cell(shape), Cell(tensor.dtype), Cell(nbytes), Cell(tensor.layout or NOTHING)))


def _blanks(number: int) -> Sequence[Cell]:
    return (Cell(NOTHING),) * number


def _about(file: FileResult, terminal: Terminal) -> Iterator[str]:
    """The metadata and notes of a file, a line each however long they are."""
    said = [*(f"{key} = {value}" for key, value in file.metadata), *file.notes]
    if said:
        yield from folded([(file.input, "bold")], terminal)
    for text in said:
        head = text[: terminal.width]  # what is cut off anyway need not be made safe: metadata can be megabytes
        shown = terminal.show(head) + ("" if head == text else " " * terminal.width)
        yield ("  " + shorten(shown, terminal.width - 2, "end", terminal.ellipsis)).rstrip()


def _closing(run: RunResult) -> str:
    tensors = list(tensors_of(run))
    nbytes = sum(item.nbytes for item in tensors)
    exact = f" ({figures.counted(nbytes, 'byte')})" if nbytes >= 1024 else ""
    return ", ".join(
        (
            figures.counted(len(run.files), "file"),
            figures.counted(len(tensors), "tensor"),
            figures.counted(sum(item.elements for item in tensors), "element"),
            figures.size(nbytes) + exact,
        )
    )
