"""Cases of `.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.files import CODES
from tests.hostile.case import Case, holding, repeated
from tests.reference import pack, special
from tests.test_container_safetensors import entry, raw
from threshcli.dtypes import DTYPES

ONE = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
EIGHT = b"12345678"
NO_BYTES = b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
SOUND = "not a sound safetensors file"

REFUSED: tuple[tuple[str, bytes, str], ...] = (
    ("eight-bytes", b"\x02\0\0\0\0\0\0\0", "in no format|truncated"),
    ("length-0", bytes(8) + b"{}", "truncated|sound|no format"),
    ("length-1", (1).to_bytes(8, "little") + b"{}", SOUND),
    ("length-beyond-the-file", raw({"x": entry()}, EIGHT, length=1000), "is truncated"),
    ("length-of-100-million", raw({"x": entry()}, EIGHT, length=100_000_000), "is truncated"),
    ("length-over-the-limit", raw({"x": entry()}, EIGHT, length=100_000_001), "in no format"),
    ("length-negative", raw({"x": entry()}, EIGHT, length=(1 << 64) - 1), "in no format"),
    ("header-cut", raw({"x": entry()}, EIGHT)[:30], "is truncated"),
    ("data-cut", raw({"x": entry()}, EIGHT)[:-1], SOUND),
    ("data-gone", raw({"x": entry()}), SOUND),
    ("bytes-behind-the-end", raw({"x": entry()}, EIGHT + b"x"), SOUND),
    ("hole-between", raw({"x": entry(), "y": entry(first=12, last=20)}, EIGHT * 3), SOUND),
    ("hole-before", raw({"x": entry(first=8, last=16)}, EIGHT * 2), SOUND),
    ("overlap", raw({"x": entry(), "y": entry(first=4, last=12)}, EIGHT + b"1234"), SOUND),
    ("the-same-bytes-twice", raw({"x": entry(), "y": entry()}, EIGHT), SOUND),
    ("offsets-backwards", raw({"x": entry(first=8, last=0)}, EIGHT), SOUND),
    ("offsets-negative", raw({"x": entry(first=-8, last=0)}, EIGHT), SOUND),
    ("offsets-beyond", raw({"x": entry(first=0, last=1 << 40)}, EIGHT), SOUND),
    ("offsets-that-wrap", raw({"x": entry(first=0, last=(1 << 64) - 1)}, EIGHT), SOUND),
    ("offsets-above-64-bits", raw({"x": entry(first=0, last=1 << 64)}, EIGHT), SOUND),
    ("offsets-of-floats", raw(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}}', EIGHT), SOUND),
    ("offsets-three", raw(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}', EIGHT), SOUND),
    ("offsets-one", raw(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[8]}}', EIGHT), SOUND),
    ("shape-too-small", raw({"x": entry(shape=(1,))}, EIGHT), SOUND),
    ("shape-too-large", raw({"x": entry(shape=(3,))}, EIGHT), SOUND),
    ("shape-that-wraps", raw({"x": entry(shape=(1 << 63, 4))}, EIGHT), SOUND),
    ("shape-negative", raw({"x": entry(shape=(-2,))}, EIGHT), SOUND),
    ("shape-of-text", raw(b'{"x":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}', EIGHT), SOUND),
    ("shape-null", raw(b'{"x":{"dtype":"F32","shape":null,"data_offsets":[0,8]}}', EIGHT), SOUND),
    ("dtype-unknown", raw({"x": entry("F99")}, EIGHT), SOUND),
    ("dtype-lower-case", raw({"x": entry("f32")}, EIGHT), SOUND),
    ("dtype-number", raw(b'{"x":{"dtype":3,"shape":[2],"data_offsets":[0,8]}}', EIGHT), SOUND),
    ("dtype-missing", raw(b'{"x":{"shape":[2],"data_offsets":[0,8]}}', EIGHT), SOUND),
    ("dtype-twice", raw(b'{"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', EIGHT), SOUND),
    ("name-twice", raw(b'{"x":' + ONE + b',"x":' + ONE + b"}", EIGHT), SOUND),
    ("name-twice-by-escapes", raw(b'{"x":' + ONE + b',"\\u0078":' + ONE + b"}", EIGHT), SOUND),
    ("name-a-lone-surrogate", raw(b'{"\\ud800":' + ONE + b"}", EIGHT), SOUND),
    ("name-not-utf8", raw(b'{"\xff":' + ONE + b"}", EIGHT), SOUND),
    ("metadata-of-numbers", raw({"__metadata__": {"a": 1}, "x": entry()}, EIGHT), SOUND),
    ("metadata-nested", raw({"__metadata__": {"a": {"b": "c"}}, "x": entry()}, EIGHT), SOUND),
    ("metadata-a-list", raw({"__metadata__": ["a"], "x": entry()}, EIGHT), SOUND),
    ("metadata-text", raw({"__metadata__": "a", "x": entry()}, EIGHT), SOUND),
    ("header-a-list", raw(b"[" + ONE + b"]", EIGHT), "no format"),
    ("header-a-number", raw(b"7"), "no format"),
    ("header-unclosed", raw(b'{"x":' + ONE, EIGHT), SOUND),
    ("header-with-a-comma", raw(b'{"x":' + ONE + b",}", EIGHT), SOUND),
    ("header-with-a-comment", raw(b'{"x":' + ONE + b"/* */}", EIGHT), SOUND),
    ("header-with-nul", raw(b'{"x":' + ONE + b"}\0\0\0", EIGHT), SOUND),
    ("header-nan", raw(b'{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', EIGHT), SOUND),
    ("header-deep-lists", raw(b'{"x":' + b"[" * 100_000), SOUND),
    ("header-deep-objects", raw(b'{"x":' * 100_000), SOUND),
    ("header-deep-and-closed", raw(b'{"x":' * 50_000 + b"1" + b"}" * 50_000), SOUND),
    ("entry-a-list", raw(b'{"x":[]}'), SOUND),
    ("entry-null", raw(b'{"x":null}'), SOUND),
    ("digits", raw(b'{"x":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}', EIGHT), SOUND),
)
BOMBS: tuple[tuple[str, bytes, bytes, int, bytes], ...] = (
    ("bomb-of-axes", b'{"a":{"dtype":"U8","shape":[', b"0,", 5_000_000, b'0],"data_offsets":[0,0]}}'),
    ("bomb-of-lists", b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":[', b"[],", 4_000_000, b"[]]}}"),
    ("bomb-of-objects", b'{"a":' + NO_BYTES + b',"x":[', b"{},", 4_000_000, b"{}]}"),
    ("bomb-of-depth", b'{"a":', b"[", 20_000_000, b"}"),
    ("bomb-of-numbers", b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[', b"0,", 5_000_000, b"0]}}"),
)


def bomb(start: bytes, part: bytes, times: int, end: bytes) -> bytes:
    return raw(repeated(start, part, times, end))


def every_dtype() -> bytes:
    """The extremes of each dtype that has a code here."""
    header: dict[str, Any] = {"__metadata__": {"a": "\x1b[31m", "": "é\u202e"}}
    data = b""
    for name, code in CODES.items():
        kind = DTYPES[name]
        content = pack(special(kind), kind) if kind.is_real else [bytes(kind.itemsize * 2), b"\xff" * kind.itemsize][0]
        size = len(content) // kind.itemsize
        header[f"{name}"] = entry(code, (size,), len(data), len(data) + len(content))
        data += bytes(content)
    return raw(header, data)


def many(count: int) -> bytes:
    """So many tensors of one byte."""
    header = {f"layers.{number}.weight": entry("U8", (1,), number, number + 1) for number in range(count)}
    return raw(header, bytes(count))


NAMES = (
    *(
        "",
        " ",
        ".",
        "..",
        "../../etc/passwd",
        "/abs",
        "a/b",
        "a\\b",
        "a\nb",
        "a\tb",
        "\x1b[2J",
        "\x9b31m",
        "\0",
        "\x7f",
    ),
    *("\u202eabc", "\ufeff", "é", "e\u0301", "\U0001f600", "[bold]x[/bold]", "{stem}", "%s", "*", "[a-z]", "-k"),
    "x" * 3000,
)


def cases() -> Iterator[Case]:
    """All of them."""
    for name, content, said in REFUSED:
        yield Case(f"{name}.safetensors", holding(content), said)
    for name, *parts in BOMBS:
        said = "tensors or pairs" if "objects" in name else SOUND
        yield Case(f"{name}.safetensors", holding(lambda parts=parts: bomb(*parts)), said, heavy=True)  # type: ignore[misc]
    yield Case("every-dtype.safetensors", holding(every_dtype()), fault="infinite")
    names = {name: entry("U8", (1,), number, number + 1) for number, name in enumerate(NAMES)}
    yield Case("names.safetensors", holding(raw(names, bytes(len(NAMES)))))
    yield Case("10000-tensors.safetensors", holding(lambda: many(10_000)), heavy=True)
    yield Case("no-tensors.safetensors", holding(raw({})))
    yield Case("metadata-alone.safetensors", holding(raw({"__metadata__": {"a": "b" * 100_000}})))
    yield Case("metadata-null.safetensors", holding(raw(b'{"__metadata__":null,"x":' + ONE + b"}", EIGHT)))
    yield Case("0-d.safetensors", holding(raw({"x": entry(shape=(), last=4)}, b"1234")))
    yield Case("no-elements.safetensors", holding(raw({"x": entry(shape=(0, 5), last=0)})))
    yield Case("no-elements-and-huge.safetensors", holding(raw({"x": entry(shape=(0, 1 << 40), last=0)})))
    yield Case("100-axes.safetensors", holding(raw({"x": entry(shape=(1,) * 99 + (2,))}, EIGHT)), "more than 64")
    yield Case("space-before.safetensors", holding(raw(b' {"x":' + ONE + b"}", EIGHT)))
    yield Case("spaces-behind.safetensors", holding(raw(b'{"x":' + ONE + b"}" + b" " * 5000, EIGHT)))
    yield Case("not-aligned.safetensors", holding(raw(b'{"x":' + ONE + b"} ", EIGHT)))
    yield Case("more-keys.safetensors", holding(raw({"x": {**entry(), "more": [1, {"a": None}]}}, EIGHT)))
    yield Case("order-of-bytes.safetensors", holding(raw({"b": entry(first=8, last=16), "a": entry()}, EIGHT * 2)))
    yield Case(
        "bools.safetensors", holding(raw({"x": entry("BOOL", (3,), 0, 3)}, b"\x00\x01\x80")), fault="neither 0 nor 1"
    )
    yield Case(
        "packed.safetensors", holding(raw({"x": entry("F4", (4,), 0, 2), "y": entry(first=2, last=10)}, b"12" + EIGHT))
    )
    yield Case("named-npy.npy", holding(raw({"x": entry()}, EIGHT)))
    yield Case("named-json.txt", holding(json.dumps({"x": entry()}).encode()), "in no format")
