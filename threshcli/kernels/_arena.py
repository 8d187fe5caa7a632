"""Buffers that a worker uses again for each tile."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

_LINE = 64  # bytes that the processor writes at once: arrays that begin elsewhere cost twice the time

Array = npt.NDArray[Any]


class Arena:
    """A stack of reusable arrays: `take` hands out the next, `reset` takes all back, `scratch` those taken inside it.

    Tiles ask for the same arrays in the same order, so after the first tile nothing is allocated: no page faults.
    """

    def __init__(self) -> None:
        self._slots: list[Array] = []
        self._top = 0
        self._marks: list[int] = []

    def reset(self) -> None:
        self._top = 0
        self._marks.clear()

    def scratch(self) -> Arena:
        """To be used with `with`: what is taken inside is free again after it."""
        return self

    def __enter__(self) -> None:
        self._marks.append(self._top)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._top = self._marks.pop()

    def take(self, count: int, dtype: Any) -> Array:
        """An uninitialised array of so many elements."""
        kind = np.dtype(dtype)
        nbytes = count * kind.itemsize
        if self._top == len(self._slots):
            self._slots.append(_aligned(nbytes))
        elif self._slots[self._top].nbytes < nbytes:
            self._slots[self._top] = _aligned(nbytes)
        slot = self._slots[self._top]
        self._top += 1
        return slot[:nbytes].view(kind)


def _aligned(nbytes: int) -> Array:
    room: Array = np.empty(nbytes + _LINE, np.uint8)
    first = -room.ctypes.data % _LINE
    return room[first : first + nbytes]
