"""What becomes of each code of a narrow dtype, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from threshcli.kernels._arena import Arena, Array
from threshcli.kernels._numpy_words import PAIR, every_word, look_up
from threshcli.kernels.base import Block

_MOST_TABLES = 8


class Tables:
    """The tables of one set of kernels, the latest ones: the elements that are made of those of every word."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._tables: dict[Hashable, Block] = {}

    def serve(self, x: Block) -> bool:
        """Whether a look at the codes costs less than work on the elements."""
        return x.dtype.itemsize <= 2 and x.data.size >= 1 << x.dtype.bits

    def looked_up(self, x: Block, make: Callable[[Block], Block], key: Hashable) -> Block:
        """make(x)."""
        size = x.data.size
        width = PAIR if size >= 1 << 8 * PAIR else x.dtype.itemsize
        table = self._tables.get((key, x.dtype, width)) or self._made(x, make, key, width)
        out: Array = self._arena.take(size, table.data.dtype.str)
        whole = size - x.data.nbytes % width
        word = np.dtype((np.void, table.data.nbytes >> 8 * width))
        look_up(table.data.view(word), x.data[:whole], width, out[:whole].view(word), self._arena)
        if whole < size:
            with self._arena.scratch():
                out[whole:] = make(Block(x.data[whole:], x.dtype)).data
        return Block(out, table.dtype)

    def _made(self, x: Block, make: Callable[[Block], Block], key: Hashable, width: int) -> Block:
        with self._arena.scratch():
            made = make(Block(every_word(x.dtype, width), x.dtype))
            table = Block(made.data.copy(), made.dtype)
        if len(self._tables) >= _MOST_TABLES:
            self._tables.clear()
        self._tables[key, x.dtype, width] = table
        return table
