"""What a run has to tell, as rows: a row a tensor, or a row a file where there are too many tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from threshcli.report import cuts, figures
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.tally import Ranks, Tally, ranked
from threshcli.report.terminal import Style
from threshcli.report.totals import Count, Totals, tensors_of
from threshcli.results import FileResult, RunResult, TensorResult, ThresholdUsed

MOST_TENSORS = 20
"""With more in all, a row stands for a file."""

_LONGEST_MESSAGE = 60
_ZERO, _NO_CELL = Cell("0"), Cell(NOTHING)
_about = attrgetter("shape", "dtype", "out_dtype", "packing", "applied", "threshold", "operator", "steps")


def destination(file: FileResult) -> str:
    """Where the output went, the residual with it."""
    where = "" if file.output is None else "(stdout)" if file.output == "-" else file.output
    return f"{where}, residual {file.residual}" if file.residual is not None else where


def label(file: FileResult) -> str:
    """The name of a file that shows one tensor: with the tensor's, unless the format has no names."""
    name = file.tensors[0].name
    return file.input if file.format == "npy" or not name else f"{file.input}::{name}"


@dataclass(frozen=True)
class Summary:
    """The table of a run, before it is laid out; `each` asks for a row a tensor however many there are."""

    run: RunResult
    each: bool = False

    @cached_property
    def per_tensor(self) -> bool:
        return self.each or sum(len(file.tensors) for file in self.run.files) <= MOST_TENSORS

    @cached_property
    def chosen(self) -> Count:
        """The count that matters: what is kept, or what is selected where the rule decides and keeps nothing."""
        counted = any(item.selected is not None and item.kept is None for item in tensors_of(self.run))
        return "selected" if self.run.decides or counted else "kept"

    @cached_property
    def norms(self) -> bool:
        """Whether norms are to be shown: how much of a gradient is left is what its users ask."""
        return self.run.command == "gradient" and any(item.norm_after is not None for item in tensors_of(self.run))

    @cached_property
    def ranked(self) -> bool:
        """Whether a number of elements was asked for, so that it is to be seen beside what was kept."""
        if self.several and {"file", "global"} & self._scopes:
            return False  # each row would tell what was asked of others as well
        return any(used.asked is not None for item in tensors_of(self.run) for used in cuts.slots_of(item))

    @property
    def several(self) -> bool:
        """Whether a tensor's rule is to be told, since there may be others."""
        return self.run.command == "run"

    @property
    def _scopes(self) -> set[object]:
        """Over what thresholds are worked out, as the recipe says it."""
        recipe: Any = self.run.recipe or {}
        entries = recipe.get("rules", [recipe])
        return {step.get("scope") for entry in entries for step in entry.get("steps", [entry])}

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        unsound = any(tensor.nan or tensor.inf for tensor in tensors_of(self.run))
        kept = ("KEPT", "KEPT") if self.chosen == "kept" else ("SELECTED", "SEL")
        norm = Column(title="NORM before -> after", short="NORM", right=True, importance=4)
        return (
            Column(title="FILE / TENSOR", short="NAME", folds=True, least=20),
            Column(title="SHAPE", short="SHAPE", right=True, importance=6, repeats=True),
            Column(title="DTYPE", short="DTYPE", importance=7, repeats=True),
            *([Column(title="RULE", short="RULE", folds=True, least=8, repeats=True)] if self.several else []),
            Column(title="THRESHOLD", short="THRESHOLD", folds=True, least=24, repeats=True),
            Column(title=kept[0], short=kept[1], right=True, repeats=True),
            *([Column(title="ASKED -> KEPT", short="ASKED", right=True, importance=9)] if self.ranked else []),
            Column(title="ZERO before -> after", short="ZERO", right=True, importance=8, repeats=True),
            Column(title="NAN/INF", short="NAN/INF", right=True, importance=0 if unsound else 5, repeats=True),
            Column(title="min..max", short="min..max", right=True, importance=3),
            *([norm] if self.norms else []),
            Column(title="OUTPUT", short="OUTPUT", folds=True, least=12, importance=2),
        )

    def total(self, tally: Tally) -> Row:
        """The row of totals."""
        ranks = tally.asked(self.run.params.get("scope"))
        counts = self._counts(tally.totals, self._asked(tally.totals, ranks) if ranks.many else Cell(NOTHING))
        tensors = Cell(figures.counted(tally.tensors, "tensor"))
        kept = Cell(tally.totals.share(self.chosen))
        blank = (Cell(),) * (3 if self.several else 2)
        return Row((Cell("TOTAL"), tensors, *blank, kept, *counts, Cell()), "bold", "total")

    def of(self, file: FileResult) -> Iterator[Row]:
        """The rows of one file: of the run, or one that comes later."""
        if file.status == "failed":
            yield self._word(file, "failed", Cell(brief(file), fold="end"), "red")
        elif file.status in ("skipped", "not-done"):
            yield self._word(file, file.status, Cell(destination(file)), "dim")
        elif file.format == "index":
            yield self._word(file, "index", Cell(destination(file)), "")
        elif len(file.tensors) == 1:
            yield self._row((label(file), file.tensors), destination(file))
        elif self.per_tensor and file.tensors:
            where = destination(file)
            yield Row((Cell(file.input, joint="->" if where else "", after=where),), kind="heading")
            for tensor in file.tensors:
                yield self._row((f"  {tensor.name}", (tensor,)), "")
        else:
            yield self._row((file.input, file.tensors), destination(file))

    def _word(self, file: FileResult, word: str, note: Cell, style: Style) -> Row:
        """A row that has a word in place of numbers; the word is in the column that never goes."""
        before = 3 + self.several
        blank = (Cell(NOTHING),) * (len(self.columns) - before - 3)
        return Row((Cell(file.input), *(Cell(NOTHING),) * before, Cell(word), *blank, note), style)

    def _row(self, what: tuple[str, Sequence[TensorResult]], output: str) -> Row:
        tensors = what[1]
        if not tensors or tensors[0].applied or any(tensor.applied for tensor in tensors):
            return Row(self._cells(what, Cell(output)))
        reasons = list(dict.fromkeys(tensor.reason for tensor in tensors if tensor.reason))
        note = ", ".join([*reasons, *([output] if output else [])])
        return Row(self._cells(what, Cell(note, fold="end")), "dim")

    @cached_property
    def _together(self) -> bool:
        """Whether several tensors were asked for their elements together."""
        several = sum(len(ranked(file.tensors)) for file in self.run.files) > 1
        return several and self.run.params.get("scope") in ("file", "global")

    def _asked_of(self, tensors: Sequence[TensorResult], totals: Totals) -> Cell:
        """What tensors were asked for; what several were asked for together stands in the row of totals."""
        found = ranked(tensors)
        if not found:
            return Cell(NOTHING)
        asked = self._asked(totals, Ranks(len(found), *(sum(each) for each in zip(*map(_pair, found), strict=True))))
        if not self._together:
            return asked
        kept = totals.sum(self.chosen)
        return Cell("", joint="->", after=NOTHING if kept is None else figures.count(kept))

    def _asked(self, totals: Totals, ranks: Ranks) -> Cell:
        """How many elements were to stay, how many did, and how many are equal to the cut."""
        kept = totals.sum(self.chosen)
        after = NOTHING if kept is None else figures.count(kept)
        told = f"{after} ({figures.count(ranks.tied)} tied)" if ranks.tied > ranks.many else after
        return Cell(figures.count(ranks.asked), joint="->", after=told)

    def _cells(self, what: tuple[str, Sequence[TensorResult]], output: Cell) -> tuple[Cell, ...]:
        name, tensors = what
        totals = Totals.of(tensors)
        copied = bool(tensors) and not totals.tensors
        return (
            Cell(name),
            *self._before_counts(tensors),
            Cell(_unworked(tensors) if copied else totals.share(self.chosen)),
            *self._counts(totals, self._asked_of(tensors, totals) if self.ranked else _NO_CELL),
            output,
        )

    def _before_counts(self, tensors: Sequence[TensorResult]) -> Sequence[Cell]:
        """The cells of what was known of tensors before they were worked on; of one they are those of the row above,
        mostly."""
        if len(tensors) != 1:
            return self._described(tensors)
        about, latest = _about(tensors[0]), self._latest
        if not latest or latest[0] != about:
            latest[:] = about, self._described(tensors)
        found: Sequence[Cell] = latest[1]
        return found

    @cached_property
    def _latest(self) -> list[Any]:
        """What one tensor is, and the cells that say it."""
        return []

    def _described(self, tensors: Sequence[TensorResult]) -> Sequence[Cell]:
        return (
            Cell(figures.shape(tensors[0].shape) if len(tensors) == 1 else figures.counted(len(tensors), "tensor")),
            _dtypes(tensors),
            *([_rules(tensors)] if self.several else []),
            _threshold(self.run.operator, tensors),
        )

    def _counts(self, totals: Totals, asked: Cell) -> tuple[Cell, ...]:
        return (
            *([asked] if self.ranked else []),
            _joined(totals.share("zeros_before"), "->", totals.share("zeros_after")),
            _unsound(totals),
            _joined(figures.number(totals.low), "..", figures.number(totals.high)),
            *([_norms(totals)] if self.norms else []),
        )


