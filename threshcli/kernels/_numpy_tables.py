"""What becomes of each code of a narrow dtype, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from threshcli.kernels._arena import Arena, Array
from threshcli.kernels._numpy_convert import storage
from threshcli.kernels.base import Block

_MOST_TABLES = 8


class Tables:
    """The tables of one set of kernels, the latest ones."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._tables: dict[Hashable, Block] = {}

    def serve(self, x: Block) -> bool:
        """Whether a look at the codes costs less than work on the elements."""
        return x.dtype.itemsize <= 2 and x.data.size >= 1 << x.dtype.bits

    def looked_up(self, x: Block, make: Callable[[Block], Block], key: Hashable) -> Block:
        """make(x)."""
        table = self._tables.get((key, x.dtype)) or self._made(x, make, key)
        out: Array = self._arena.take(x.data.size, table.data.dtype.str)
        with self._arena.scratch():
            places = self._arena.take(x.data.size, np.intp)  # else `take` makes some for itself, anew each time
            np.copyto(places, x.data.view(f"u{x.dtype.itemsize}"))
            np.take(table.data, places, out=out, mode="wrap")  # unlike "raise" without a buffer of its own
        return Block(out, table.dtype)

    def _made(self, x: Block, make: Callable[[Block], Block], key: Hashable) -> Block:
        codes = np.arange(1 << x.dtype.bits, dtype=f"u{x.dtype.itemsize}").view(storage(x.dtype))
        with self._arena.scratch():
            made = make(Block(codes, x.dtype))
            table = Block(made.data.copy(), made.dtype)
        if len(self._tables) >= _MOST_TABLES:
            self._tables.clear()
        self._tables[key, x.dtype] = table
        return table
