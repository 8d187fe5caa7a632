"""Damage that knows the format: lies that are well-formed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz.mutations import damaged

NUMBERS: Sequence[Any] = (
    *(0, 1, -1, 2, 3, 5, 7, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
    *(2**64, -(2**63), 10**30, 10**4000, 0.5, -0.0, 1e-320, 1e308, 1.5e9, float("inf"), float("nan")),
)
TEXTS = (
    *("", "a", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b", "a\nb", "\x1b[31m", "\u202e", "\ud800", "é" * 200),
    *("x" * 5000, "[x]", "[/x]", "{name}", "*", "**", "[", "%s", "NaN", "Infinity", "-Infinity", "1e999", "0x10", "\\"),
    *(
        "__metadata__",
        "thresh",
        "thresh.bits",
        "thresh.bitmask",
        "F32",
        "F4",
        "BOOL",
        "I64",
        "C64",
        "F8_E8M0",
        "F6_E2M3",
    ),
    *(
        "float32",
        "bool",
        "otsu",
        "p50",
        "top3",
        "zero50%",
        "@x.npy",
        "local-mean:3",
        "1-2",
        "local-median:999999999",
        "a.weight",
    ),
)
_EMPTY = ([0], [2**63 - 1, 0], [0, 2**40], [10**9, 0], [2**31, 2**31, 0], [0] * 64, [2**20, 0, 2**20], [3, 0])
"""Shapes of no elements."""


def strange(random: Random) -> Any:
    """Any value of JSON."""
    kind = random.randrange(12)
    if kind < 5:
        return random.choice(NUMBERS)
    if kind < 9:
        return random.choice(TEXTS)
    few = random.randint(0, 3)
    return random.choice((None, True, False, [], {}, [strange(random) for _ in range(few)], {"a": strange(random)}))


def holders(tree: Any) -> list[Any]:
    """All lists and objects that hold something."""
    found, left = [], [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict | list) and node:
            found.append(node)
            left.extend(node.values() if isinstance(node, dict) else node)
    return found


def change(random: Random, tree: Any) -> None:
    """One change to a tree of JSON."""
    places = holders(tree)
    if not places:
        return
    holder = random.choice(places)
    key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    action = random.randrange(8)
    if action < 4:
        holder[key] = strange(random)
    elif action == 4:
        del holder[key]
    elif action == 5:
        other = random.choice(places)
        holder[key] = json.loads(json.dumps(other[random.choice(list(other))] if isinstance(other, dict) else other[0]))
    elif isinstance(holder, dict):
        holder[random.choice((random.choice(TEXTS), str(strange(random))[:50]))] = holder[key]
        if action == 6:
            holder.pop(key, None)
    else:
        holder.insert(key, strange(random))


def told(random: Random, tree: Any) -> str:
    """A tree of JSON as text, now and then with what no tree has: names twice, deep nesting."""
    text = json.dumps(tree, ensure_ascii=random.random() < 0.5)
    action = random.randrange(12)
    if action == 0:
        entries = list(re.finditer(r'"[^"]*": (?:"[^"]*"|[-0-9.e]+)', text))
        if entries:
            entry = random.choice(entries)
            text = text[: entry.end()] + ", " + entry[0] + text[entry.end() :]
    elif action == 1:
        opening, closing = random.choice(("[]", ('{"a":', "}")))
        deep = random.choice((20, 130, random.randint(300, 990), 3000, 100_000))
        values = list(re.finditer(r"(?<=: )(?:-?\d[-+.\de]*|null|true|false|\"[^\"]*\")", text))
        if values:
            value = random.choice(values)
            text = text[: value.start()] + opening * deep + "0" + closing * deep + text[value.end() :]
    elif action == 2:
        text = text.replace(" ", random.choice(("", "\n", "\t", "\v", "\u00a0")), random.randint(1, 5))
    return text


def json_text(random: Random, data: bytes) -> bytes:
    """A file that is JSON, changed as such."""
    tree = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        change(random, tree)
    return told(random, tree).encode("utf-8", "surrogatepass")


def _told_strangely(random: Random, tree: Any, rest: bytes) -> bytes:
    """A sound file of strange names, and metadata that means something, or should."""
    told = tree.setdefault("__metadata__", {})
    if random.random() < 0.3:
        tree["none.weight"] = {
            "dtype": random.choice(("F32", "U8", "BOOL")),
            "shape": [0],
            "data_offsets": [len(rest)] * 2,
        }
    sound = dict(told)
    renamed = {name if name in told else random.choice((name, random.choice(TEXTS))): tree[name] for name in tree}
    renamed["__metadata__"] = told
    for entry in [entry for entry in renamed.values() if len(set(entry.get("data_offsets", "ab"))) == 1]:
        entry["shape"] = random.choice(_EMPTY)
    for _ in range(random.randint(0, 3)):
        key = random.choice(("thresh", "thresh.bits", "thresh.bitmask", random.choice(TEXTS), *told))
        old = sound.get(key, "")
        old = old if old.startswith("{") else '{"rule": "hard", "threshold": "0.5", "before": []}'
        told[key] = random.choice((json_text(random, old.encode()).decode("utf-8", "replace"), random.choice(TEXTS)))
    if len(renamed) < len(tree):  # two of one name: what is left would have holes
        renamed = {**tree, "__metadata__": told}
    text = json.dumps(renamed, ensure_ascii=False).encode("utf-8", "replace")
    return len(text).to_bytes(8, "little") + text + rest


def safetensors(random: Random, data: bytes) -> bytes:
    """A safetensors file whose header lies, of the right length or nearly."""
    length = int.from_bytes(data[:8], "little")
    tree, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    if random.random() < 0.3:
        return _told_strangely(random, tree, rest)
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        change(random, tree)
    text = told(random, tree).encode("utf-8", "surrogatepass")
    if random.random() < 0.1:
        text = damaged(random, text)
    text += b" " * random.choice((0, -len(text) % 8, 1, 1000))
    stated = len(text) if random.random() < 0.9 else max(0, len(text) + random.choice((-8, -1, 1, 8, 1 << 40)))
    if random.random() < 0.2:
        rest = random.choice((rest[:-1], rest + b"\0", b"", rest * 2))
    return stated.to_bytes(8, "little") + text + rest
