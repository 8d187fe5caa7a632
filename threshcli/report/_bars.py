"""Bars of characters: eighths of a block where the stream can carry them, ASCII elsewhere; removed parts are told by
another character, so that colour only says it once more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from threshcli.report.terminal import Terminal
from threshcli.results import Scalar

_MOST_DECIMALS = 7
_LONGEST_INTEGER = 10
_FROM = 1e6  # labels from here on have an exponent


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What bars, their axis and the lines across them are made of; `parts` are the fractions of a kept cell."""

    kept: str = "\u2588"
    parts: str = "\u258f\u258e\u258d\u258c\u258b\u258a\u2589"
    removed: str = "\u2591"
    axis: str = "\u2502"
    cross: str = "\u253c"
    line: str = "\u2500"

    @classmethod
    def of(cls, terminal: Terminal) -> Glyphs:
        """Those that the stream can carry."""
        blocks = cls()
        every = blocks.kept + blocks.parts + blocks.removed + blocks.axis + blocks.cross + blocks.line
        try:
            every.encode(terminal.encoding)
        except (UnicodeEncodeError, LookupError):
            return ASCII
        return blocks if terminal.unicode else ASCII

    def bar(self, cells: float, removed: bool) -> str:
        """A bar of so many cells; the thinnest there is for what is not nothing."""
        if cells <= 0:
            return ""
        if removed or not self.parts:
            return (self.removed if removed else self.kept) * max(1, round(cells))
        steps = len(self.parts) + 1
        whole, part = divmod(max(1, round(cells * steps)), steps)
        return self.kept * whole + (self.parts[part - 1] if part else "")


ASCII = Glyphs(kept="#", parts="", removed=".", axis="|", cross="+", line="-")


def length(count: int, most: int, room: int, log: bool) -> float:
    """The cells of a bar for `count`, where that for `most` takes all the room there is."""
    if not count:
        return 0.0
    return room * (math.log1p(count) / math.log1p(most) if log else count / most)


def offsets(counts: Sequence[int], cells: float) -> list[int]:
    """Where the parts of a bar begin that are drawn below each other: each moved on by those before it, which have one
    cell at least where they are not nothing."""
    total, found, done = sum(counts), [0], 0
    for count in counts[:-1]:
        done += count
        found.append(max(found[-1] + (count > 0), round(cells * done / total) if total else 0))
    return found


def labels(edges: Sequence[Scalar]) -> list[str]:
    """The edges of rows as people read them: alike in form, and no two the same."""
    if all(isinstance(edge, int) for edge in edges):
        plain = [str(int(edge)) for edge in edges]
        if max(map(len, plain)) <= _LONGEST_INTEGER:
            return plain
    largest = max(abs(edge) for edge in edges)
    rows = len(edges) - 1
    half = edges[-1] / (2 * rows) - edges[0] / (2 * rows)  # half a row: the range may overflow
    step = math.floor(math.log10(half) + math.log10(2)) if half > 0 else None
    if step is None:
        return [f"{edge:.4g}" for edge in edges]
    decimals = max(0, 1 - step)
    if largest < _FROM and decimals <= _MOST_DECIMALS:
        return [_unsigned(f"{edge:.{decimals}f}") for edge in edges]
    digits = max(1, math.floor(math.log10(largest)) - step + 1)
    return [_unsigned(f"{edge:.{digits}e}") for edge in edges]


def _unsigned(text: str) -> str:
    """Without the sign of a zero."""
    return text.removeprefix("-") if float(text) == 0 else text
