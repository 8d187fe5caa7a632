"""The work on a file, cut into units that workers take in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from threshcli.containers.base import Region
from threshcli.engine.sizes import Settings, elements_of_tile
from threshcli.plan.files import FilePlan
from threshcli.tiles import Tile, tiles


class Unit(NamedTuple):
    """A tile of a tensor, the `number`-th of the plan, or (without one) bytes [start, stop) of the input to copy to
    `target` or to check."""

    tile: Tile
    number: int | None = None
    target: int | None = None


def units_of(plan: FilePlan, settings: Settings, inline: Mapping[int, Region]) -> Iterator[Unit]:
    """All the work: tiles of tensors, bytes to copy, bytes to check but for those that are checked `inline`."""
    for number, item in enumerate(plan.tensors):
        if item.place is not None or item.applied:
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
