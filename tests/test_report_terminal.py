"""What a stream can show, text that is safe to show, and writes that arrive whole."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_report_examples import UNHURRIED
from threshcli.report.terminal import UNLIMITED, Color, Terminal, safe, valid, write_all

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@pytest.fixture
def tty() -> Iterator[tuple[io.TextIOWrapper, int]]:
    """A terminal of 97 columns: its stream, and the descriptor at which one sees what was written."""
    far, near = pty.openpty()
    termios.tcsetwinsize(near, (24, 97))
    with io.TextIOWrapper(io.FileIO(near, "w"), encoding="utf-8") as stream:
        yield stream, far
    os.close(far)


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\x00", "\\x00"),
        ("\x07", "\\x07"),
        ("\t", "\\x09"),
        ("\n", "\\x0a"),
        ("\r", "\\x0d"),
        ("\x1b", "\\x1b"),
        ("\x7f", "\\x7f"),
        ("\x80", "\\x80"),
        ("\x9b", "\\x9b"),
        ("\xad", "\\xad"),
        ("\u061c", "\\u061c"),
        ("\u200b", "\\u200b"),
        ("\u200d", "\\u200d"),
        ("\u200e", "\\u200e"),
        ("\u200f", "\\u200f"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
        ("\u202a", "\\u202a"),
        ("\u202e", "\\u202e"),
        ("\u2060", "\\u2060"),
        ("\u2066", "\\u2066"),
        ("\u2069", "\\u2069"),
        ("\ufeff", "\\ufeff"),
        ("\ufe0f", "\\ufe0f"),
        ("\u3164", "\\u3164"),
        ("\U000e0041", "\\U000e0041"),
        ("\U000e0101", "\\U000e0101"),
        ("\ud800", "\\ud800"),
        ("\udfff", "\\udfff"),
        ("\udcff", "\\xff"),
        ("\udc80", "\\x80"),
    ],
)
def test_what_a_terminal_obeys_or_nobody_sees_is_escaped(char: str, shown: str) -> None:
    """Control characters of every class are spelled out, and a byte that is not UTF-8 as that byte."""
    assert safe(f"a{char}b") == f"a{shown}b"


@pytest.mark.parametrize("text", ["", "layers.0.weight", "[red]x[/x]", "C:\\x", "é漢字 ñ", "e\u0301", "🎉"])
def test_what_can_be_seen_passes_unchanged(text: str) -> None:
    """Letters of all scripts, combining marks, markup and backslashes are nobody's business."""
    assert safe(text) == text


@UNHURRIED
@given(st.text(st.characters(exclude_categories=())))
def test_safe_text_stays_as_it_is(text: str) -> None:
    """Escaping what was escaped changes nothing, and the result can be encoded."""
    assert safe(safe(text)) == safe(text)
    safe(text).encode("utf-8")


@UNHURRIED
@given(st.binary())
def test_a_name_of_any_bytes_becomes_valid_text(raw: bytes) -> None:
    """Only bytes that are not UTF-8 are escaped."""
    text = valid(raw.decode("utf-8", "surrogateescape"))
    assert text == raw.decode("utf-8", "backslashreplace")


def test_a_terminal_has_a_width_and_colours(tty: tuple[io.TextIOWrapper, int]) -> None:
    """Its size is asked for, and colour is on."""
    found = Terminal.of(tty[0], "auto", {"TERM": "xterm"})
    assert found == Terminal(is_terminal=True, width=97, colour=True, unicode=True, encoding="utf-8")


@pytest.mark.parametrize(("columns", "width"), [("50", 50), ("1", 16), ("0", 97), ("", 97), ("x", 97), ("-5", 97)])
def test_columns_of_the_environment_go_before_the_size(
    tty: tuple[io.TextIOWrapper, int], columns: str, width: int
) -> None:
    """What is no number of columns is passed over; under 16 nothing can be laid out."""
    assert Terminal.of(tty[0], "auto", {"COLUMNS": columns}).width == width


def test_a_terminal_that_does_not_know_its_size_has_80_columns(tty: tuple[io.TextIOWrapper, int]) -> None:
    """Serial lines say 0, and what only looks like a terminal cannot be asked."""
    termios.tcsetwinsize(tty[0].fileno(), (0, 0))
    assert Terminal.of(tty[0], "auto", {}).width == 80
    assert Terminal.of(LooksLikeOne(), "auto", {}).width == 80


class LooksLikeOne(io.StringIO):
    """A stream of a notebook, say: a terminal without a descriptor."""

    def isatty(self) -> bool:
        return True


def test_what_is_no_terminal_has_no_width(tmp_path: Path) -> None:
    """Nothing is clipped in a file or a pipe, whatever COLUMNS says."""
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        found = Terminal.of(stream, "auto", {"COLUMNS": "40", "TERM": "xterm"})
    assert found == Terminal(is_terminal=False, width=UNLIMITED, colour=False)


