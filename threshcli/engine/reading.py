"""Elements of a view, in its order, into a buffer: one read where they are contiguous, else box by box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from threshcli.tiles import Box, View, boxes

_SPAN = 1 << 20  # the most bytes that are read to gather scattered elements from


class Bytes(Protocol):
    """A file that fills buffers."""

    def read_into(self, offset: int, buffer: memoryview) -> None: ...


def read_elements(source: Bytes, view: View, start: int, stop: int, buffer: memoryview) -> None:
    """Elements [start, stop) of the view, in C order of its axes, into `buffer`."""
    if view.contiguous:
        source.read_into(view.offset + start * view.itemsize, buffer)
        return
    kind = np.dtype((np.void, view.itemsize)) if view.itemsize == 16 else np.dtype(f"u{view.itemsize}")
    out: npt.NDArray[Any] = np.frombuffer(buffer, kind)
    done, known = 0, (0, b"")
    for whole in boxes(view.shape, start, stop):
        for box in _narrowed(view, whole):
            first, size = view.span(box)
            if known[0] != first or len(known[1]) != size:  # broadcast maps ask for the same bytes again and again
                data = bytearray(size)
                source.read_into(first, memoryview(data))
                known = (first, bytes(data))
            steps = tuple(stride * view.itemsize for stride in view.strides)
            elements: npt.NDArray[Any] = np.lib.stride_tricks.as_strided(
                np.frombuffer(known[1], kind), box.extent, steps, writeable=False
            )
            np.copyto(out[done : done + box.count].reshape(box.extent), elements)
            done += box.count


def _narrowed(view: View, box: Box) -> Iterator[Box]:
    """The box in parts, in order, none of which spans more bytes than may be read at once."""
    if view.span(box)[1] <= max(_SPAN, view.itemsize):
        yield box
        return
    axis = next(axis for axis, length in enumerate(box.extent) if length > 1)
    half = box.extent[axis] // 2
    for first, length in ((0, half), (half, box.extent[axis] - half)):
        index = (*box.first[:axis], box.first[axis] + first, *box.first[axis + 1 :])
        yield from _narrowed(view, Box(index, (*box.extent[:axis], length, *box.extent[axis + 1 :])))
