"""Regular expressions that somebody else has written, matched for some seconds and no longer.

One such as `(a+)+$` tries more ways to match a long name than anybody can wait for. Python looks for signals while it
matches, so a timer of the time that this process works sends one now and then, and its handler looks at the time that
this thread has spent. Only the main thread can have that.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from threshcli.errors import UsageError

SECONDS = 5.0
_EACH = 2e-5  # for each match beside those: ten times what a usual one takes
_BETWEEN = 0.25
_HINT = "write it without repetitions in repetitions, such as (a+)+"


class OutOfPatience(UsageError):
    """Matching has taken too long."""


@contextmanager
def patience(matches: int) -> Iterator[None]:
    """Let so many matches take some seconds and a little for each of them; UsageError after that. In a thread beside
    the main one, and where a program has a handler that Python does not know, they take what they take."""
    before = signal.getsignal(signal.SIGVTALRM)
    if not matches or before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    until = time.thread_time() + SECONDS + matches * _EACH

    def look(number: int, frame: FrameType | None) -> None:
        if time.thread_time() > until:
            raise OutOfPatience("matching regular expressions takes too long", hint=_HINT)

    signal.signal(signal.SIGVTALRM, look)
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, _BETWEEN, _BETWEEN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)


def fits(pattern: re.Pattern[str], name: str) -> bool:
    """Whether an expression matches a whole name; UsageError that names both where patience ends meanwhile."""
    try:
        return pattern.fullmatch(name) is not None
    except OutOfPatience as error:
        what = f"regex {pattern.pattern[:80]!r} takes too long to match tensor {name[:80]!r}"
        raise UsageError(what, hint=error.hint) from error
