"""What workers do with the units of a file: read, have the rule work on it, write."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from threshcli.containers.base import Region
from threshcli.engine.ledger import Ledger, require
from threshcli.engine.reading import Input, read_elements
from threshcli.engine.sizes import Settings
from threshcli.engine.tensor import TensorWork, Worked
from threshcli.engine.units import Unit
from threshcli.kernels.base import Kernels
from threshcli.packings.base import Piece
from threshcli.plan.files import FilePlan, OutputPlan
from threshcli.plan.tensors import TensorPlan
from threshcli.stats import Counts
from threshcli.storage.local import Target
from threshcli.storage.streams import Stream
from threshcli.tiles import Tile

Output = Target | Stream


class Doing:
    """One planned file under the hands of its workers; who knows the order of things says what `_work` there is, which
    regions are checked `_inline`, and where outputs go."""

    _work: Mapping[int, TensorWork]
    _inline: Mapping[int, Region]

    def __init__(self, plan: FilePlan, source: Input, settings: Settings) -> None:
        self._plan, self._source, self._settings = plan, source, settings
        self._counts: dict[tuple[int, int], Counts] = {}
        self._read, self._written, self._left = Ledger(), Ledger(), Ledger()
        self._met: list[tuple[int, int]] = []  # bytes of packed tensors in which bits of several tiles are to lie
        self._target: Output | None = None
        self._residual: Output | None = None

    def _do(self, unit: Unit, k: Kernels) -> None:
        k.reset()
        if unit.number is None:
            self._copy(unit, k)
            return
        plan, tile = self._plan.tensors[unit.number], unit.tile
        nbytes = tile.count * plan.view.itemsize
        raw = k.buffer(nbytes)
        self.read(unit, raw)
        crc = None
        if plan.out.source in self._inline:
            crc = zlib.crc32(raw)
            self._read.add(plan.view.offset + tile.start * plan.view.itemsize, nbytes, crc)
        if plan.applied:
            self.store(unit, self._work[plan.out.source].tile(k, raw, tile, *self.told(unit, k)))
            return
        if plan.view.swapped and not plan.out.swapped:
            raw, crc = k.store(k.load(raw, plan.tensor.dtype.compared, swapped=True)), None
        self._write(self._target, self._plan.output, self._written, plan.place, tile, raw, crc)
        self._settings.progress.advance(nbytes)

    def read(self, unit: Unit, raw: memoryview) -> None:
        """The bytes of a unit's elements."""
        read_elements(self._source, self._plan.tensors[unit.number or 0].view, unit.tile.start, unit.tile.stop, raw)

    def told(self, unit: Unit, k: Kernels) -> tuple[list[Counts], list[str]]:
        """The counts of the tensors of a unit, and their names."""
        first = unit.number or 0
        alike = self._plan.tensors[first : first + unit.many]
        return [self._counts_of(item, k) for item in alike], [item.name for item in alike]

    def store(self, unit: Unit, worked: Worked) -> None:
        """Write what was made of a unit's elements."""
        plan, tile = self._plan.tensors[unit.number or 0], unit.tile
        if plan.packed is not None:
            self._write_packed(plan, plan.packed.pieces(tile, worked.out))
        else:
            self._write(self._target, self._plan.output, self._written, plan.place, tile, worked.out)
        if worked.residual is not None:
            self._write(self._residual, self._plan.residual, self._left, plan.residual_place, tile, worked.residual)
        self._settings.progress.advance(tile.count * plan.view.itemsize)

    def forget(self) -> None:
        """Count from the start, since the elements are gone through again."""
        self._counts.clear()

    def _counts_of(self, plan: TensorPlan, k: Kernels) -> Counts:
        """The counts of a tensor: each worker counts for itself."""
        key = plan.out.source, id(k)
        found = self._counts.get(key)
        return self._counts.setdefault(key, Counts()) if found is None else found

    def _copy(self, unit: Unit, k: Kernels) -> None:
        """Bytes that are copied as they are, or only checked."""
        raw = k.buffer(unit.tile.count)
        self._source.read_into(unit.tile.start, raw)
        crc = zlib.crc32(raw)
        self._read.add(unit.tile.start, unit.tile.count, crc)
        if unit.target is not None and self._target is not None:
            self._target.write(unit.target, raw)
            self._written.add(unit.target, unit.tile.count, crc)
            self._settings.progress.advance(unit.tile.count)

    def _write(
        self,
        target: Output | None,
        output: OutputPlan | None,
        ledger: Ledger,
        place: int | None,
        tile: Tile,
        data: memoryview,
        crc: int | None = None,
    ) -> None:
        if target is None or output is None or place is None:
            return
        offset = place + tile.start * (len(data) // tile.count)
        target.write(offset, data)
        if output.skeleton.checksums:
            ledger.add(offset, len(data), zlib.crc32(data) if crc is None else crc)

    def _write_packed(self, plan: TensorPlan, pieces: Iterator[Piece]) -> None:
        """What is stored of a tile of a packed tensor."""
        if self._target is None or self._plan.output is None:
            return
        for piece in pieces:
            offset = plan.places[piece.part] + piece.offset
            if piece.shared:
                self._met.append((offset, piece.data[0]))
                continue
            self._target.write(offset, piece.data)
            if self._plan.output.skeleton.checksums:
                self._written.add(offset, len(piece.data), zlib.crc32(piece.data))

    def _join_bits(self) -> None:
        """What packed tensors hold besides the pieces of their tiles: constants, and bytes in which tiles meet."""
        if self._target is None:
            return
        for plan in self._plan.tensors:
            if plan.packed is not None:
                self._write_packed(plan, plan.packed.constants())
        joined: dict[int, int] = {}
        for offset, bits in self._met:
            joined[offset] = joined.get(offset, 0) | bits
        for offset, bits in joined.items():
            self._target.write(offset, bytes((bits,)))

    def _check_regions(self) -> None:
        regions = self._plan.contents.regions
        for region, crc in zip(regions, self._read.crcs(regions), strict=True):
            require(region, crc)
