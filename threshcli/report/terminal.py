"""What the other end of a stream can show, and text that is safe to show there.

Everything meant for people passes `Terminal.show`: names come out of files that nobody vouches for, and a terminal
obeys what it prints. The format of a report never depends on the terminal; width, colour and charset do.
"""

from __future__ import annotations

import os
import select
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, TextIO

Color = Literal["auto", "always", "never"]
Style = Literal["", "bold", "dim", "red", "yellow"]

UNLIMITED = 10_000
"""The width of what is no terminal: nothing is folded there."""

_NARROWEST = 16
_LONGEST_LINE = 1500
_GLYPHS = "\u2500\u2026"
_SGR: dict[Style, str] = {"bold": "1", "dim": "2", "red": "31", "yellow": "33"}
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Invisible as well, though Unicode files them under letters and marks (its property Default_Ignorable_Code_Point).
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
)
_PLANE_14 = range(0xE0000, 0xE1000)  # tags and the other variation selectors
_ESCAPED_BYTES = range(0xDC80, 0xDD00)  # how `surrogateescape` carries a byte of a name that is not UTF-8


def _escape(char: str) -> str:
    code = ord(char)
    if code in _ESCAPED_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_unsafe(char: str) -> bool:
    code = ord(char)
    return unicodedata.category(char) in _UNSAFE_CATEGORIES or code in _INVISIBLE or code in _PLANE_14


def safe(text: str) -> str:
    """`text` with every character that a terminal obeys, or that cannot be seen, written as \\xNN or \\uNNNN."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if _is_unsafe(char) else char for char in text)


def brief(text: str) -> str:
    """`text` as one line can have it: of a long one its beginning and its end."""
    return text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 200]} ... {text[-195:]}"


def valid(text: str) -> str:
    """`text` as it can be encoded: only lone surrogates are escaped, those that stand for a byte as that byte."""
    if text.isascii():
        return text
    return "".join(_escape(char) if "\ud800" <= char <= "\udfff" else char for char in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A stream as reports see it; the defaults are those of a pipe."""

    is_terminal: bool = False
    width: int = UNLIMITED
    colour: bool = False
    unicode: bool = True
    """Whether rules and ellipses can be drawn; text is ASCII otherwise."""
    encoding: str = "utf-8"
    dumb: bool = False
    """Whether it cannot move the cursor, so that nothing may be drawn over."""

    @classmethod
    def of(cls, stream: TextIO, color: Color, env: Mapping[str, str]) -> Self:
        """What `stream` is, with the environment's and the user's (`--color`) say in it."""
        is_terminal = not stream.closed and stream.isatty()
        encoding = stream.encoding or "utf-8"
        return cls(
            is_terminal=is_terminal,
            width=_width(stream, env) if is_terminal else UNLIMITED,
            colour=_colour(color, is_terminal, env),
            unicode=_carries(encoding, _GLYPHS),
            encoding=encoding,
            dumb=env.get("TERM") == "dumb",
        )

    def show(self, text: str) -> str:
        """`text` made safe, and as this stream's encoding will carry it, so that its width is known."""
        shown = safe(text)
        if shown.isascii():
            return shown
        return shown.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def paint(self, text: str, style: Style) -> str:
        """`text` in a style, where styles are wanted."""
        return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if self.colour and style and text else text

    @property
    def ellipsis(self) -> str:
        return "\u2026" if self.unicode else "..."

    @property
    def line(self) -> str:
        """The glyph that rules are made of."""
        return "\u2500" if self.unicode else "-"


def _carries(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _width(stream: TextIO, env: Mapping[str, str]) -> int:
    columns = env.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns[:9]) > 0:
        return max(_NARROWEST, int(columns[:9]))
    try:
        measured = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        measured = 0
    return max(_NARROWEST, measured or 80)  # serial lines and some containers say 0


def _colour(color: Color, is_terminal: bool, env: Mapping[str, str]) -> bool:
    """The option first; then who says no (no-color.org), then who insists (force-color.org, bixense.com/clicolors)."""
    if color != "auto":
        return color == "always"
    forced = env.get("FORCE_COLOR", "")
    if env.get("NO_COLOR") or forced.lower() in ("0", "false"):
        return False
    if forced or env.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return is_terminal and env.get("TERM") != "dumb" and env.get("CLICOLOR") != "0"


def write_all(stream: TextIO, text: str) -> None:
    """Write and flush all of `text`; a closed pipe or a full disk is the caller's BrokenPipeError or OSError."""
    if not hasattr(stream, "buffer"):
        stream.write(text)
        stream.flush()
        return
    write_bytes(stream, memoryview(text.encode(stream.encoding or "utf-8", "backslashreplace")))


def write_bytes(stream: TextIO, data: memoryview) -> None:
    """Write and flush all of `data`, as it is, after the text that was written before.

    With PYTHONUNBUFFERED=1 the buffer below is the raw file, whose writes may be short; and a terminal that another
    program has made non-blocking takes what it can and wants to be asked again.
    """
    stream.flush()
    buffer, rest = stream.buffer, data
    while rest:
        try:
            written = buffer.write(rest)
        except BlockingIOError as full:
            written = full.characters_written
            _wait(stream)
        if written is None:
            _wait(stream)
        rest = rest[written or 0 :]
    while True:
        try:
            buffer.flush()
            return
        except BlockingIOError:
            _wait(stream)


def _wait(stream: TextIO) -> None:
    select.select([], [stream], [], 1.0)
