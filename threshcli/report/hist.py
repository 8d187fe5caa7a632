"""`thresh hist`: bars for people, with the cut across them; rows and counts for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from threshcli.findings import Mark, TensorHist
from threshcli.report import figures, looking
from threshcli.report._bars import Glyphs, labels, length, offsets
from threshcli.report.cuts import slots_of
from threshcli.report.sheets import Buffered, Sheet, Write
from threshcli.report.spool import Spool
from threshcli.report.summary import brief
from threshcli.report.table import folded, warned
from threshcli.report.tally import Tally
from threshcli.report.terminal import UNLIMITED, Style, Terminal
from threshcli.report.texts import cells, pad, shorten
from threshcli.results import FileResult, RunResult, TensorResult, ThresholdUsed

_PIPED = 80  # columns of what has none
_COMFORTABLE, _LEAST = 20, 6  # columns of bars, for which shares go, then counts


class Findings(looking.Findings):
    """Edges and counts, and how many elements are kept and removed."""

    def __init__(self, run: RunResult, each: bool) -> None:
        super().__init__(run, each)
        self._kept: int | None = None
        self._removed: int | None = None

    def add(self, file: FileResult) -> None:
        super().add(file)
        for item in file.tensors:
            if isinstance(item, TensorHist) and item.kept is not None:
                self._kept = (self._kept or 0) + item.kept
                self._removed = (self._removed or 0) + (item.removed or 0)

    def shown(self, tensor: TensorResult) -> dict[str, object]:
        rows = tensor if isinstance(tensor, TensorHist) else None
        used = [_stated(one) for one in slots_of(tensor)]
        return {
            "nan": tensor.nan,
            "inf": tensor.inf,
            "edges": rows.edges if rows else (),
            "counts": rows.counts if rows else (),
            "threshold": used[0] if len(used) == 1 else used or None,
            "kept": tensor.kept,
            "removed": rows.removed if rows else None,
            "removed_counts": rows.removed_counts if rows else None,
        }

    def totals(self) -> dict[str, object]:
        return {"kept": self._kept, "removed": self._removed}

    def shows(self, write: Write, terminal: Terminal) -> Sheet:
        return _Pictures(write, self.run, terminal, verbose=self.each)


class _Pictures(Sheet):
    """The histograms one after another, an empty line between them. What failed waits for a file that did not: a
    report of nothing but failures would say twice what is said of them anyway."""

    def __init__(self, write: Write, run: RunResult, terminal: Terminal, *, verbose: bool) -> None:
        super().__init__(write)
        if run.params.get("ascii"):
            terminal = replace(terminal, unicode=False, encoding="ascii")
        self._run, self._terminal, self._verbose = run, terminal, verbose
        self._text = Buffered(write)
        self._waiting: Spool | None = Spool()
        self._between, self._more = "", 0

    def part(self, number: int, file: FileResult) -> FileResult:
        return file

    def take(self, part: FileResult) -> None:
        self._more += sum(item.applied and not isinstance(item, TensorHist) for item in part.tensors)
        blocks = _blocks(part, self._run, self._terminal)
        text = "".join(line for block in blocks for line in self._spaced(block))
        if part.status == "failed" and self._waiting is not None:
            self._waiting.add(text)
            return
        self._begin()
        self._text.add(text)

    def _spaced(self, block: Iterable[str]) -> Iterator[str]:
        yield self._between
        self._between = "\n"
        yield from (f"{line}\n" for line in block)

    def _begin(self) -> None:
        for text in self._waiting or ():
            self._text.add(text)
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        if tally.status == "failed":
            return
        self._begin()
        below: Iterable[tuple[str, Style]] = warned(warnings, warnings.count, self._verbose)
        if self._more:
            what = f"{figures.counted(self._more, 'more tensor')}: -v shows each, --tensor GLOB chooses"
            below = chain([(what, "")], below)
        if self._more or warnings.count:
            for line in self._spaced(folded(below, self._terminal)):
                self._text.add(line)
        self._text.flush()


def _stated(used: ThresholdUsed) -> dict[str, object]:
    found: dict[str, object] = {"spec": used.spec, "value": used.value, "min": None, "max": None}
    if used.slot != "threshold":
        found["slot"] = used.slot
    if used.worked_out:
        names = ("usable", "unusable", "asked", "tied", "above")
        found |= {name: getattr(used, name) for name in names}
    return found


def _blocks(file: FileResult, run: RunResult, terminal: Terminal) -> Iterator[list[str]]:
    """What is shown of a file: its histograms, and why there are none of others that were asked for."""
    if file.status == "failed":
        yield list(folded([(f"{file.input}: failed: {brief(file)}", "red")], terminal))
    elif not file.tensors:
        yield list(folded([(f"{file.input}: 0 tensors", "")], terminal))
    for item in file.tensors:
        if isinstance(item, TensorHist):
            yield list(_histogram(_title(file, item), item, run, terminal))
        elif not item.applied and item.reason != "not selected":
            yield list(folded([(_title(file, item), "bold"), (f"  {item.reason}", "")], terminal))


def _title(file: FileResult, item: TensorResult) -> str:
    return file.input if file.format == "npy" or not item.name else f"{file.input}::{item.name}"


def _histogram(title: str, item: TensorHist, run: RunResult, terminal: Terminal) -> Iterator[str]:
    magnitude, log = bool(run.params.get("magnitude")), bool(run.params.get("log"))
    glyphs = Glyphs.of(terminal)
    yield from folded([(title, "bold"), ("  " + _facts(item, magnitude), "")], terminal)
    if item.counts:
        yield from _Chart(item, glyphs, terminal, log).lines()
    yield from folded([("  " + text, "") for text in _legend(item, glyphs, log, terminal.width - 2)], terminal)


def _facts(item: TensorHist, magnitude: bool) -> str:
    """What else there is to know of a tensor; all of it where it has no rows."""
    shape = f" {figures.shape(item.shape)}" if len(item.shape) != 1 else ""  # which elements tell as well
    found = [item.dtype + shape]
    if not item.counts:
        return ", ".join((*found, _nothing(item)))
    span = f"{figures.number(item.min)} .. {figures.number(item.max)}"
    found += [figures.counted(item.elements, "element"), f"|x| {span}" if magnitude else span]
    if item.nan:
        found.append(f"{figures.count(item.nan)} NaN")
    if item.inf:
        found.append(f"{figures.count(item.inf)} infinite")
    return ", ".join(found)


def _nothing(item: TensorHist) -> str:
    """Why there are no rows."""
    if not item.elements:
        return "no elements"
    what = "NaN" if not item.inf else "NaN or infinite" if item.nan else "infinite"
    if item.elements == 1:
        return f"its one element is {what}"
    return f"all {figures.count(item.elements)} elements are {what}"


def _legend(item: TensorHist, glyphs: Glyphs, log: bool, width: int) -> Iterator[str]:
    """How many elements the cut keeps, beside the characters that stand for them; what the bars mean."""
    if item.kept is not None and item.removed is not None and item.kept + item.removed:
        kept, gone = (f"{figures.percent(part, item.elements)}" for part in (item.kept, item.removed))
        whole = f"{figures.count(item.kept)} of {figures.count(item.elements)}"
        stays = f"{glyphs.kept} kept {kept} ({whole})"
        goes = f"{glyphs.removed} removed {gone} ({figures.count(item.removed)})"
        yield from [f"{stays}, {goes}"] if len(stays) + len(goes) + 2 <= width else [stays, goes]
    if log and item.counts:
        yield "bars: log10(1 + count)"


@dataclass(frozen=True, slots=True)
class _Part:
    """A line of a chart: a row, or the part of one up to a cut or from there on."""

    label: str
    count: int
    removed: bool
    offset: int
    cells: float


class _Chart:
    """The rows of one tensor, laid out for a terminal."""

    def __init__(self, item: TensorHist, glyphs: Glyphs, terminal: Terminal, log: bool) -> None:
        self._item, self._glyphs, self._terminal, self._log = item, glyphs, terminal, log
        self._width = _PIPED if terminal.width == UNLIMITED else terminal.width
        self._labels = self._short(labels(item.edges)[:-1])
        self._label = max(map(cells, self._labels))
        self._shares = [figures.percent(count, item.elements) for count in item.counts]
        self._counts = max(len(figures.count(count)) for count in item.counts)
        room = self._width - self._label - 2
        self._has_shares = room - self._counts - 9 >= _COMFORTABLE
        self._has_counts = room - self._counts - 1 >= _LEAST
        self._room = room - (1 + self._counts if self._has_counts else 0) - (8 if self._has_shares else 0)

    def _short(self, texts: Sequence[str]) -> list[str]:
        return [shorten(text, max(4, self._width // 2), "middle", self._terminal.ellipsis) for text in texts]

    def lines(self) -> Iterator[str]:
        """Every row, and every cut at its place."""
        marks, removing = list(self._item.marks), self._removing()
        for row, count in enumerate(self._item.counts):
            inside: list[Mark] = []
            while marks and marks[0].row == row:
                mark = marks.pop(0)
                if mark.before is None:
                    yield self._rule(mark)
                    removing = self._after(mark, removing)
                else:
                    inside.append(mark)
            for number, part in enumerate(self._parts(row, count, inside, removing)):
                if number:
                    yield self._rule(inside[number - 1])
                yield self._line(part)
            for mark in inside:
                removing = self._after(mark, removing)
        yield from (self._rule(mark) for mark in marks)

    def _removing(self) -> bool:
        """Whether what is below the first cut is removed."""
        return any(mark.removing == "below" for mark in self._item.marks)

    def _after(self, mark: Mark, removing: bool) -> bool:
        return {"below": False, "above": True, None: removing}[mark.removing]

    def _parts(self, row: int, count: int, inside: Sequence[Mark], removing: bool) -> Iterator[_Part]:
        """A row cut into parts, the bar of each beginning where the one before it ends."""
        ends = [0, *(mark.before or 0 for mark in inside), count]
        counts = [second - first for first, second in pairwise(ends)]
        total = length(count, max(self._item.counts), self._room, self._log)
        places = [*offsets(counts, total), total]
        for number, part in enumerate(counts):
            if number:
                removing = self._after(inside[number - 1], removing)
            offset = min(int(places[number]), self._room - 1)
            size = max(places[number + 1] - offset, 1 / 8) if part else 0.0
            yield _Part("" if number else self._labels[row], part, removing, offset, min(size, self._room - offset))

    def _line(self, part: _Part) -> str:
        bar = (" " * part.offset + self._glyphs.bar(part.cells, part.removed)).rstrip()
        text = f"{pad(part.label, self._label, True)} {self._glyphs.axis}{bar}"
        numbers = ""
        if self._has_counts:
            numbers += f" {figures.count(part.count):>{self._counts}}"
        if self._has_shares:
            numbers += f"  {figures.percent(part.count, self._item.elements):>6}"
        if numbers:
            text = pad(text, self._width - len(numbers), False) + numbers
        return self._terminal.paint(text, "dim" if part.removed else "")

    def _rule(self, mark: Mark) -> str:
        """A line across all rows that says what is cut here."""
        line, width = self._glyphs.line, self._width
        name = "T" if mark.slot == "threshold" else mark.slot
        value = str(mark.value) if isinstance(mark.value, int) else f"{mark.value:.6g}"
        text = f" {name} = {value}{'' if _is_number(mark.spec) else f' ({self._terminal.show(mark.spec)})'} "
        text = line * (self._label + 1) + self._glyphs.cross + line + text
        text = shorten(text, width, "end", self._terminal.ellipsis)
        return self._terminal.paint((text + line * (width - cells(text))).rstrip(), "bold")


def _is_number(spec: str) -> bool:
    try:
        float(spec)
    except ValueError:
        return False
    return True
