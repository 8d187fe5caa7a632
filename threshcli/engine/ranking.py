"""Masks of `nm` where groups reach beyond tiles: worked out box by box, each of whole groups, before tiles are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from threshcli.engine.beside import Job, dense, elements_of, walked_groups
from threshcli.engine.crew import Crew
from threshcli.engine.reading import read_elements
from threshcli.kernels.base import Kernels
from threshcli.kernels.complex import fitting
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Groups
from threshcli.sideways.nm import magnitude_keys, nm_mask
from threshcli.storage.scratch import Scratch
from threshcli.tiles import View

_ALONE = 1 << 21  # bytes under which a second thread costs more than it gains
_SHARE = 24  # bytes that ranking takes for an element


class Box(NamedTuple):
    """Stretches of a tensor as it is walked, `rows` of them, each of `elements` and `step` after the one before;
    read in order they have the shape (outer, along the groups' axis, inner)."""

    start: int
    rows: int
    step: int
    elements: int
    shape: tuple[int, int, int]


def boxes(outer: int, length: int, inner: int, m: int, most: int) -> Iterator[Box]:
    """Boxes of whole groups that hold all elements, of at most so many (but a column of a group at least)."""
    plane = length * inner
    if not outer * plane:
        return
    if plane <= most:
        many = most // plane
        for first in range(0, outer, many):
            count = min(many, outer - first)
            yield Box(first * plane, 1, 0, count * plane, (count, length, inner))
        return
    rows = max(m, most // inner // m * m)
    columns = inner if m * inner <= most else max(1, most // m)
    for start in range(0, outer * plane, plane):
        for row in range(0, length, rows):
            high = min(rows, length - row)
            if columns == inner:
                yield Box(start + row * inner, 1, 0, high * inner, (1, high, inner))
                continue
            for column in range(0, inner, columns):
                wide = min(columns, inner - column)
                yield Box(start + row * inner + column, high, inner, wide, (1, high, wide))


def rank(job: Job, groups: Groups, item: TensorPlan, crew: Crew, room: Scratch, offset: int) -> View:
    """Write the masks of a tensor to `room`; returns where they lie."""
    view, dtype = item.view, item.tensor.dtype

    def work(box: Box, k: Kernels) -> None:
        k.reset()
        raw = k.buffer(box.rows * box.elements * view.itemsize)
        size = box.elements * view.itemsize
        for row in range(box.rows):
            start = box.start + row * box.step
            read_elements(job.source, view, start, start + box.elements, raw[row * size : (row + 1) * size])
        k = fitting(k, dtype)
        x = k.seen(k.load(raw, dtype, swapped=view.swapped))
        keys = magnitude_keys(elements_of(k, x), x.dtype).reshape(box.shape)
        mask = nm_mask(keys, groups.n, groups.m, axis=1, partial=groups.partial).reshape(box.rows, box.elements)
        for row in range(box.rows):
            room.write(offset + box.start + row * box.step, mask[row].view(np.uint8).data)

    cut = boxes(*walked_groups(groups, item), groups.m, max(1, min(job.tile_bytes, job.memory // _SHARE)))
    crew.run(cut, work, alone=view.elements * view.itemsize < _ALONE)
    return dense(view.shape, offset)
