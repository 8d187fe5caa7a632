"""Elements of a view, in its order, into a buffer: one read where they are contiguous, else gathered box by box.

A box of a strided view is read in stretches: along axes with small steps the gaps are read too, since a few unwanted
kilobytes cost less than another call; along axes with large steps each index is a read of its own. The stretches lie
side by side in a staging buffer, from where the elements are copied in the wanted order. That serves transposed
tensors, slices, maps in another memory order, and maps that broadcast (steps of 0) alike.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from threshcli.tiles import Box, View, boxes

_STRETCH = 1 << 20  # the longest stretch of bytes that is read at once
_STAGE = 1 << 22  # the most bytes of stretches that are kept side by side
_NEAR = 1 << 13  # a gap of so many bytes is read rather than skipped

Array = npt.NDArray[Any]


class Bytes(Protocol):
    """A file that fills buffers."""

    def read_into(self, offset: int, buffer: memoryview) -> None: ...


class Input(Bytes, Protocol):
    """What a file is read from: itself, or what is made of it."""

    def hold(self) -> None: ...

    def check_unchanged(self) -> None: ...


def read_elements(source: Bytes, view: View, start: int, stop: int, buffer: memoryview) -> None:
    """Elements [start, stop) of the view, in C order of its axes, into `buffer`."""
    if view.contiguous:
        source.read_into(view.offset + start * view.itemsize, buffer)
        return
    kind = np.dtype((np.void, view.itemsize)) if view.itemsize == 16 else np.dtype(f"u{view.itemsize}")
    out: Array = np.frombuffer(buffer, kind)
    gather, done = _Gather(source, view, kind), 0
    for box in boxes(view.shape, start, stop):
        gather.box(box, out[done : done + box.count].reshape(box.extent))
        done += box.count


class _Gather:
    """Reads boxes of one strided view."""

    def __init__(self, source: Bytes, view: View, kind: np.dtype[Any]) -> None:
        self._source, self._view, self._kind = source, view, kind
        self._steps = tuple(stride * view.itemsize for stride in view.strides)
        self._known: tuple[tuple[int, int], bytearray] | None = None

    def box(self, box: Box, out: Array) -> None:
        """The elements of a box into an array of its extent."""
        far = [axis for axis, step in enumerate(self._steps) if step > _NEAR and box.extent[axis] > 1]
        stretch = self._stretch(box, far)
        lines = int(np.prod([box.extent[axis] for axis in far], dtype=np.int64))
        longest = min(_STRETCH, _STAGE)
        if stretch > longest or lines * stretch > _STAGE:
            self._halves(box, out, far, stretch > longest)
            return
        stage = self._read(box, far, stretch, lines)
        steps = list(self._steps)
        line = stretch
        for axis in reversed(far):
            steps[axis] = line
            line *= box.extent[axis]
        elements: Array = np.lib.stride_tricks.as_strided(
            np.frombuffer(stage, np.uint8, self._kind.itemsize).view(self._kind), box.extent, steps, writeable=False
        )
        np.copyto(out, elements)

    def _stretch(self, box: Box, far: list[int]) -> int:
        """Bytes from the first to the last element along the axes with small steps."""
        near = ((length - 1) * self._steps[axis] for axis, length in enumerate(box.extent) if axis not in far)
        return sum(near) + self._view.itemsize

    def _halves(self, box: Box, out: Array, far: list[int], too_long: bool) -> None:
        """Both halves of the box, along the axis that makes it too large."""
        candidates = [axis for axis in range(len(box.extent)) if (axis in far) != too_long and box.extent[axis] > 1]
        axis = max(candidates, key=lambda axis: (box.extent[axis] - 1) * max(self._steps[axis], not too_long))
        half = box.extent[axis] // 2
        for first, length in ((0, half), (half, box.extent[axis] - half)):
            index = (*box.first[:axis], box.first[axis] + first, *box.first[axis + 1 :])
            part = Box(index, (*box.extent[:axis], length, *box.extent[axis + 1 :]))
            where = (slice(None),) * axis + (slice(first, first + length),)
            self.box(part, out[where])

    def _read(self, box: Box, far: list[int], stretch: int, lines: int) -> bytearray:
        """The stretches of a box side by side; the last ones are kept, since maps that broadcast ask for them again."""
        first = self._view.span(box)[0]
        if not far and self._known is not None and self._known[0] == (first, stretch):
            return self._known[1]
        stage = bytearray(lines * stretch)
        room, read = memoryview(stage), self._source.read_into
        offsets = (range(0, box.extent[axis] * self._steps[axis], self._steps[axis]) for axis in far)
        for number, parts in enumerate(itertools.product(*offsets)):
            read(first + sum(parts), room[number * stretch : (number + 1) * stretch])
        self._known = ((first, stretch), stage) if not far else None
        return stage
