"""The pass before: what packed tensors have to know of their data before their output can be laid out."""

from __future__ import annotations

from collections.abc import Iterator

from threshcli.engine.files import FileRun
from threshcli.engine.reading import read_elements
from threshcli.engine.units import Unit
from threshcli.kernels.base import Kernels
from threshcli.plan.packs import Measured
from threshcli.stats import Counts


class Measuring(FileRun):
    """Does what the rule does and writes nothing: asks the packing what each tile adds up to."""

    def measured(self) -> Measured:
        """What was measured of each packed tensor."""
        self._sizes: dict[int, dict[int, int]] = {
            plan.out.source: {} for plan in self._plan.tensors if plan.packed is not None
        }
        try:
            self._look_sideways()
            self._work_all()
        finally:
            self._end()
        return self._sizes

    def _units(self) -> Iterator[Unit]:
        packed = [plan.packed is not None for plan in self._plan.tensors]
        return (unit for unit in super()._units() if unit.number is not None and packed[unit.number])

    def _do(self, unit: Unit, k: Kernels) -> None:
        k.reset()
        plan, tile = self._plan.tensors[unit.number or 0], unit.tile
        if plan.packed is None:
            return
        raw = k.buffer(tile.count * plan.view.itemsize)
        read_elements(self._source, plan.view, tile.start, tile.stop, raw)
        worked = self._work[plan.out.source].tile(k, raw, tile, [Counts()], [plan.name])
        self._sizes[plan.out.source][tile.start] = plan.packed.measure(worked.out)
        self._settings.progress.advance(len(raw))

    def _found(self) -> dict[int, dict[int, int]]:  # type: ignore[override]
        return self._sizes

    def _add(self, found: dict[int, dict[int, int]]) -> None:  # type: ignore[override]
        for source, sizes in found.items():
            self._sizes[source] |= sizes
