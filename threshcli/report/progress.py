"""How far a run has come: a bar on a terminal, there only while it is of use.

It appears after half a second, so that quick runs show nothing, and is removed at the end. A thread of its own
draws it: those who work only add to a number. A bar that cannot be drawn is never a reason for a run to fail.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from threshcli.report import figures
from threshcli.report.terminal import Terminal

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_APPEARS_AFTER = 0.5
_BETWEEN_FRAMES = 0.1
_LONGEST_WAIT = 0.5
_WIDEST_BAR = 40
_CLEAR = "\r\x1b[2K"  # to the line's start, clear it
_RESTORE = b"\r\x1b[2K\x1b[?25h"  # the same, and show the cursor


class Progress:
    """Progress that nobody sees: what every method does when no bar is wanted."""

    is_drawn = False
    """Whether it is worth while to find out how long the work is."""

    def start(self, total_bytes: int) -> None:
        """The work begins; it is `total_bytes` long (0: nobody knows)."""

    def advance(self, nbytes: int) -> None:
        """So many bytes more are done. Called by every worker for every tile."""

    def aside(self) -> AbstractContextManager[None]:
        """While something else is written, which may go to the same terminal, there is no bar."""
        return contextlib.nullcontext()

    def hide(self) -> None:
        """Remove the bar now, for good; signal handlers may call this."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hide()


class Bar(Progress):
    """A bar with bytes, speed and the time that is left."""

    is_drawn = True

    def __init__(self, stream: TextIO, terminal: Terminal, *, delay: float = _APPEARS_AFTER) -> None:
        self._stream = stream
        self._terminal = terminal
        self._delay = delay
        self._done = 0
        self._total = 0
        self._ended = threading.Event()
        self._drawn = False
        self._lock = threading.Lock()
        """Held by who writes to the terminal."""
        self._thread: threading.Thread | None = None

    def start(self, total_bytes: int) -> None:
        self._total = total_bytes
        if self._thread is None and not self._ended.is_set():
            thread = threading.Thread(target=self._draw, name="thresh-progress", daemon=True)
            with contextlib.suppress(RuntimeError):  # without a bar where the system allows no more threads
                thread.start()
                self._thread = thread

    def advance(self, nbytes: int) -> None:
        self._done += nbytes  # no lock: were an addition lost between threads, the bar would lag by one tile

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        with self._lock:
            if self._drawn:
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write(_CLEAR)
                    self._stream.flush()
            yield

    def hide(self) -> None:
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # A signal may have come while the main thread held the stream's lock, which the other one then waits for.
        thread.join(_LONGEST_WAIT)
        if thread.is_alive() and self._drawn:
            with contextlib.suppress(OSError, ValueError):
                os.write(self._stream.fileno(), _RESTORE)

    def _draw(self) -> None:
        if self._ended.wait(self._delay):
            return
        shown = _rich(self._stream, self._terminal)
        if self._ended.is_set():  # the import took its time
            return
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone, or the stream closed
            self._drawn = True
            with shown:
                task = shown.add_task("", total=self._total or None, said="")
                while not self._ended.wait(_BETWEEN_FRAMES):
                    said = describe(self._done, self._total, shown.tasks[0].speed or 0)
                    with self._lock:
                        shown.update(task, completed=self._done, said=said)
                        shown.refresh()
            self._drawn = False


def describe(done: int, total: int, speed: float) -> str:
    """The words beside the bar; the most important first, for what does not fit is cut off."""
    share = f"{min(100, done * 100 // total):3}%  " if total else ""  # rounded down: 100% is said when it is true
    of = f" of {figures.size(total)}" if total else ""
    left = f", {figures.duration(round((total - done) / speed))} left" if speed > 0 and total >= done else ""
    pace = f", {figures.size(round(speed))}/s" if speed > 0 else ""
    return f"{share}{figures.size(done)}{of}{pace}{left}"


def progress(stream: TextIO, terminal: Terminal, *, enabled: bool) -> Progress:
    """A bar on `stream`, where one is wanted and its terminal can draw over what it has drawn."""
    return Bar(stream, terminal) if enabled and terminal.is_terminal and not terminal.dumb else Progress()


def _rich(stream: TextIO, terminal: Terminal) -> RichProgress:
    """rich's progress, told everything that it would guess: it takes FORCE_COLOR=0 for a wish for colour."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    console = Console(
        file=stream,
        force_terminal=True,
        force_interactive=True,
        force_jupyter=False,
        color_system="standard" if terminal.colour else None,
        no_color=not terminal.colour,
        legacy_windows=False,
        width=terminal.width,
        highlight=False,
        _environ={},
    )
    return Progress(
        BarColumn(min(_WIDEST_BAR, terminal.width // 4), complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.fields[said]}", markup=False, table_column=Column(no_wrap=True)),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
