"""What the tree of a checkpoint's pickle means: which calls are tensors, where they lie, what they are called.

The walk goes over a tree that may share and contain itself, without recursion, each node once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from threshcli.containers._pickle import ORDERED_DICT, Call, Global, Map, Persistent
from threshcli.containers._vocabulary import (
    PACKED,
    PARAMETERS,
    REFUSED,
    STORAGES,
    TENSORS,
    UNTYPED,
    VALUES,
    WITH_ATTRIBUTES,
)
from threshcli.dtypes import DTYPES
from threshcli.errors import InputError

_DEEPEST = 100
_LONGEST_NAME = 1024
_EXAMPLES = 3
_MOST_NAMES = 1 << 16
_RANKS = 64  # NumPy's limit


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A strided tensor in the tree: the call that stands for it, the arguments that rebuild it, and what they say;
    lengths in elements."""

    call: Call
    args: tuple[Any, ...]
    name: str
    dtype: str
    storage: str
    location: str
    storage_bytes: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(slots=True)
class Survey:
    """What a walk found: tensors in their order, the calls that make Parameters of them, further names of either, and
    how many other values there are, with the names of the first."""

    sites: list[Site] = field(default_factory=list)
    parameters: list[Call] = field(default_factory=list)
    again: list[tuple[str, Call]] = field(default_factory=list)
    others: int = 0
    examples: list[str] = field(default_factory=list)


def survey(root: Any) -> Survey:
    """Walk the tree."""
    return _Walk().run(root)


_Step = tuple[str | None, Any, bool]
"""A child: what it adds to a tensor's name, the node, and whether it is where no tensor may be."""


class _Walk:
    def __init__(self) -> None:
        self.found = Survey()
        self.seen: set[tuple[int, bool]] = set()
        self.path: list[str] = []

    def run(self, root: Any) -> Survey:
        frames: list[tuple[Iterator[_Step], int, bool]] = [(iter(((None, root, False),)), 0, False)]
        above: set[int] = set()
        while frames:
            step = next(frames[-1][0], None)
            if step is None:
                _, done, named = frames.pop()
                above.discard(done)
                del self.path[len(self.path) - named :]
                continue
            label, node, hidden = step
            if id(node) in above:
                raise InputError(f"holds a structure that contains itself, at {self.name(label)!r}")
            if type(node) in _LEAVES:
                self.other(label, hidden)
            elif (id(node), hidden) not in self.seen:
                self.seen.add((id(node), hidden))
                if len(frames) > _DEEPEST:
                    raise InputError(f"is nested deeper than {_DEEPEST} levels")
                frames.append((self.visit(label, node, hidden), id(node), label is not None))
                above.add(id(node))
                self.path += () if label is None else (label,)
            elif label is not None and not hidden:
                self.again(label, node)
        return self.found

    def again(self, label: str, node: Any) -> None:
        """Note the name here of a tensor that was met before, within bounds: such a place takes two bytes."""
        named = _is_tensor(node) or (type(node) is Call and node.function.path in PARAMETERS)
        if named and len(self.found.again) < _MOST_NAMES:
            self.found.again.append((".".join((*self.path, label))[:_LONGEST_NAME], node))

    def other(self, label: str | None, hidden: bool) -> None:
        """Note a value that is no tensor, unless it belongs to something noted already."""
        self.found.others += not hidden
        if not hidden and len(self.found.examples) < _EXAMPLES:
            self.found.examples.append(".".join((*self.path, label or ""))[:40])

    def name(self, label: str | None) -> str:
        """What a tensor here is called."""
        text = ".".join(self.path if label is None else (*self.path, label))
        if len(text) > _LONGEST_NAME:
            raise InputError(f"has a name of more than {_LONGEST_NAME:,} characters: {text[:40]!r}...")
        return text

    def visit(self, label: str | None, node: Any, hidden: bool) -> Iterator[_Step]:
        """The children of a node, which is noted if it is a tensor."""
        if type(node) is Call and node.function.path != ORDERED_DICT:
            return self.call(label, node, hidden)
        if type(node) is Persistent:
            raise InputError(f"holds a bare storage at {self.name(label)!r}", hint="save it as a tensor")
        return _children(node, hidden)

    def call(self, label: str | None, node: Call, hidden: bool) -> Iterator[_Step]:
        path, args = node.function.path, node.args
        if path in VALUES:
            self.other(label, hidden)
            return iter([(None, arg, True) for arg in args])
        name = self.name(label)
        if hidden:
            raise InputError(f"holds a tensor at {name!r} in a set, in a key of a dict or in an attribute")
        if path in REFUSED:
            what, hint = REFUSED[path]
            raise InputError(f"tensor {name!r} {what}", hint=hint)
        if path in PARAMETERS and len(args) > 2 and _unhooked(args[1:3]) and _is_tensor(args[0]):
            self.found.parameters.append(node)
            return iter([(None, args[0], False), *((None, arg, True) for arg in args[3:])])
        if path == WITH_ATTRIBUTES and len(args) == 4 and _paths(args[:2], TENSORS, {"torch.Tensor"}):
            self.found.sites.append(site(name, node, args[0].path, args[2]))
            return iter([(None, args[3], True)])
        if path in TENSORS:
            self.found.sites.append(site(name, node, path, args))
            return iter(())
        raise InputError(f"tensor {name!r} is not a plain tensor ({path})", hint="save a plain tensor")