def _pair(used: ThresholdUsed) -> tuple[int, int]:
    return used.asked or 0, used.tied or 0


def brief(file: FileResult) -> str:
    """The first line of what went wrong; the whole of it is told elsewhere."""
    message = file.error.message.partition("\n")[0] if file.error else ""
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 3].rstrip() + "..."


def _dtypes(tensors: Sequence[TensorResult]) -> Cell:
    pairs = dict.fromkeys(
        (item.dtype, item.packing or item.out_dtype) if item.applied else (item.packing or item.dtype, item.out_dtype)
        for item in tensors
    )
    found = [before if before == after else f"{before} -> {after}" for before, after in pairs]
    several = f"{len(found)} dtypes"
    if len(found) > 2:
        return Cell(several)
    return Cell(", ".join(found) or NOTHING, brief=several if len(found) == 2 else "")


def _rules(tensors: Sequence[TensorResult]) -> Cell:
    found = list(dict.fromkeys(", ".join(item.steps) for item in tensors if item.applied))
    return Cell(found[0] if len(found) == 1 else f"{len(found)} of them" if found else NOTHING, fold="end")


def _threshold(operator: str, tensors: Sequence[TensorResult]) -> Cell:
    own = {item.operator for item in tensors if item.applied}
    operator = operator or (own.pop() if len(own) == 1 else "")
    return Cell(cuts.describe(operator, tensors), fold="end", brief=cuts.describe(operator, tensors, specs=False))


def _unworked(tensors: Sequence[TensorResult]) -> str:
    """What became of tensors that no rule was applied to."""
    return "unpacked" if any(item.packing for item in tensors) else "copied"


def _joined(before: str, joint: str, after: str) -> Cell:
    return Cell(NOTHING) if before == after == NOTHING else Cell(before, joint=joint, after=after)


def _unsound(totals: Totals) -> Cell:
    nan, inf = totals.sum("nan"), totals.sum("inf")
    if nan is None and inf is None:
        return _NO_CELL
    if not nan and not inf:
        return _ZERO
    return Cell(f"{figures.count(nan or 0)}/{figures.count(inf or 0)}", "yellow")


def _norms(totals: Totals) -> Cell:
    if totals.norms is None:
        return Cell(NOTHING)
    return _joined(figures.number(totals.norms[0]), "->", figures.number(totals.norms[1]))
