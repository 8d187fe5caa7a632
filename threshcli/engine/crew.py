"""Workers: the calling thread and some more, each with kernels of its own, taking units of work in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from threshcli.kernels.base import Kernels

Unit = TypeVar("Unit")


class Crew:
    """Runs units of work on up to `size` workers; kernels, and with them buffers, are kept between runs."""

    def __init__(self, size: int, make: Callable[[], Kernels], *, copies: bool = False) -> None:
        """`copies` says that the workers of one file may be processes."""
        self.size, self.copies = size, copies
        self._make = make
        self._kernels: list[Kernels] = []

    def kernels(self, count: int | None = None) -> list[Kernels]:
        """Kernels for so many workers, or for all."""
        while len(self._kernels) < (count or self.size):
            self._kernels.append(self._make())
        return self._kernels[:count]

    def run(self, units: Iterator[Unit], work: Callable[[Unit, Kernels], None], *, alone: bool) -> None:
        """Work on all units; the first error stops everyone and is raised. `alone` keeps it in this thread."""
        own, *others = self.kernels(1 if alone else self.size)
        if not others:
            with own.session():
                for unit in units:
                    work(unit, own)
            return
        shift = _Shift(units, work)
        helpers = _helpers(shift.help, others)
        try:
            shift.run(own)
        finally:
            shift.stopped = True
            for helper in helpers:
                helper.join()
        if shift.error is not None:
            raise shift.error


def _helpers(work: Callable[[Kernels], None], others: list[Kernels]) -> list[threading.Thread]:
    """Threads at work, one for each set of kernels, or as many as the system allows."""
    begun: list[threading.Thread] = []
    for kernels in others:
        helper = threading.Thread(target=work, args=(kernels,), daemon=True)
        try:
            helper.start()
        except RuntimeError:
            break
        begun.append(helper)
    return begun


class _Shift(Generic[Unit]):
    """One run: the units that are left, and the first error."""

    def __init__(self, units: Iterator[Unit], work: Callable[[Unit, Kernels], None]) -> None:
        self._units, self._work = units, work
        self._lock = threading.Lock()
        self.error: Exception | None = None
        self.stopped = False

    def help(self, kernels: Kernels) -> None:
        """The whole life of a helper: what goes wrong outside of the work is raised by the others' side as well."""
        try:
            self.run(kernels)
        except Exception as error:
            self._fail(error)

    def run(self, kernels: Kernels) -> None:
        with kernels.session():
            while (unit := self._next()) is not None:
                try:
                    self._work(unit, kernels)
                except Exception as error:
                    self._fail(error)

    def _next(self) -> Unit | None:
        with self._lock:
            return None if self.stopped else next(self._units, None)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self.stopped = True
            self.error = self.error or error
