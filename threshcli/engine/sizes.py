"""What the files of a call share, and how large their tiles are."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from threshcli.engine.crew import Crew
from threshcli.plan.tensors import TensorPlan
from threshcli.storage.streams import Sink
from threshcli.thresholds.base import Mapped
from threshcli.tiles import tile_elements

_SHARE = 8  # buffers that a worker uses at once, in tiles
_SMALLEST = 1 << 18  # bytes of the smallest tile worth having: a leaf of float32
_WORTH_A_TRIP = 1 << 21  # bytes of the smallest tile worth sending: what is done to it takes a millisecond to begin
_CACHED = 5 << 18  # bytes of a tile, its output and two masks that stay in the cache of a processor's own


class Progress(Protocol):
    """Who wants to know how many bytes are done."""

    def advance(self, nbytes: int) -> None: ...


class Settings(NamedTuple):
    """What all files of a call share: the workers, the bytes of a tile, whom to tell, where a stream goes."""

    crew: Crew
    tile_bytes: int
    largest_tile: int
    """For what is gathered from all over a file: the larger the tile, the longer the stretches that are read."""
    progress: Progress
    stdout: Sink | None = None
    """Where standard output takes a tensor file, if it may."""


class Limits(Protocol):
    """What a call may use: workers, and bytes of buffers over all of them."""

    @property
    def jobs(self) -> int: ...

    @property
    def max_memory(self) -> int: ...


def workers(request: Limits, device: str = "cpu") -> int:
    """Workers that `--max-memory` has room for: each needs its buffers for the smallest tile."""
    least = _SMALLEST if device == "cpu" else _WORTH_A_TRIP
    return max(1, min(request.jobs, request.max_memory // (_SHARE * least)))


def tile_bytes(request: Limits, device: str) -> int:
    """Bytes of a tile, within `--max-memory`: on the CPU 2 MiB, so that a pass over it takes long enough for another
    worker to get hold of the interpreter meanwhile (at 1 MiB two workers are hardly quicker than one)."""
    return min(1 << 21 if device == "cpu" else 1 << 24, largest_tile(request, device))


def largest_tile(request: Limits, device: str) -> int:
    """Bytes of a tile that `--max-memory` has room for."""
    return max(_SMALLEST, min(1 << 24, request.max_memory // (_SHARE * workers(request, device))))


def elements_of_tile(plan: TensorPlan, settings: Settings) -> int:
    """Elements of a tensor's tiles. Where no worker waits for the interpreter they stay in the cache, with what is made
    of them, since a pass over them then takes half the time."""
    plain = _is_plain(plan)
    worked = plan.rule.arithmetic(plan.tensor.dtype) if plan.applied else plan.tensor.dtype
    read, written = plan.view.itemsize, max(plan.out.dtype.itemsize, worked.itemsize)
    most = settings.tile_bytes if plain else settings.largest_tile
    most = 2 * most // max(2, len(plan.bounds)) // len(plan.steps)  # each may take a buffer, and each step its own
    elements = tile_elements(most, max(read, written))
    if not (plain and settings.crew.copies):
        return elements
    maps = sum(bound.view.itemsize for bound in plan.bounds.values() if isinstance(bound, Mapped))
    return min(elements, tile_elements(_CACHED, read + maps + written + 2))


def _is_plain(plan: TensorPlan) -> bool:
    """Whether input and maps are read from end to end."""
    views = [bound.view for bound in plan.bounds.values() if isinstance(bound, Mapped)]
    return all(view.contiguous for view in (plan.view, *views))
