"""Rules that look sideways: for each tile the mask of what they select, made in the tile where it holds all neighbours,
else before any tile is worked on, into a scratch file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from threshcli.dtypes import BOOL
from threshcli.engine.crew import Crew
from threshcli.engine.reading import Bytes, read_elements
from threshcli.kernels._numpy_convert import storage
from threshcli.kernels.base import Block, Kernels
from threshcli.kernels.numpy import NumpyKernels
from threshcli.plan.files import FilePlan
from threshcli.plan.request import Step
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Groups, Rule
from threshcli.sideways.nm import Array, magnitude_keys, nm_mask
from threshcli.spec import Axes
from threshcli.stats import Counts
from threshcli.storage.scratch import Scratch
from threshcli.thresholds.base import Mapped
from threshcli.tiles import LEAF, Tile, View, row_major

if TYPE_CHECKING:
    from threshcli.engine.sizes import Settings


class Beside(Protocol):
    """Where the tiles of a tensor get their masks from."""

    def cut(self, k: Kernels, x: Block, tile: Tile, *, nan: bool) -> Block:
        """The mask of a tile, as the cut that its rule is applied with; `nan` says whether there is any in x."""


class Job(NamedTuple):
    """What masks of a file are made with: its rule, `--axes`, where its bytes and those of maps are, in which folder
    there is room, how many workers there are, and how many bytes each of them may use, in all and for a tile."""

    rule: Rule
    axes: Axes | None
    source: Bytes
    maps: Callable[[Mapped], Bytes]
    output: str | None
    workers: int
    memory: int
    tile_bytes: int
    advance: Callable[[int], None]
    """Told of bytes that are read to follow components."""

    @classmethod
    def of(
        cls, step: Step, memory: int, plan: FilePlan, source: Bytes, maps: Callable[[Mapped], Bytes], settings: Settings
    ) -> Self:
        """That of a step in a file; `memory` is for all workers."""
        output, workers = None if plan.output is None else plan.output.beside, settings.crew.size
        told, share = settings.progress.advance, memory // workers
        return cls(step.rule, step.axes, source, maps, output, workers, share, settings.tile_bytes, told)


class Made(NamedTuple):
    """The masks of one tensor, and what was counted of its thresholds when they were made."""

    beside: Beside
    counts: Counts


def prepare(job: Job, tensors: Iterable[TensorPlan], stack: ExitStack) -> dict[int, Made]:
    """The masks of all tensors that the rule is applied to, by their index in the file. What they lie in is closed by
    `stack`."""
    items = [item for item in tensors if item.applied]
    made = {
        item.out.source: Made(InTile(job.rule.beside, item), Counts()) for item in items if _in_tile(job.rule, item)
    }
    others = [item for item in items if item.out.source not in made]
    if not others:
        return made
    crew = Crew(job.workers, NumpyKernels)
    room = stack.enter_context(Scratch(job.output, sum(item.view.elements for item in others)))
    offset = 0
    for item in others:
        if isinstance(job.rule.beside, Groups):
            from threshcli.engine.ranking import rank

            view, counts = rank(job, job.rule.beside, item, crew, room, offset), Counts()
        else:
            from threshcli.engine.labelling import label

            view, counts = label(job, item, crew, room, offset)
        made[item.out.source] = Made(Stored(room, view), counts)
        offset += item.view.elements
    return made


def walked_groups(groups: Groups, item: TensorPlan) -> tuple[int, int, int]:
    """A tensor as it is walked, in (outer, along the groups' axis, inner) elements."""
    place = item.out.order.index(groups.axis % len(item.tensor.shape))
    shape = item.view.shape
    return math.prod(shape[:place]), shape[place], math.prod(shape[place + 1 :])


def _in_tile(rule: Rule, item: TensorPlan) -> bool:
    """Whether every tile, which begins at a multiple of LEAF, holds all of its elements' neighbours."""
    groups = rule.beside
    if not isinstance(groups, Groups):
        return False
    _, length, inner = walked_groups(groups, item)
    return item.view.elements <= LEAF or (length % groups.m == 0 and LEAF % (groups.m * inner) == 0)


def elements_of(k: Kernels, x: Block) -> Array:
    """The elements of a block, in this machine's memory, as they are stored."""
    found: Array = np.frombuffer(k.store(x), storage(x.dtype))
    return found


def room_of(k: Kernels) -> Callable[[int, Any], Array]:
    """New arrays from buffers that are used again for each tile."""

    def room(count: int, kind: Any) -> Array:
        found: Array = np.frombuffer(k.buffer(count * np.dtype(kind).itemsize), kind)
        return found

    return room


class InTile:
    """Masks that are made of the tile."""

    def __init__(self, groups: Any, item: TensorPlan) -> None:
        self._groups: Groups = groups
        outer, length, inner = walked_groups(groups, item)
        whole = item.view.elements <= LEAF
        self._shape = (outer, length, inner) if whole else (-1, groups.m, inner)

    def cut(self, k: Kernels, x: Block, tile: Tile, *, nan: bool) -> Block:
        groups, room, seen = self._groups, room_of(k), k.seen(x)
        keys = magnitude_keys(elements_of(k, seen), seen.dtype, nan=nan, room=room).reshape(self._shape)
        mask = nm_mask(keys, groups.n, groups.m, axis=1, partial=groups.partial, room=room)
        return k.load(mask.reshape(-1).view(np.uint8).data, BOOL)


class Stored:
    """Masks that were made before, and lie in a scratch file."""

    def __init__(self, room: Scratch, view: View) -> None:
        self._room, self._view = room, view

    def cut(self, k: Kernels, x: Block, tile: Tile, *, nan: bool) -> Block:
        raw = k.buffer(tile.count)
        read_elements(self._room, self._view, tile.start, tile.stop, raw)
        return k.load(raw, BOOL)


def dense(shape: tuple[int, ...], offset: int) -> View:
    """Masks that lie in C order from an offset on."""
    return View(offset, shape, row_major(shape), 1)
