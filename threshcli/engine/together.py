"""Small files alike that go side by side (see `abreast`): the first whose elements are to be worked on takes those of
the others with it.

A rule sees no element but its own, so that elements of several files go through it as one tile, and what is counted is
counted file by file. Where that fails each file is worked on by itself, and told what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from threshcli.engine.crew import Crew
from threshcli.engine.tensor import TensorWork, Worked
from threshcli.engine.units import TOGETHER, Unit
from threshcli.errors import ThreshError
from threshcli.kernels.base import Kernels
from threshcli.stats import Counts
from threshcli.tiles import Tile


class Run(Protocol):
    """The work on a file, as others alike see it."""

    worked: bool
    """Whether its elements have been worked on."""

    def read(self, unit: Unit, raw: memoryview) -> None:
        """The bytes of a unit's elements."""
        ...

    def told(self, unit: Unit, k: Kernels) -> tuple[list[Counts], list[str]]:
        """The counts of the tensors of a unit, and their names."""
        ...

    def store(self, unit: Unit, worked: Worked) -> None:
        """Write what was made of a unit's elements."""
        ...

    def forget(self) -> None:
        """Count from the start."""
        ...


class Party:
    """Runs on files that are planned alike, which are one `unit` of elements of so many bytes, with the same work."""

    def __init__(self, unit: Unit, work: TensorWork, itemsize: int) -> None:
        self._unit, self._work, self._nbytes = unit, work, unit.tile.count * itemsize
        self._waiting: list[Run] = []

    def join(self, run: Run) -> None:
        """Wait for the work."""
        self._waiting.append(run)

    def work(self, run: Run, crew: Crew) -> bool:
        """Work on what a run is about and on those that wait behind it, and say whether that was done, now or before;
        not where it is by itself."""
        if run.worked:
            return True
        most = max(1, TOGETHER // self._unit.tile.count)
        runs, self._waiting = self._waiting[:most], self._waiting[most:]
        if len(runs) > 1:
            try:
                crew.run(iter((runs,)), self._do, alone=True)
            except (ThreshError, MemoryError):
                for each in runs:
                    each.forget()
        return run.worked

    def _do(self, runs: Sequence[Run], k: Kernels) -> None:
        k.reset()
        unit, size, many = self._unit, self._nbytes, len(runs)
        raw = k.buffer(many * size)
        counts: list[Counts] = []
        names: list[str] = []
        for number, run in enumerate(runs):
            run.read(unit, raw[number * size : (number + 1) * size])
            own, called = run.told(unit, k)
            counts += own
            names += called
        worked = self._work.tile(k, raw, Tile(0, many * unit.tile.count), counts, names)
        for run, part in zip(runs, worked.parts(many), strict=True):
            run.store(unit, part)
        for run in runs:
            run.worked = True
