"""Cases of the index of a sharded checkpoint, each with its shards in a folder of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from tests.hostile.case import Case, Make
from tests.hostile.npy import GOOD as ARRAY

A, B = "a.safetensors", "b.safetensors"
Document = dict[str, Any]
Change = Callable[[Path, Document], object]
"""Changes the files in a folder and what the index beside them says; bytes that it gives stand in the index instead."""


def shard(*names: str) -> bytes:
    return save({name: np.arange(1, 4, dtype=np.float32) + number for number, name in enumerate(names)})


def indexed(change: Change, name: str = "model.safetensors.index.json") -> Make:
    """A sound checkpoint of two shards, changed."""

    def make(path: Path) -> None:
        (path.parent / A).write_bytes(shard("x", "y"))
        (path.parent / B).write_bytes(shard("z"))
        document: Document = {"metadata": {"total_size": 36}, "weight_map": {"x": A, "y": A, "z": B}}
        text = change(path.parent, document)
        path.write_bytes(text if isinstance(text, bytes) else json.dumps(document).encode())

    return make


def leads(more: str, tensor: str = "z") -> Change:
    """A tensor that is listed in a shard of this name."""
    return lambda folder, document: document["weight_map"].update({tensor: more})


def says(text: bytes) -> Change:
    return lambda folder, document: text


def makes(text: Callable[[], bytes]) -> Change:
    return lambda folder, document: text()


def beside(name: str, content: bytes) -> Change:
    """Another content of a shard."""
    return lambda folder, document: (folder / name).write_bytes(content)


def weights(value: Any) -> Change:
    return lambda folder, document: document.update(weight_map=value)


def out_of_the_folder(folder: Path, document: Document) -> None:
    (folder / "deep").mkdir()
    (folder / B).rename(folder / "deep" / B)
    (folder / B).symlink_to(Path("deep") / B)


def inside(folder: Path, document: Document) -> None:
    (folder / B).rename(folder / "blob")
    (folder / B).symlink_to("blob")


def a_loop(folder: Path, document: Document) -> None:
    (folder / B).unlink()
    (folder / B).symlink_to(B)


def lost(folder: Path, document: Document) -> None:
    (folder / B).unlink()
    (folder / B).symlink_to("nowhere.safetensors")


def a_folder(folder: Path, document: Document) -> None:
    (folder / B).unlink()
    (folder / B).mkdir()


def a_pipe(folder: Path, document: Document) -> None:
    """That nobody writes to: to open it is to wait for ever."""
    (folder / B).unlink()
    os.mkfifo(folder / B)


def damaged(folder: Path, document: Document) -> None:
    """A byte among the elements of a shard that has checksums."""
    torch.save({"z": torch.full((999,), 2.5)}, folder / "b.bin")
    data = bytearray((folder / "b.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "b.bin").write_bytes(data)
    document["weight_map"]["z"] = "b.bin"


def everywhere(names: dict[str, str]) -> Change:
    """Names of tensors, as they stand in the index and in a shard."""

    def change(folder: Path, document: Document) -> None:
        (folder / B).write_bytes(shard(*names.values()))
        document["weight_map"] = {"x": A, "y": A, **dict.fromkeys(names, B)}

    return change


def nested(depth: int) -> bytes:
    return b'{"weight_map":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def mapped(shards: dict[str, str]) -> bytes:
    return json.dumps({"weight_map": shards}).encode()


def many(count: int) -> Change:
    return everywhere({name: name for name in (f"model.layers.{number}.weight" for number in range(count))})


PLAIN, JSON = "no plain name", "is not JSON"
REFUSED: tuple[tuple[str, Change, str], ...] = (
    ("shard-missing", lambda folder, document: (folder / B).unlink(), "b.safetensors: no such file"),
    ("shard-of-no-file", leads("c.safetensors"), "c.safetensors: no such file"),
    ("shard-above", leads("../shard-missing/b.safetensors"), PLAIN),
    ("shard-absolute", leads("/etc/passwd"), PLAIN),
    ("shard-below", leads("deep/b.safetensors"), PLAIN),
    ("shard-of-backslashes", leads("..\\b.safetensors"), PLAIN),
    ("shard-of-dots", leads(".."), PLAIN),
    ("shard-of-one-dot", leads("."), PLAIN),
    ("shard-without-a-name", leads(""), PLAIN),
    ("shard-with-nul", leads("b\0.safetensors"), PLAIN),
    ("shard-with-half-a-character", leads("\ud800"), PLAIN),
    ("shard-with-a-long-name", leads("b" * 256), PLAIN),
    ("shard-with-an-escape", leads("\x1b[2J\n\u202e.safetensors"), "x1b.*no such file"),
    ("shard-the-index-itself", leads("model.safetensors.index.json"), PLAIN),
    ("shard-another-index", leads("other.JSON"), PLAIN),
    ("shard-linked-out", out_of_the_folder, "leads out of its folder"),
    ("shard-linked-to-itself", a_loop, "symbolic links"),
    ("shard-linked-to-nothing", lost, "no such file"),
    ("shard-a-folder", a_folder, "is a folder"),
    ("shard-a-pipe", a_pipe, "is a pipe"),
    ("shard-empty", beside(B, b""), "is empty"),
    ("shard-of-text", beside(B, b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "no format"),
    ("shard-cut", beside(B, shard("z")[:-1]), "not a sound safetensors file"),
    ("shard-cut-in-its-header", beside(B, shard("z")[:20]), "is truncated"),
    ("shard-of-an-array", beside(B, ARRAY), "lists tensor 'z'"),
    ("tensor-in-no-shard", leads(A, "more"), "lists tensor 'more'"),
    ("tensor-in-the-wrong-shard", leads(A), "lists tensor 'z'"),
    ("tensor-in-two-shards", beside(B, shard("z", "x")), "tensor 'x' is in two shards"),
    ("tensor-with-an-escape", leads(A, "\x1b[2J\x9b\u202e"), "x1b.*x9b"),
    ("tensors-of-one-shard-gone", beside(B, shard()), "lists tensor 'z'"),
    ("map-empty", weights({}), "weight_map is empty"),
    ("map-a-list", weights([A, B]), "no weight_map"),
    ("map-text", weights(A), "no weight_map"),
    ("map-null", weights(None), "no weight_map"),
    ("map-missing", lambda folder, document: document.pop("weight_map"), "no weight_map"),
    ("map-of-numbers", weights({"x": 1}), "no file for tensor 'x'"),
    ("map-of-lists", weights({"x": [A]}), "no file for tensor 'x'"),
    ("map-of-nothing", weights({"x": None}), "no file for tensor 'x'"),
    ("twice-a-tensor", says(b'{"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}}'), "'x' stands in it twice"),
    ("twice-by-escapes", says(b'{"weight_map": {"x": "a", "\\u0078": "b"}}'), "'x' stands in it twice"),
    ("twice-a-map", says(b'{"weight_map": {"x": "a"}, "weight_map": {"y": "b"}}'), "'weight_map' stands in it twice"),
    ("twice-a-size", says(b'{"metadata": {"total_size": 1, "total_size": 2}}'), "'total_size' stands in it twice"),
    ("json-nothing", says(b""), JSON),
    ("json-cut", says(b'{"weight_map": {"x": "a.safe'), JSON),
    ("json-list", says(b"[]"), "no weight_map"),
    ("json-number", says(b"7"), "no weight_map"),
    ("json-of-python", says(b"{'weight_map': {'x': 'a.safetensors'}}"), JSON),
    ("json-with-a-comment", says(b'{} // {"weight_map": {}}'), JSON),
    ("json-two-documents", says(b"{}{}"), JSON),
    ("json-size-nan", says(b'{"metadata": {"total_size": NaN}, "weight_map": {"x": "a.safetensors"}}'), JSON),
    ("json-size-infinite", says(b'{"metadata": {"total_size": -Infinity}, "weight_map": {}}'), JSON),
    ("json-of-5000-digits", says(b'{"metadata": {"total_size": ' + b"9" * 5000 + b"}}"), JSON),
    ("json-deep-lists", says(b"[" * 100_000), JSON),
    ("json-deep-objects", says(nested(50_000)), JSON),
    ("json-not-utf8", says(b'{"weight_map": {"\xff": "a.safetensors"}}'), JSON),
    ("json-zeros", says(bytes(5000)), JSON),
    ("json-a-tensor-file", says(shard("x")), JSON),
    ("json-too-long", lambda folder, document: b" " * (1 << 25) + b"{}", "too long for an index"),
)
BOMBS: tuple[tuple[str, Callable[[], bytes], str], ...] = (
    ("bomb-of-objects", lambda: b'{"a": [' + b"{}," * 9_000_000 + b"{}]}", "more parts than"),
    ("bomb-of-keys", lambda: b'{"weight_map": {' + b'"":"",' * 5_000_000 + b'"":""}}', "more parts than"),
    ("bomb-of-numbers", lambda: b'{"metadata": [' + b"257," * 8_000_000 + b"1]}", "more parts than"),
    ("bomb-of-depth", lambda: b"[" * 262_144 + b"]" * 262_144, JSON),
    ("bomb-of-tensors", lambda: mapped({f"{number}": A for number in range(262_000)}), "lists tensor"),
    ("bomb-of-shards", lambda: mapped({f"{number}": f"{number}" for number in range(10_000)}), "lacks 10,000 of"),
)
NAMES = ("", ".", "../x", "/abs", "a\nb", "\x1b[31m", "\0", "\u202ez", "\ufeff", "\U0001f600", "[bold]", "{stem}", "*")
UTF16 = "{'weight_map': {'x': 'a.safetensors', 'y': 'a.safetensors', 'z': 'b.safetensors'}}".replace("'", '"')
READ: tuple[tuple[str, Change], ...] = (
    ("sound", lambda folder, document: None),
    ("names", everywhere({name: name for name in NAMES})),
    ("order-mixed", weights({"z": B, "y": A, "x": A})),
    ("metadata-missing", lambda folder, document: document.pop("metadata")),
    ("metadata-a-list", lambda folder, document: document.update(metadata=[1, {"a": None}])),
    ("metadata-strange", lambda folder, document: document.update(metadata={"\x1b[2J": "\x9b\n", "a": {"b": ["c"]}})),
    ("size-wrong", lambda folder, document: document.update(metadata={"total_size": -1})),
    ("size-of-text", lambda folder, document: document.update(metadata={"total_size": "36"})),
    ("size-beyond-floats", says(UTF16.replace("{", '{"metadata": {"total_size": 1e999}, ', 1).encode())),
    ("tensor-not-listed", weights({"x": A, "z": B})),
    ("shard-linked-inside", inside),
    ("with-a-mark", says(b"\xef\xbb\xbf" + UTF16.encode())),
    ("in-utf16", says(UTF16.encode("utf-16"))),
    ("in-utf32", says(UTF16.encode("utf-32-le"))),
)


def cases() -> Iterator[Case]:
    """All of them."""
    name = "model.safetensors.index.json"
    for folder, change, said in REFUSED:
        yield Case(f"index-{folder}/{name}", indexed(change), said, heavy=change is a_pipe)
    yield Case(f"index-shard-damaged/{name}", indexed(damaged), "CRC-32", fault="CRC-32")
    for folder, text, said in BOMBS:
        yield Case(f"index-{folder}/{name}", indexed(makes(text)), said, heavy=True)
    for folder, change in READ:
        yield Case(f"index-{folder}/{name}", indexed(change))
    yield Case(f"index-10000-tensors/{name}", indexed(many(10_000)), heavy=True)
