"""Tables over words: what becomes of each element of a narrow dtype, or of each two of 8 bits at once.

To look up two elements costs no more than one, and the table of all pairs still fits into the cache.
"""

from __future__ import annotations

import numpy as np

from threshcli.dtypes import DType
from threshcli.kernels._arena import Arena, Array
from threshcli.kernels._numpy_convert import storage

PAIR = 2
"""The bytes of a word of two elements of 8 bits."""


def every_word(dtype: DType, width: int) -> Array:
    """The elements of all words of so many bytes, one word after the other."""
    return np.arange(1 << 8 * width, dtype=f"u{width}").view(storage(dtype))


def look_up(table: Array, data: Array, width: int, out: Array, arena: Arena) -> None:
    """Write what the table has for each word of `data`."""
    words = data.view(f"u{width}")
    with arena.scratch():
        places = arena.take(words.size, np.intp)  # else `take` makes some for itself, anew each time
        np.copyto(places, words)
        np.take(table, places, out=out, mode="wrap")  # unlike "raise" without a buffer of its own