_LEAVES = (type(None), bool, int, float, str, Global)


def _is_tensor(node: Any) -> bool:
    """Whether this may stand inside a Parameter."""
    return type(node) is Call and node.function.path in (*TENSORS, *REFUSED, WITH_ATTRIBUTES)


def _paths(nodes: tuple[Any, ...], *wanted: Any) -> bool:
    return all(type(node) is Global and node.path in paths for node, paths in zip(nodes, wanted, strict=True))


def _children(node: Any, hidden: bool) -> Iterator[_Step]:
    """What a list, a tuple or a dict holds."""
    if isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield str(index), item, hidden
        return
    met: set[Any] = set()
    for key, value in node.items:
        if (same := _comparable(key)) in met:
            raise InputError(
                f"holds a dict in which {str(key)[:80]!r} stands twice", hint="save it again with torch.save"
            )
        if same is not None:
            met.add(same)
        plain = type(key) in _LEAVES and type(key) is not Global
        if not plain:
            yield None, key, True
        yield str(key) if plain else "?", value, hidden
    if type(node) is Call:
        yield None, node.args, True
        yield None, node.state, True


def _comparable(key: Any) -> tuple[str, ...] | None:
    """What is the same for keys that are one to a dict, of which it keeps the last value; None where that is not known.

    It is made of text, the hashes of which no file can foresee."""
    if type(key) is tuple and all(type(item) in _LEAVES for item in key):
        parts = [_comparable(item) for item in key]
        return None if None in parts else ("tuple", *(text for part in parts for text in part or ()))
    if type(key) is str:
        return "text", key
    if type(key) is Global or key is None:
        return "name", str(key)
    if type(key) not in _LEAVES or key != key:
        return None
    return "number", str(int(key) if isinstance(key, int) or key.is_integer() else key)


def site(name: str, call: Call, path: str, args: Any) -> Site:
    """The tensor that `path(*args)` rebuilds."""
    least = TENSORS[path]
    if type(args) is not tuple or not least <= len(args) <= least + (least > 4):
        raise _malformed(name)
    if least > 4 and not _unhooked(args[4:6]):
        raise _malformed(name)
    if len(args) > least and args[least] is not None and not _empty(args[least]):
        raise InputError(f"tensor {name!r} is a conjugate or negative not worked out", hint="save it with .clone()")
    storage, offset, shape, strides = args[:4]
    identity = storage.id if type(storage) is Persistent else None
    if type(identity) is not tuple or len(identity) != 5:
        raise _malformed(name)
    what, kind, key, location, elements = identity
    named = what == "storage" and type(kind) is Global and type(key) is str and type(location) is str
    if not named or not _sizes(((offset, elements), shape, strides)) or len(shape) != len(strides):
        raise _malformed(name)
    if len(shape) > _RANKS:
        raise InputError(f"tensor {name!r} has {len(shape)} dimensions, more than {_RANKS}")
    held = STORAGES.get(kind.path, "uint8" if kind.path == UNTYPED else None)
    dtype = held if least != 7 else args[6].path.removeprefix("torch.") if type(args[6]) is Global else None
    if held is None or dtype is None or (dtype not in DTYPES and dtype not in PACKED):
        raise InputError(f"tensor {name!r} has elements of a type that thresh does not know: {dtype or kind.path}")
    nbytes = elements * DTYPES[held].itemsize
    return Site(call, args, name, dtype, key, location, nbytes, offset, tuple(shape), tuple(strides))


def _unhooked(args: tuple[Any, ...]) -> bool:
    """Whether `requires_grad` and the hooks are what torch.save writes: a bool, and an OrderedDict of nothing."""
    gradient, hooks = args
    if type(hooks) is Call and hooks.function.path == ORDERED_DICT and not (*hooks.args, *hooks.items):
        hooks = hooks.state
    return type(gradient) is bool and hooks is None


def _empty(metadata: Any) -> bool:
    return type(metadata) is Map and not metadata.items


def _sizes(groups: tuple[Any, ...]) -> bool:
    """Whether all of these are tuples of whole numbers from 0 that fit into 64 bits."""
    return all(
        type(group) is tuple and all(type(size) is int and 0 <= size < 1 << 63 for size in group) for group in groups
    )


def _malformed(name: str) -> InputError:
    return InputError(f"tensor {name!r} is described in a way that torch.save does not use")
