"""Pickles read as data (`_pickler` writes them again).

A pickle is a program that builds objects by calling what it names. Here nothing that it names is looked up, imported
or called: a call stays a Call, a name stays a Global, a dict stays a list of pairs (so that nothing is hashed either).
That costs as much memory as the pickle has opcodes, and cannot run, loop or recurse. The opcodes are those of
`torch.load(weights_only=True)`, which are those that protocol 2, torch's, writes.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from threshcli.errors import InputError

ORDERED_DICT = "collections.OrderedDict"

_ROOM = 400 << 20
"""Bytes of memory that a structure may take, as `_COSTS` reckons: an empty dict is one byte of the pickle."""


@dataclass(frozen=True, slots=True)
class Global:
    """Something that the pickle names, and that nobody looks up."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """The name in Python 3's words; protocol 2 has Python 2's."""
        return f"{'builtins' if self.module == '__builtin__' else self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Map:
    """A dict, as pairs."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Call:
    """A call that is not made; for an OrderedDict with the pairs put into it, and its attributes in `state`."""

    function: Global
    args: tuple[Any, ...]
    items: list[tuple[Any, Any]] = field(default_factory=list)
    state: Any = None


@dataclass(slots=True, eq=False)
class Persistent:
    """Something that lies outside the pickle, under this id."""

    id: Any


def load(data: bytes, allowed: Callable[[Global], bool]) -> Any:
    """The object that a pickle describes; InputError where it is damaged or names what is not allowed."""
    return _Machine(data, allowed).run()


