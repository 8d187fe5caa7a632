"""The work on a file, cut into units that workers take in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from threshcli.containers.base import Region
from threshcli.engine.sizes import Settings, elements_of_tile
from threshcli.engine.tensor import TensorWork
from threshcli.plan.files import FilePlan
from threshcli.plan.tensors import TensorPlan
from threshcli.tiles import Tile, tiles

TOGETHER = 1 << 15  # elements of small tensors that go together: what is made of them stays in the cache


class Unit(NamedTuple):
    """A tile of a tensor, the `number`-th of the plan, or (without one) bytes [start, stop) of the input to copy to
    `target` or to check. A tile may be `many` tensors, whole, that lie one behind the other and are worked on alike."""

    tile: Tile
    number: int | None = None
    target: int | None = None
    many: int = 1


def units_of(
    plan: FilePlan, settings: Settings, inline: Mapping[int, Region], works: Mapping[int, TensorWork]
) -> Iterator[Unit]:
    """All the work: tiles of tensors, bytes to copy, bytes to check but for those that are checked `inline`. Small
    tensors whose `works` are one go together."""
    checked = bool(inline) or any(out is not None and out.skeleton.checksums for out in (plan.output, plan.residual))
    for number, many in _runs(plan.tensors, {} if checked else works):
        item = plan.tensors[number]
        if many > 1:
            yield Unit(Tile(0, many * item.view.elements), number, many=many)
        elif item.place is not None or item.applied:
            for tile in tiles(item.view.elements, elements_of_tile(item, settings)):
                yield Unit(tile, number)
    copies = plan.output.skeleton.copies if plan.output else ()
    for copy in copies:
        for tile in tiles(copy.size, settings.tile_bytes):
            yield Unit(Tile(copy.source + tile.start, copy.source + tile.stop), None, copy.target + tile.start)
    passing = {(region.offset, region.size) for region in inline.values()}
    passing |= {(copy.source, copy.size) for copy in copies}
    for region in plan.contents.regions:
        if (region.offset, region.size) not in passing:
            for tile in tiles(region.size, settings.tile_bytes):
                yield Unit(Tile(region.offset + tile.start, region.offset + tile.stop))


def _runs(tensors: Sequence[TensorPlan], works: Mapping[int, TensorWork]) -> Iterator[tuple[int, int]]:
    """The numbers of tensors, and how many from each on go together."""
    first, room = 0, 0
    for number, item in enumerate(tensors):
        elements = item.view.elements
        if number and 0 < elements <= room and _follows(tensors[number - 1], item, works):
            room -= elements
            continue
        if number:
            yield first, number - first
        first, room = number, TOGETHER - elements
    if tensors:
        yield first, len(tensors) - first


def _follows(before: TensorPlan, item: TensorPlan, works: Mapping[int, TensorWork]) -> bool:
    """Whether a tensor lies behind another, in the input and in the outputs, and is worked on as that is."""
    work = works.get(item.out.source)
    if work is None or work is not works.get(before.out.source) or item.packed is not None or before.packed is not None:
        return False
    read, written = before.tensor.nbytes, before.out.nbytes
    return (
        item.view.contiguous
        and before.view.contiguous
        and item.view.offset == before.view.offset + read
        and _is_behind(item.place, before.place, written)
        and _is_behind(item.residual_place, before.residual_place, read)
    )


def _is_behind(place: int | None, before: int | None, nbytes: int) -> bool:
    return place == (None if before is None else before + nbytes)


def checked_inline(plan: FilePlan) -> dict[int, Region]:
    """The regions whose bytes pass through the tiles of one tensor anyway, in order, by that tensor."""
    regions = {(region.offset, region.size): region for region in plan.contents.regions}
    found: dict[int, Region] = {}
    for item in plan.tensors:
        passes = item.view.contiguous and (item.place is not None or item.applied)
        region = regions.pop((item.view.offset, item.tensor.nbytes), None) if passes else None
        if region is not None:
            found[item.out.source] = region
    return found
