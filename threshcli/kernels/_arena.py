"""Buffers that a worker uses again for each tile."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LINE = 64  # bytes that the processor writes at once: arrays that begin elsewhere cost twice the time
_MOST_VIEWS = 256


class Arena:
    """A stack of reusable arrays: `take` hands out the next, `reset` takes all back, `scratch` those taken inside it.

    Tiles ask for the same arrays in the same order, so after the first tile nothing is allocated: no page faults.
    """

    def __init__(self) -> None:
        self._slots: list[Array] = []
        self._top = 0
        self._marks: list[int] = []
        self._views: dict[tuple[int, int, Any], Array] = {}

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
        """An uninitialised array of so many elements; a string or a type for `dtype` is found sooner than a dtype."""
        top = self._top
        self._top = top + 1
        found = self._views.get((top, count, dtype))
        return self._view(top, count, dtype) if found is None else found

    def _view(self, top: int, count: int, dtype: Any) -> Array:
        """A slot as such an array, which is kept, since the next tile asks for the same."""
        kind = np.dtype(dtype)
        nbytes = count * kind.itemsize
        if top == len(self._slots):
            self._slots.append(_aligned(nbytes))
        elif self._slots[top].nbytes < nbytes:
            self._views.clear()  # those of this slot would keep what it was
            self._slots[top] = _aligned(nbytes)
        elif len(self._views) >= _MOST_VIEWS:
            self._views.clear()
        view = self._views[top, count, dtype] = self._slots[top][:nbytes].view(kind)
        return view


def _aligned(nbytes: int) -> Array:
    room: Array = np.empty(nbytes + _LINE, np.uint8)
    first = -room.ctypes.data % _LINE
    return room[first : first + nbytes]
