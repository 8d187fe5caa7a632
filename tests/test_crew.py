"""Workers that are threads: what becomes of the work where there can be fewer of them, and where one fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from threshcli.engine.crew import Crew
from threshcli.kernels.numpy import NumpyKernels


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_where_no_more_threads_can_be_begun_fewer_work(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is done, by those that there can be."""
    real, left = threading.Thread.start, [None] * allowed

    def start(self: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    done: list[int] = []
    Crew(8, NumpyKernels).run(iter(range(1000)), lambda unit, k: done.append(unit), alone=False)
    assert sorted(done) == list(range(1000))


class Short(Iterator[int]):
    """Units without end for the main thread, until memory does not suffice for the next one in another thread."""

    def __init__(self) -> None:
        self.ended = False

    def __next__(self) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.ended = True
            raise MemoryError
        if self.ended:
            raise StopIteration
        return 0


def test_what_goes_wrong_as_a_helper_takes_its_next_unit_is_raised() -> None:
    """Units that come to an end in a helper are not taken for done."""
    with pytest.raises(MemoryError):
        Crew(2, NumpyKernels).run(Short(), lambda unit, k: time.sleep(0.001), alone=False)
