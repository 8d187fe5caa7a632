"""Tables for people: rows of cells, laid out for the width that there is.

Where the width does not suffice, titles become short, long names lose their middle, then whole columns go, the least
important first, until names are told apart as they were; where even that does not help, every row becomes a block of
lines. rich.table can do none of this; laying out here also spares a report its import (70 ms, a third of a run on a
small file), the 0.6 ms that it takes a row, and the blanks that it leaves at the ends of lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from threshcli.report.figures import NOTHING
from threshcli.report.terminal import Style, Terminal
from threshcli.report.texts import cells, pad, shorten, wrap

_GAP = 2
_WIDEST = 160  # of a column: one monstrous name must not pad every other row to its length
_MOST_KNOWN = 1024  # texts of cells that are kept: most cells of a long table are those of the row above
_LEAST_VALUE = 12  # columns that a value needs beside its label


class Cell(NamedTuple):
    """A text, or two with a `joint` (`->`, `..`) between them that stand under each other in a column."""

    text: str = ""
    style: Style = ""
    joint: str = ""
    after: str = ""
    fold: Literal["middle", "end"] = "middle"
    """Where it may be shortened, in a column that folds."""
    brief: str = ""
    """What stands for the text when there is no room for it."""

    @property
    def plain(self) -> str:
        return f"{self.text} {self.joint} {self.after}" if self.joint else self.text

    @property
    def blank(self) -> bool:
        return not self.joint and self.text.strip() in ("", NOTHING)


class Column(NamedTuple):
    """One column; its `importance` says how late it goes (0: never), `least` how narrow a folding one may get. Cells of
    one that `repeats` are those of another row, mostly."""

    title: str
    short: str
    right: bool = False
    folds: bool = False
    least: int = 0
    importance: int = 0
    repeats: bool = False


class Row(NamedTuple):
    """A row; one of `kind` heading has one cell, over the whole width, a total stands below a rule."""

    cells: tuple[Cell, ...]
    style: Style = ""
    kind: Literal["row", "heading", "total"] = "row"


class _Placed(NamedTuple):
    """A column that has its place: its index, title and width."""

    number: int
    title: str
    width: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns there are and how wide: what was found for some rows, and serves for others that follow."""

    columns: Sequence[Column]
    terminal: Terminal
    placed: Sequence[_Placed]
    brief: bool
    joints: Sequence[tuple[int, int]]
    """How wide the parts of joined cells are, by column."""
    _known: dict[tuple[int, Cell], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def _width(self) -> int:
        return sum(item.width for item in self.placed) + _GAP * (len(self.placed) - 1)

    def _rule(self) -> str:
        return self.terminal.paint(self.terminal.line * self._width, "dim")

    def head(self) -> list[str]:
        """The titles and the line below them."""
        titles = [pad(item.title, item.width, self.columns[item.number].right) for item in self.placed]
        return [_line(titles, ["bold"] * len(titles), self.terminal), self._rule()]

    def lines(self, row: Row) -> list[str]:
        """A row; a total has a line above it."""
        if row.kind == "heading":
            name = _shown(row.cells[0], self.terminal).plain
            return [self.terminal.paint(line, row.style) for line in wrap(name, self.terminal.width, "  ")]
        row_cells = row.cells
        texts = [self._fitted(item, row_cells[item.number]) for item in self.placed]
        styles = [row_cells[item.number].style or row.style for item in self.placed] if self.terminal.colour else ()
        line = _line(texts, styles, self.terminal)
        return [self._rule(), line] if row.kind == "total" else [line]

    def _fitted(self, item: _Placed, cell: Cell) -> str:
        """The text of a cell, as wide as its column."""
        column = self.columns[item.number]
        if not column.repeats:
            return self._fit(item, cell, column)
        key = item.number, cell
        text = self._known.get(key)
        if text is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            text = self._known[key] = self._fit(item, cell, column)
        return text

    def _fit(self, item: _Placed, cell: Cell, column: Column) -> str:
        cell = _shown(cell, self.terminal)
        text = _text(cell, self.joints[item.number], self.brief)
        if self.terminal.is_terminal:
            text = shorten(text, item.width, cell.fold, self.terminal.ellipsis)
        return pad(text, item.width, column.right)


def render_grid(columns: Sequence[Column], rows: Sequence[Row], terminal: Terminal) -> list[str]:
    """The lines of a table, none wider than the terminal; on what is no terminal nothing is shortened."""
    layout = laid(columns, rows, terminal)
    if layout is None:
        return stacked(columns, rows, terminal)
    return [*layout.head(), *(line for row in rows for line in layout.lines(row))]


def laid(columns: Sequence[Column], rows: Sequence[Row], terminal: Terminal) -> Layout | None:
    """The columns that fit, as few as possible dropped: more of them where rows could not be told apart by what is left
    of their names. None where no choice fits."""
    told = [tuple(_shown(cell, terminal) for cell in row.cells) for row in rows if row.kind != "heading"]
    joints = [_joint([line[i] for line in told if line[i].joint]) for i in range(len(columns))]
    natural = [
        [_widest([_text(line[i], joints[i], brief) for line in told]) for i in range(len(columns))]
        for brief in (False, True)
    ]
    blank = [all(line[i].blank for line in told) for i in range(len(columns))]
    names = {_text(line[0], joints[0], False) for line in told}
    choices = list(_fitting(columns, natural, blank, terminal.width))
    apart = (choice for choice in choices if _told_apart(names, choice[0][0].width, terminal.ellipsis))
    choice = next(apart, choices[0] if choices else None)
    return None if choice is None else Layout(columns, terminal, *choice, joints)


def _shown(cell: Cell, terminal: Terminal) -> Cell:
    whole = cell.text + cell.after + cell.brief
    if whole.isascii() and whole.isprintable():
        return cell
    text, after, brief = (terminal.show(part) for part in (cell.text, cell.after, cell.brief))
    if (text, after, brief) == (cell.text, cell.after, cell.brief):
        return cell
    return cell._replace(text=text, after=after, brief=brief)


def _joint(column: Sequence[Cell]) -> tuple[int, int]:
    """How wide the parts of the joined cells of a column are."""
    return max((cells(cell.text) for cell in column), default=0), max((cells(cell.after) for cell in column), default=0)


def _text(cell: Cell, joint: tuple[int, int], brief: bool) -> str:
    """The text of a cell, the parts of a joined one as wide as the widest of their column."""
    if cell.joint:
        return f"{pad(cell.text, joint[0], True)} {cell.joint} {pad(cell.after, joint[1], True)}"
    return (brief and cell.brief) or cell.text


def _told_apart(names: Collection[str], width: int, ellipsis: str) -> bool:
    """Whether texts differ still when they are so short."""
    return len({shorten(name, width, "middle", ellipsis) for name in names}) == len(names)


def _fitting(
    columns: Sequence[Column], natural: Sequence[Sequence[int]], blank: Sequence[bool], width: int
) -> Iterator[tuple[list[_Placed], bool]]:
    """Columns that fit, and whether their texts have to be brief, the most columns first; `natural` are the widths of
    texts, and of those that are brief."""
    droppable = sorted((i for i, item in enumerate(columns) if item.importance), key=lambda i: columns[i].importance)
    droppable.sort(key=lambda i: not blank[i])
    for gone in range(len(droppable) + 1):
        left = [i for i in range(len(columns)) if i not in droppable[:gone]]
        room = width - _GAP * (len(left) - 1)
        for brief, squeeze in ((False, False), (True, False), (True, True)):
            widths = [max(natural[brief][i], len(columns[i].short if brief else columns[i].title)) for i in left]
            if squeeze:
                _squeeze([columns[i] for i in left], widths, room)
            if sum(widths) <= room:
                yield [_placed(columns[i], i, space) for i, space in zip(left, widths, strict=True)], brief
                break


def _widest(texts: Sequence[str]) -> int:
    return min(_WIDEST, max(map(cells, texts), default=0))


def _placed(column: Column, index: int, width: int) -> _Placed:
    return _Placed(index, column.title if len(column.title) <= width else column.short, width)


def _squeeze(columns: Sequence[Column], widths: list[int], room: int) -> None:
    """Take from the columns that fold, the last first, what is over the room."""
    for i, column in reversed(list(enumerate(columns))):
        over = sum(widths) - room
        if column.folds and over > 0:
            widths[i] = min(widths[i], max(column.least, len(column.short), widths[i] - over))


def _line(texts: Sequence[str], styles: Sequence[Style], terminal: Terminal) -> str:
    """Texts side by side, without blanks at the end; only what can be seen is painted, if anything is."""
    if not terminal.colour:
        return (" " * _GAP).join(texts).rstrip()
    last = max((i for i, text in enumerate(texts) if text.strip()), default=-1)
    line = ""
    for i, text in enumerate(texts[: last + 1]):
        ink = text.strip()
        lead, _, trail = text.partition(ink) if ink else (text, "", "")
        line += " " * _GAP * (i > 0) + lead + terminal.paint(ink, styles[i]) + (trail if i < last else "")
    return line


def stacked(columns: Sequence[Column], rows: Sequence[Row], terminal: Terminal) -> list[str]:
    """Every row as a block: its name, then a line for each cell that says something."""
    label_width = max(len(column.short) for column in columns[1:])
    lines: list[str] = []
    for row in (row._replace(cells=tuple(_shown(cell, terminal) for cell in row.cells)) for row in rows):
        name = row.cells[0].plain
        indent = "    " if name.startswith("  ") else "  "  # the tensors of a file are set in already
        lines += [terminal.paint(line, row.style or "bold") for line in wrap(name, terminal.width, indent)]
        for column, cell in zip(columns[1:], row.cells[1:], strict=False):
            if not cell.blank:
                label = f"{indent}{column.short:<{label_width}}  "
                lines += [terminal.paint(line, cell.style or row.style) for line in _labelled(label, cell, terminal)]
    return lines


def _labelled(label: str, cell: Cell, terminal: Terminal) -> list[str]:
    """A label and its value beside it; below it where that would leave too little room."""
    room = terminal.width - len(label)
    if room >= _LEAST_VALUE:
        first, *others = wrap(cell.plain, room)
        return [label + first, *(" " * len(label) + other for other in others)]
    indent = " " * (2 + len(label) - len(label.lstrip(" ")))
    return [label.rstrip(), *(indent + part for part in wrap(cell.plain, terminal.width - len(indent)))]
