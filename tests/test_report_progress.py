"""The bar: there when it is of use, gone when the work is, never a reason to fail."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.test_report_examples import ANSI
from threshcli.report.progress import Bar, Progress, describe, progress
from threshcli.report.terminal import Terminal
from threshcli.report.texts import cells

TERMINAL = Terminal(is_terminal=True, width=80)
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Screen(io.StringIO):
    """A terminal that remembers, and whose reader can wait for what it should show."""

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 20
        while text not in self.getvalue():
            assert time.monotonic() < until, f"{text!r} did not appear"
            time.sleep(0.01)


@pytest.fixture
def screen() -> Iterator[Screen]:
    """A screen; after the test no thread may be left that draws on it."""
    yield Screen()
    assert not any(thread.name == "thresh-progress" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("terminal", "enabled", "drawn"),
    [
        (TERMINAL, True, True),
        (TERMINAL, False, False),
        (Terminal(), True, False),
        (Terminal(is_terminal=True, width=80, dumb=True), True, False),
    ],
)
def test_a_bar_needs_a_wish_and_a_terminal(screen: Screen, terminal: Terminal, enabled: bool, drawn: bool) -> None:
    """A terminal that cannot move its cursor has none either."""
    assert isinstance(progress(screen, terminal, enabled=enabled), Bar) is drawn


def test_without_a_bar_nothing_is_drawn(screen: Screen) -> None:
    """Every method is there and does nothing."""
    with Progress() as none:
        none.start(100)
        none.advance(50)
        none.hide()
    assert screen.getvalue() == ""


def test_quick_work_shows_nothing(screen: Screen) -> None:
    """What ends within half a second needs no bar."""
    with Bar(screen, TERMINAL) as bar:
        bar.start(100)
        bar.advance(100)
    assert screen.getvalue() == ""


def test_a_bar_shows_how_far_it_is_and_goes(screen: Screen) -> None:
    """Bytes of all workers; at the end the line is cleared and the cursor back."""
    with Bar(screen, TERMINAL, delay=0) as bar:
        bar.start(4096)
        workers = [threading.Thread(target=bar.advance, args=(1024,)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        screen.wait_for("50%  2.0 KiB of 4.0 KiB")
    shown = screen.getvalue()
    assert shown.count(HIDE) == shown.count(SHOW) == 1
    assert shown.endswith("\x1b[2K")


def test_hiding_ends_it_at_once_and_for_good(screen: Screen) -> None:
    """As a signal handler does; a second time is harmless, and so is a start that comes too late."""
    bar = Bar(screen, TERMINAL, delay=0)
    bar.start(10)
    screen.wait_for(HIDE)
    before = time.monotonic()
    bar.hide()
    assert time.monotonic() - before < 1
    shown = screen.getvalue()
    bar.hide()
    bar.start(10)
    bar.advance(5)
    assert screen.getvalue() == shown
    assert SHOW in shown


@pytest.mark.parametrize("colour", [False, True])
def test_colour_is_as_the_terminal_says(screen: Screen, colour: bool) -> None:
    """And not as rich would guess from the environment."""
    with Bar(screen, Terminal(is_terminal=True, width=80, colour=colour), delay=0) as bar:
        bar.start(10)
        screen.wait_for("0%")
    assert bool(ANSI.search(screen.getvalue())) is colour


@pytest.mark.parametrize("width", [16, 30, 80])
def test_a_bar_takes_one_line(screen: Screen, width: int) -> None:
    """What does not fit is cut off: a second line could not be drawn over."""
    with Bar(screen, Terminal(is_terminal=True, width=width), delay=0) as bar:
        bar.start(10**12)
        bar.advance(10**11)
        screen.wait_for("10%")
    frames = re.split(r"[\r\n]|\x1b\[[?0-9]*[A-Za-z]", screen.getvalue())
    assert max(map(cells, frames)) <= width
    assert screen.getvalue().count("\n") == 1


class Gone(Screen):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_does_not_stop_the_work() -> None:
    """Nothing is raised, in no thread."""
    with Bar(Gone(), TERMINAL, delay=0) as bar:
        bar.start(10)
        _until(lambda: not any(thread.name == "thresh-progress" for thread in threading.enumerate()))


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


class Stuck(Screen):
    """A terminal whose lock the interrupted main thread holds: writing waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.released.wait(20)
        return super().write(text)


def test_hiding_does_not_wait_for_a_stream_that_is_stuck() -> None:
    """A signal must end the run within a second whatever the thread that draws is waiting for."""
    stream = Stuck()
    bar = Bar(stream, TERMINAL, delay=0)
    bar.start(10)
    assert stream.reached.wait(20)
    before = time.monotonic()
    bar.hide()
    assert time.monotonic() - before < 1
    stream.released.set()
    _until(lambda: not any(thread.name == "thresh-progress" for thread in threading.enumerate()))


@pytest.mark.parametrize(
    ("done", "total", "speed", "shown"),
    [
        (0, 4096, 0.0, "  0%  0 B of 4.0 KiB"),
        (2048, 4096, 1024.0, " 50%  2.0 KiB of 4.0 KiB, 1.0 KiB/s, 2 s left"),
        (4095, 4096, 0.0, " 99%  4.0 KiB of 4.0 KiB"),
        (4096, 4096, 1024.0, "100%  4.0 KiB of 4.0 KiB, 1.0 KiB/s, 0 s left"),
        (5000, 4096, 1024.0, "100%  4.9 KiB of 4.0 KiB, 1.0 KiB/s"),
        (2048, 0, 1024.0, "2.0 KiB, 1.0 KiB/s"),
    ],
)
def test_the_words_beside_the_bar(done: int, total: int, speed: float, shown: str) -> None:
    """Share, bytes, speed, time left; without a total only what is known."""
    assert describe(done, total, speed) == shown


def test_a_bar_gives_way_to_what_is_written_meanwhile(screen: Screen) -> None:
    """On a line of its own; the bar comes back below it."""
    with Bar(screen, TERMINAL, delay=0) as bar:
        bar.start(4096)
        screen.wait_for("0 B of 4.0 KiB")
        with bar.aside():
            screen.write("a row\n")
        bar.advance(4096)
        screen.wait_for("100%")
    assert "\r\x1b[2Ka row\n\r\x1b[2K" in screen.getvalue()
    with Progress().aside(), Bar(screen, TERMINAL).aside():  # nothing is drawn, and nothing has to go
        assert screen.getvalue().endswith("\x1b[2K")
