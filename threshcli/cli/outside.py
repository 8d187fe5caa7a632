"""The world outside: streams and environment, handed in so that tests patch nothing."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from threshcli.cli import CLEANERS
from threshcli.errors import ThreshError
from threshcli.report.progress import Progress, progress
from threshcli.report.terminal import Color, Terminal, brief, safe, write_all, write_bytes


@dataclass(frozen=True, slots=True)
class Outside:
    """The standard streams, and the environment."""

    out: TextIO
    err: TextIO
    env: Mapping[str, str]
    cleaners: list[Callable[[], object]] = field(default_factory=list)
    """Told when a signal ends the process."""
    alone: bool = False
    """Whether nobody else uses this process: workers may be copies of it."""
    input: BinaryIO | None = None
    """Standard input, if it is open."""
    aside: Callable[[], AbstractContextManager[None]] = nullcontext
    """What is to be there while something is printed: a bar gives way."""

    @classmethod
    def process(cls) -> Outside:
        """Those of this process."""
        incoming = None if sys.stdin is None else sys.stdin.buffer
        return cls(sys.stdout, sys.stderr, os.environ, CLEANERS, alone=True, input=incoming)

    def terminal(self, color: Color) -> Terminal:
        return Terminal.of(self.out, color, self.env)

    def progress(self, color: Color, *, enabled: bool) -> Progress:
        """A bar on standard error, if it is wanted and that is a terminal; signals take it away."""
        bar = progress(self.err, Terminal.of(self.err, color, self.env), enabled=enabled)
        self.cleaners.append(bar.hide)
        return bar

    def print(self, text: str) -> None:
        """Text to standard output."""
        with self.aside():
            write_all(self.out, text)

    def write(self, data: memoryview) -> None:
        """Bytes to standard output."""
        write_bytes(self.out, data)

    def complain(self, error: ThreshError, debug: bool = False) -> int:
        """One line and a hint on standard error; returns the exit status that the error owns."""
        lines = [f"thresh: error: {brief(safe(str(error)))}"]
        if error.hint:
            lines.append(f"hint: {brief(safe(error.hint))}")
        if debug:
            lines += ["".join(traceback.format_exception(error)).rstrip()]
        write_all(self.err, "\n".join(lines) + "\n")
        return error.exit_code

    def tell(self, text: str) -> None:
        """One line on standard error."""
        with self.aside():
            write_all(self.err, f"{safe(text)}\n")

    def warn(self, text: str) -> None:
        """One line of warning on standard error."""
        with self.aside():
            write_all(self.err, f"thresh: warning: {brief(safe(text))}\n")
