"""Widths of texts in columns of a terminal, where a CJK character takes two and a combining mark none."""

from __future__ import annotations

from typing import Literal


def cells(text: str) -> int:
    """How many columns `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # late: names are ASCII nearly always, and rich takes its time

    return cell_len(text)


def pad(text: str, width: int, right: bool) -> str:
    """`text` with blanks before (`right`: at the right side) or after it up to `width`."""
    if text.isascii():
        return text.rjust(width) if right else text.ljust(width)
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def _head(text: str, width: int) -> str:
    """The longest start of `text` that fits."""
    if text.isascii():
        return text[: max(0, width)]
    taken = 0
    for i, char in enumerate(text):
        taken += cells(char)
        if taken > width:
            return text[:i]
    return text


def _tail(text: str, width: int) -> str:
    """The longest end of `text` that fits."""
    return _head(text[::-1], width)[::-1]


def shorten(text: str, width: int, where: Literal["middle", "end"], ellipsis: str) -> str:
    """`text` in at most `width` columns (four or more), an ellipsis in place of what is left out."""
    if cells(text) <= width:
        return text
    room = width - cells(ellipsis)
    if where == "end":
        return _head(text, room).rstrip() + ellipsis
    return _head(text, (room + 1) // 2) + ellipsis + _tail(text, room // 2)


def _break(line: str, following: str) -> int:
    """Where to end a line that could go on: after a comma of its second half, else at its last blank, else nowhere."""
    if following == " ":
        return len(line)
    for mark in (", ", " "):
        end = line.rfind(mark) + len(mark)
        if line[:end].strip() and (mark == " " or end > len(line) // 2):
            return end
    return len(line)


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """`text` in lines of at most `width` columns, all but the first indented; broken at blanks where there are any.

    Nothing is lost but the blanks at which it was broken.
    """
    lines: list[str] = []
    start = 0
    while True:
        lead = indent if lines else ""
        room = width - len(lead)
        window = text[start : start + room + 1]
        line = _head(window, room) or window[:1]
        if start + len(line) >= len(text):
            return [*lines, (lead + line).rstrip()]
        line = line[: _break(line, text[start + len(line)])]
        lines.append((lead + line).rstrip())
        start += len(line)
        while text[start : start + 1] == " ":
            start += 1
        if start == len(text):
            return lines
