"""Connected components of a graph, all nodes at once (no loop over nodes or edges)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


_FEW = 8  # the part of all nodes that still move under which these are picked out


_COUNTED: list[Array] = [np.arange(1 << 10)]
"""The numbers from 0, as far as they were asked for: they are compared with at every turn, and never change."""


def numbers(count: int) -> Array:
    """The numbers from 0 to `count` - 1, not to be altered."""
    known = _COUNTED[0]
    if known.size < count:
        known = _COUNTED[0] = np.arange(1 << count.bit_length())
    return known[:count]


def connected(parent: Array, a: Array, b: Array) -> tuple[Array, int]:
    """The number of each node's component, from 0, and how many components there are. Nodes are connected by `parent`
    (a forest with parent[i] <= i, which is used up) and by edges from a[i] to b[i].

    Each root hooks onto the smallest root it has an edge to, if that is smaller; chains are halved until all nodes
    point at roots; then the same for roots alone. A root that is left over has grown, or is hooked a round later: so
    the roots with edges are halved every two rounds at least (Shiloach & Vishkin 1982,
    doi:10.1016/0196-6774(82)90008-6).
    """
    parent = flat(parent)
    roots = np.flatnonzero(parent == numbers(parent.size))
    number = np.empty(parent.size, np.int64)
    number[roots] = numbers(roots.size)
    own = number[parent]
    a, b = own[a], own[b]
    different = np.flatnonzero(a != b)
    if not different.size:
        return own, roots.size
    a, b = a[different], b[different]
    hooked = numbers(roots.size).copy()
    np.minimum.at(hooked, np.maximum(a, b), np.minimum(a, b))
    joined, count = connected(hooked, a, b)
    return joined[own], count


def flat(parent: Array) -> Array:
    """The root of each node of a forest, by halving chains. A node whose grandparent is its parent points at a root."""
    while True:
        above = parent[parent]
        moving = np.flatnonzero(above != parent)
        parent = above
        if moving.size * _FEW <= parent.size:
            break
    while moving.size:
        before = parent[moving]
        after = parent[before]
        changed = np.flatnonzero(after != before)
        moving = moving[changed]
        parent[moving] = after[changed]
    return parent