class _Machine:
    """The stack machine of pickle, restricted to opcodes that put plain values together."""

    def __init__(self, data: bytes, allowed: Callable[[Global], bool]) -> None:
        self.data = data
        self.allowed = allowed
        self.position = 0
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        data, operations, costs, room = self.data, _OPERATIONS, _COSTS, _ROOM
        try:
            while (code := data[self.position]) != pickle.STOP[0]:
                if code not in operations:
                    raise self.foreign(code)
                self.position += 1
                operations[code](self)
                room -= costs[code]
                if room < 0:
                    raise self.monstrous()
            return self.stack.pop()
        except InputError:
            raise
        except (IndexError, KeyError, ValueError, struct.error) as error:  # every way to run off an end
            raise self.damaged() from error

    def foreign(self, code: int) -> InputError:
        return InputError(
            f"its pickle has the instruction 0x{code:02x}, which builds more than plain values (nothing in it was run)",
            hint="save it again with torch.save, in its default protocol, with tensors and plain values only",
        )

    def monstrous(self) -> InputError:
        return InputError(
            f"its pickle describes more than fits into {_ROOM >> 20} MiB, {self.position:,} bytes of it",
            hint="save tensors and plain values only, or several files",
        )

    def damaged(self) -> InputError:
        return InputError(f"its pickle is damaged at byte {self.position:,}", hint="save it again with torch.save")

    def take(self, size: int) -> bytes:
        self.position += size
        if self.position > len(self.data):
            raise self.damaged()
        return self.data[self.position - size : self.position]

    def byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]

    def number(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack_from(self.data, self.position)
        self.position += layout.size
        return value

    def line(self) -> str:
        end = self.data.index(b"\n", self.position)
        text = self.data[self.position : end].decode()
        self.position = end + 1
        return text

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """What lies above the last mark."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def name(self) -> None:
        found = Global(self.line(), self.line())
        if not self.allowed(found):
            raise InputError(
                f"its pickle refers to {found.path[:100]!r}, which is not among the plain values that are read "
                "(nothing in it was run)",
                hint="save it again with tensors and plain values only, a state_dict for instance",
            )
        self.stack.append(found)

    def reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(args) is not tuple:
            raise self.damaged()
        self.stack.append(Call(function, args))

    def persistent(self) -> None:
        self.stack.append(Persistent(self.stack.pop()))

    def group(self, size: int) -> None:
        if size > len(self.stack):
            raise self.damaged()
        self.stack[-size:] = [tuple(self.stack[-size:])]

    def append(self, items: Sequence[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise self.damaged()
        self.stack[-1].extend(items)

    def assign(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        ordered = type(target) is Call and target.function.path == ORDERED_DICT
        if not (ordered or type(target) is Map) or len(items) % 2:
            raise self.damaged()
        target.items.extend(zip(items[::2], items[1::2], strict=True))

    def assign_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.assign((key, value))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        ordered = type(target) is Call and target.function.path == ORDERED_DICT
        if not ordered or target.state is not None or type(state) is not Map:
            raise self.damaged()
        target.state = state


def _push(value: Any) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value)


_SHORT, _INT, _LENGTH, _FLOAT = (struct.Struct(layout) for layout in ("<H", "<i", "<I", ">d"))
_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    code[0]: operation
    for code, operation in {
        pickle.PROTO: lambda m: m.byte(),
        pickle.NONE: _push(None),
        pickle.NEWTRUE: _push(True),
        pickle.NEWFALSE: _push(False),
        pickle.BININT: lambda m: m.push(m.number(_INT)),
        pickle.BININT1: lambda m: m.push(m.byte()),
        pickle.BININT2: lambda m: m.push(m.number(_SHORT)),
        pickle.LONG1: lambda m: m.push(pickle.decode_long(m.take(m.byte()))),
        pickle.BINFLOAT: lambda m: m.push(m.number(_FLOAT)),
        pickle.BINUNICODE: lambda m: m.push(m.take(m.number(_LENGTH)).decode("utf-8", "surrogatepass")),
        pickle.SHORT_BINSTRING: lambda m: m.push(m.take(m.byte()).decode()),
        pickle.EMPTY_TUPLE: _push(()),
        pickle.EMPTY_LIST: lambda m: m.push([]),
        pickle.EMPTY_DICT: lambda m: m.push(Map()),
        pickle.MARK: _Machine.mark,
        pickle.TUPLE: lambda m: m.push(tuple(m.marked())),
        pickle.TUPLE1: lambda m: m.group(1),
        pickle.TUPLE2: lambda m: m.group(2),
        pickle.TUPLE3: lambda m: m.group(3),
        pickle.APPEND: lambda m: m.append((m.stack.pop(),)),
        pickle.APPENDS: lambda m: m.append(m.marked()),
        pickle.SETITEM: _Machine.assign_one,
        pickle.SETITEMS: lambda m: m.assign(m.marked()),
        pickle.BINPUT: lambda m: m.put(m.byte()),
        pickle.LONG_BINPUT: lambda m: m.put(m.number(_LENGTH)),
        pickle.BINGET: lambda m: m.push(m.memo[m.byte()]),
        pickle.LONG_BINGET: lambda m: m.push(m.memo[m.number(_LENGTH)]),
        pickle.GLOBAL: _Machine.name,
        pickle.REDUCE: _Machine.reduce,
        pickle.BUILD: _Machine.build,
        pickle.BINPERSID: _Machine.persistent,
    }.items()
}

_MORE = {
    pickle.MARK: 32,
    pickle.EMPTY_LIST: 32,
    pickle.EMPTY_DICT: 120,
    pickle.REDUCE: 160,
    pickle.GLOBAL: 160,
    pickle.BINPUT: 60,
    pickle.LONG_BINPUT: 60,
    pickle.BINPERSID: 32,
    pickle.BINUNICODE: 40,
    pickle.SHORT_BINSTRING: 40,
    pickle.TUPLE1: 32,
    pickle.TUPLE2: 32,
    pickle.TUPLE3: 32,
}
_COSTS = [40 + _MORE.get(bytes([code]), 0) for code in range(256)]
"""Bytes that an opcode leaves behind, about, as part of a pair in a dict if need be."""
