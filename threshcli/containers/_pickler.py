"""Pickles written from the nodes that `_pickle` reads.

A tree written unchanged gives the bytes that CPython's own pickler gave for protocol 2: the same memo, the same
batches of 1,000. So what torch.save wrote comes out as it was.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from threshcli.containers._pickle import Call, Global, Map, Persistent

_BATCH = 1000
_BYTE, _SHORT, _INT, _LENGTH, _FLOAT = (struct.Struct(layout) for layout in ("<B", "<H", "<i", "<I", ">d"))


def dump(root: Any, replaced: Mapping[int, Any], persist: Callable[[Persistent], tuple[Any, ...]]) -> bytes:
    """The pickle of a tree that `load` gave, nested no deeper than it is safe to recurse.

    `replaced` holds, by the id of a node, what is written for it; `persist` gives the id to write for something
    outside, in the order in which those are met."""
    writer = _Writer(replaced, persist)
    writer.save(root)
    return b"".join((pickle.PROTO + b"\x02", writer.out, pickle.STOP))


class _Writer:
    """CPython's pickler for protocol 2, for the few types that `load` gives."""

    def __init__(self, replaced: Mapping[int, Any], persist: Callable[[Persistent], tuple[Any, ...]]) -> None:
        self.replaced = replaced
        self.persist = persist
        self.out = bytearray()
        self.memo: dict[int | Global, int] = {}
        self.alive: list[Any] = []  # the memo goes by id: what is made on the way must not be freed

    def save(self, node: Any) -> None:
        node = self.replaced.get(id(node), node)
        if node is None or type(node) is bool:
            self.out += _CONSTANTS[node]
        elif type(node) is int:
            self.integer(node)
        elif type(node) is float:
            self.out += pickle.BINFLOAT + _FLOAT.pack(node)
        elif type(node) is Persistent:
            identity = self.persist(node)
            self.alive.append(identity)
            self.save(identity)
            self.out += pickle.BINPERSID
        elif (index := self.memo.get(node if type(node) is Global else id(node))) is not None:
            self.out += pickle.BINGET + _BYTE.pack(index) if index < 256 else pickle.LONG_BINGET + _LENGTH.pack(index)
        else:
            _SAVERS[type(node)](self, node)

    def memoize(self, key: int | Global) -> None:
        index = self.memo[key] = len(self.memo)
        self.out += pickle.BINPUT + _BYTE.pack(index) if index < 256 else pickle.LONG_BINPUT + _LENGTH.pack(index)

    def integer(self, value: int) -> None:
        if 0 <= value < 1 << 8:
            self.out += pickle.BININT1 + _BYTE.pack(value)
        elif 0 <= value < 1 << 16:
            self.out += pickle.BININT2 + _SHORT.pack(value)
        elif -(1 << 31) <= value < 1 << 31:
            self.out += pickle.BININT + _INT.pack(value)
        else:
            encoded = pickle.encode_long(value)
            self.out += pickle.LONG1 + _BYTE.pack(len(encoded)) + encoded

    def text(self, node: str) -> None:
        encoded = node.encode("utf-8", "surrogatepass")
        self.out += pickle.BINUNICODE + _LENGTH.pack(len(encoded)) + encoded
        self.memoize(id(node))

    def group(self, node: Sequence[Any]) -> None:
        if not node:
            self.out += pickle.EMPTY_TUPLE
            return
        if len(node) > 3:
            self.out += pickle.MARK
        for item in node:
            self.save(item)
        self.out += (pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)[len(node) - 1] if len(node) <= 3 else pickle.TUPLE
        self.memoize(id(node))

    def sequence(self, node: Sequence[Any]) -> None:
        self.out += pickle.EMPTY_LIST
        self.memoize(id(node))
        for batch in _batches(node):
            self.out += pickle.MARK if len(node) > 1 else b""
            for item in batch:
                self.save(item)
            self.out += pickle.APPENDS if len(node) > 1 else pickle.APPEND

    def map(self, node: Map) -> None:
        self.out += pickle.EMPTY_DICT
        self.memoize(id(node))
        for batch in _batches(node.items):
            self.pairs(batch, alone=len(node.items) == 1)
        if node.items and len(node.items) % _BATCH == 0:  # as CPython does for a dict, though not for subclasses
            self.pairs((), alone=False)

    def pairs(self, batch: Sequence[tuple[Any, Any]], *, alone: bool) -> None:
        self.out += b"" if alone else pickle.MARK
        for key, value in batch:
            self.save(key)
            self.save(value)
        self.out += pickle.SETITEM if alone else pickle.SETITEMS

    def name(self, node: Global) -> None:
        self.out += pickle.GLOBAL + f"{node.module}\n{node.name}\n".encode()
        self.memoize(node)

    def call(self, node: Call) -> None:
        self.save(node.function)
        self.save(node.args)
        self.out += pickle.REDUCE
        self.memoize(id(node))
        for batch in _batches(node.items):
            self.pairs(batch, alone=len(batch) == 1)
        if node.state is not None:
            self.save(node.state)
            self.out += pickle.BUILD


def _batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


_CONSTANTS: dict[bool | None, bytes] = {None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}
_SAVERS: dict[type, Callable[[_Writer, Any], None]] = {
    str: _Writer.text,
    tuple: _Writer.group,
    list: _Writer.sequence,
    Map: _Writer.map,
    Global: _Writer.name,
    Call: _Writer.call,
}
