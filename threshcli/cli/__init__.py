"""The command `thresh`.

This module is what the console script imports: it sets the stage (signals, one BLAS thread a worker, no garbage
collection during imports) before anything heavy is loaded, and turns whatever happens into an exit status.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

_ENDINGS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_GARBAGE = 70_000
"""Objects between two collections: more than all imports but torch's make, and few beside the memory of a call. What
libraries leave in cycles (NumPy for each header of an `.npy`) must not grow with the number of files."""
CLEANERS: list[Callable[[], object]] = []
"""What is to be done before the process ends on a signal."""


def main() -> None:
    """Run the command line and end the process, without the interpreter's slow farewell."""
    gc.set_threshold(_GARBAGE)
    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs keep their wish
            signal.signal(number, _end)
    _open_closed()
    for name in _THREADS:  # our own workers share the cores; a pool in each of them would oversubscribe
        os.environ.setdefault(name, "1")
    sys.setswitchinterval(0.0002)  # workers hand the interpreter to each other many times a millisecond
    status = _run(sys.argv[1:])
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


def _open_closed() -> None:
    """Hold the numbers of standard streams that were closed (`>&-`), or the next file that is opened would be taken for
    one. What is read from them, or written, fails as it has to; errors that nobody wants to see go nowhere."""
    for number, (name, mode) in enumerate((("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))):
        if getattr(sys, name) is None and os.open(os.devnull, mode) == number:
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _run(arguments: list[str]) -> int:
    try:
        from threshcli.cli.app import run

        status = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return 141
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(2, f"thresh: error: standard output cannot be written: {error.strerror}\n".encode())
        return 5
    return status


def _end(number: int, frame: FrameType | None) -> None:
    """End at once, with nothing half done left behind."""
    for name in (
        "threshcli.engine.copies",
        "threshcli.storage._temporary",
    ):  # in this order: who writes, what is written
        abandon = getattr(sys.modules.get(name), "abandon", None)  # one that is being imported has none yet
        if abandon is not None:
            abandon()
    for clean in CLEANERS:
        with contextlib.suppress(Exception):
            clean()
    os._exit(_ENDINGS[signal.Signals(number)])