def test_a_closed_stream_is_no_terminal() -> None:
    """Asking it would raise."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream.close()
    assert not Terminal.of(stream, "auto", {}).is_terminal


@pytest.mark.parametrize(
    ("color", "env", "on_terminal", "on_pipe"),
    [
        ("auto", {}, True, False),
        ("always", {}, True, True),
        ("never", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": ""}, True, False),
        ("always", {"NO_COLOR": "1"}, True, True),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"CLICOLOR": "0"}, False, False),
        ("auto", {"CLICOLOR_FORCE": "1"}, True, True),
        ("auto", {"CLICOLOR_FORCE": "0"}, True, False),
        ("auto", {"FORCE_COLOR": "1"}, True, True),
        ("auto", {"FORCE_COLOR": ""}, True, False),
        ("auto", {"FORCE_COLOR": "0"}, False, False),
        ("auto", {"FORCE_COLOR": "false"}, False, False),
        ("auto", {"FORCE_COLOR": "0", "CLICOLOR_FORCE": "1"}, False, False),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colour_follows_the_option_then_the_environment(
    tty: tuple[io.TextIOWrapper, int], color: Color, env: Mapping[str, str], on_terminal: bool, on_pipe: bool
) -> None:
    """The option decides; a no in the environment goes before a yes, a yes before the look at the stream."""
    assert Terminal.of(tty[0], color, env).colour is on_terminal
    assert Terminal.of(io.StringIO(), color, env).colour is on_pipe


@pytest.mark.parametrize(("encoding", "unicode"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_glyphs_need_an_encoding_that_has_them(encoding: str, unicode: bool) -> None:
    """Elsewhere rules and ellipses are ASCII."""
    terminal = Terminal.of(io.TextIOWrapper(io.BytesIO(), encoding=encoding), "auto", {})
    assert terminal.unicode is unicode
    assert (terminal.line + terminal.ellipsis).isascii() is not unicode


def test_letters_that_the_encoding_lacks_are_escaped_where_their_width_counts() -> None:
    """An ASCII stream shows é as \\xe9, four columns wide; a Latin-1 stream shows it."""
    assert Terminal(encoding="ascii").show("é漢") == "\\xe9\\u6f22"
    assert Terminal(encoding="latin-1").show("é漢") == "é\\u6f22"


class Trickle(io.FileIO):
    """A raw file, as below stdout with PYTHONUNBUFFERED=1, that takes three bytes at a time."""

    def write(self, data: ReadableBuffer, /) -> int:
        return super().write(memoryview(data)[:3])


def test_short_writes_are_continued(tmp_path: Path) -> None:
    """A raw stdout may take less than it is given; all of the text arrives."""
    with io.TextIOWrapper(Trickle(tmp_path / "out", "w"), encoding="utf-8") as stream:
        write_all(stream, "a long text, é and \ud800\n" * 10)
    assert (tmp_path / "out").read_bytes() == b"a long text, \xc3\xa9 and \\ud800\n" * 10


def test_a_stream_of_text_alone_is_written_to() -> None:
    """One without a binary buffer, as a StringIO."""
    stream = io.StringIO()
    write_all(stream, "text")
    assert stream.getvalue() == "text"


def test_what_was_printed_before_stays_before() -> None:
    """The text layer is flushed first."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    stream.write("first ")
    write_all(stream, "sécond")
    assert raw.getvalue() == b"first s\\xe9cond"


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_full_pipe_that_does_not_block_is_waited_for(buffering: int) -> None:
    """Another program may have made the terminal non-blocking; nothing is lost and nothing raised."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    text = "0123456789abcdef" * 20_000
    received: list[bytes] = []

    def drain() -> None:
        time.sleep(0.05)
        while part := os.read(read, 1 << 16):
            received.append(part)

    reader = threading.Thread(target=drain)
    reader.start()
    binary = open(write, "wb", buffering=buffering)  # noqa: PTH123, SIM115 - a descriptor, closed below
    stream = io.TextIOWrapper(binary, encoding="utf-8", write_through=True)
    write_all(stream, text)
    stream.close()
    reader.join()
    os.close(read)
    assert b"".join(received).decode() == text


def test_a_closed_pipe_is_the_callers_to_handle() -> None:
    """It ends with 141 there."""
    read, write = os.pipe()
    os.close(read)
    stream = io.TextIOWrapper(io.FileIO(write, "w"), encoding="utf-8")
    with pytest.raises(BrokenPipeError):
        write_all(stream, "text")
    stream.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
@pytest.mark.parametrize("buffering", [0, -1])
def test_a_full_disk_is_never_success(buffering: int) -> None:
    """The error of the write, or of the flush, comes out."""
    binary = open("/dev/full", "wb", buffering=buffering)  # noqa: PTH123, SIM115 - closed below, which fails too
    stream = io.TextIOWrapper(binary, encoding="utf-8", write_through=True)
    with pytest.raises(OSError, match="No space left"):
        write_all(stream, "text")
    with pytest.raises(OSError, match="No space left") if buffering else contextlib.nullcontext():
        stream.close()
