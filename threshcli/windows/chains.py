"""Windows put together of smaller ones: 15 = 12 + 3, 12 = 6 + 6, 6 = 3 + 3, 3 = 2 + 1.

The steps depend on nothing but the size of a window, so that its elements are always added in the same order. There are
about log2 of them, where adding the elements one by one would take as many as there are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Step(NamedTuple):
    """A window of `first` elements and one of `second` elements behind it become one, of the size wanted if it is the
    `last` step; `done` are the sizes that no later step needs."""

    first: int
    second: int
    last: bool
    done: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.first + self.second


@lru_cache(maxsize=256)
def steps(size: int) -> tuple[Step, ...]:
    """From single elements to windows of a size, by the factor method."""
    pairs = _pairs(size)
    last = {part: number for number, pair in enumerate(pairs) for part in pair}
    return tuple(
        Step(*pair, sum(pair) == size, tuple(part for part in sorted(set(pair)) if last[part] == number))
        for number, pair in enumerate(pairs)
    )


def _pairs(size: int) -> list[tuple[int, int]]:
    if size == 1:
        return []
    factor = next((item for item in range(2, int(size**0.5) + 1) if size % item == 0), size)
    if factor < size:
        return _pairs(factor) + [(first * factor, second * factor) for first, second in _pairs(size // factor)]
    return [*_pairs(size - 1), (size - 1, 1)]


def run(size: int, single: T, join: Callable[[T, T, Step], T], release: Callable[[T], None]) -> T:
    """What `join` makes of single elements in the end; what is no longer needed is released."""
    known = {1: single}
    for step in steps(size):
        known[step.size] = join(known[step.first], known[step.second], step)
        for part in step.done:
            release(known.pop(part))
    return known[size]
