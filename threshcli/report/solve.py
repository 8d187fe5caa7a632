"""`thresh solve` for people: each tensor's threshold, and what it was worked out from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threshcli.report import cuts, figures
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.running import Shape
from threshcli.report.summary import brief, label
from threshcli.report.tally import Tally
from threshcli.results import FileResult, RunResult, Scalar, TensorResult, ThresholdUsed

_MOST = 5
"""With more thresholds along an axis, their extremes stand for all."""

_COLUMNS = (
    Column(title="FILE / TENSOR", short="NAME", folds=True, least=12),
    Column(title="SHAPE", short="SHAPE", right=True, importance=1),
    Column(title="DTYPE", short="DTYPE", importance=2),
    Column(title="THRESHOLD", short="THRESHOLD", right=True),
    Column(title="ASKED", short="ASKED", right=True, importance=5),
    Column(title="TIED", short="TIED", right=True, importance=4),
    Column(title="WORKED OUT OF", short="OF", right=True, importance=6),
    Column(title="LEFT OUT", short="OUT", right=True, importance=3),
)


class Solved(Shape):
    """A row for each tensor that has a threshold."""

    def __init__(self, run: RunResult) -> None:
        spec, scope = run.params.get("threshold"), run.params.get("scope")
        self._what = f"{spec} of {'|x|' if run.params.get('magnitude') else 'x'}, scope {scope}"

    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        return _COLUMNS

    def rows(self, file: FileResult) -> Iterator[Row]:
        return _rows(file)

    def closing(self, run: RunResult, tally: Tally) -> Iterator[str]:
        yield f"{self._what}, {figures.duration(run.seconds)}"


def _rows(file: FileResult) -> Iterator[Row]:
    if file.status == "failed":
        blank = (Cell(NOTHING),) * (len(_COLUMNS) - 3)
        yield Row((Cell(file.input), Cell(NOTHING), Cell("failed"), *blank[:-1], Cell(brief(file), fold="end")), "red")
        return
    tensors = [item for item in file.tensors if item.applied]
    if len(tensors) == 1 and len(file.tensors) == 1:
        yield _row(label(file), tensors[0])
    elif tensors:
        yield Row((Cell(file.input),), kind="heading")
        yield from (_row(f"  {item.name}", item) for item in tensors)


def _row(name: str, item: TensorResult) -> Row:
    used = cuts.slots_of(item)
    first = used[0] if used else ThresholdUsed(spec="")
    return Row(
        (
            Cell(name),
            Cell(figures.shape(item.shape)),
            Cell(item.dtype),
            _threshold(used),
            *(Cell(NOTHING if part is None else figures.count(part)) for part in (first.asked, first.tied)),
            *(Cell(NOTHING if part is None else figures.count(part)) for part in (first.usable, first.unusable)),
        )
    )


def _threshold(used: tuple[ThresholdUsed, ...]) -> Cell:
    values: list[Scalar] = [value for one in used for value in _values(one) if value is not None]
    if not values:
        return Cell(NOTHING)
    if len(values) > _MOST or any(one.value is None and one.values is None for one in used):
        return Cell(_text(min(values)), joint="..", after=_text(max(values)))
    return Cell(", ".join(map(_text, values)))


def _values(used: ThresholdUsed) -> tuple[Scalar | None, ...]:
    if used.values is not None:
        return used.values
    return (used.min, used.max) if used.value is None else (used.value,)


def _text(value: Scalar) -> str:
    """With as many digits as say something: a threshold is read off to be typed again."""
    return str(value) if isinstance(value, int) else f"{value:.7g}"
