"""Lies in the headers of arrays."""

from __future__ import annotations

import re
from random import Random

from tests.fuzz.mutations import damaged

_DESCRS = (
    *(
        "<f4",
        ">f8",
        "|u1",
        "<c16",
        "<f16",
        "|b1",
        "<M8[s]",
        "|O",
        "|S5",
        "<U3",
        "|V4",
        "<f2",
        ">i2",
        "f",
        "=f4",
        "<f4,",
        "",
    ),
    *(
        "(3,)f4",
        "<f4" * 50,
        "<i999999999999",
        "i4,f4",
        "<c8",
        ">b1",
        "float32",
        "\0",
        "<u8\n",
        "|S0",
        "|V0",
        "<U0",
        "1f4",
    ),
)
_SHAPES = (
    *("()", "(0,)", "(1,)", "(5,)", "(-1,)", "(True,)", "(1.0,)", "(2**3,)", "(4)", "[4]", "(0, 9223372036854775807)"),
    *("(9223372036854775807, 9223372036854775807, 0)", f"({'9' * 4000},)", f"({'9' * 4000}, {'9' * 4000})", "(1j,)"),
    *(
        "(1,) * 70",
        f"({'1,' * 64})",
        f"({'1,' * 65})",
        f"({'0,' * 64})",
        f"({'2,' * 63})",
        "('a',)",
        "None",
        "(1L,)",
        "{1}",
    ),
    *(
        "(4294967296, 4294967296)",
        "(18446744073709551616,)",
        "((1,),)",
        "(" * 150 + ")" * 150,
        "(--1,)",
        "(0x10,)",
        "(1_0,)",
    ),
    *("(9223372036854775808, 0)", "(0, 18446744073709551616)", f"(0, {'9' * 4000})", "(2305843009213693952, 2, 0)"),
)
_VALUES = ("True", "False", "1", "None", "'a'", "[]", "not True", "lambda: 0", "__import__('os')", "True, 'x': 1")


def npy(random: Random, data: bytes) -> bytes:
    """An array whose header lies."""
    wide = data[6] >= 2
    start = 12 if wide else 10
    length = int.from_bytes(data[8:start], "little")
    text, rest = data[start : start + length].decode("latin-1"), data[start + length :]
    if random.random() < 0.6:
        wanted = random.choice(_SHAPES)
        text = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {wanted}", text)
    if random.random() < 0.4:
        kind = random.choice(_DESCRS)
        text = re.sub(r"'descr': ('[^']*'|\[[^]]*\])", lambda _: f"'descr': {kind!r}", text)
    if random.random() < 0.2:
        order = random.choice(_VALUES)
        text = re.sub(r"'fortran_order': \w+", lambda _: f"'fortran_order': {order}", text)
    if random.random() < 0.15:
        text = damaged(random, text.encode("latin-1")).decode("latin-1")
    if random.random() < 0.1:
        text = random.choice((text.replace(",", "", 1), text + " " * 70_000, text.rstrip(), "[" * 5000, "{}", text * 2))
    version = random.choice((1, 1, 1, 2, 3, 3, 0, 4, 255))
    header = text.encode("latin-1")
    size = (len(header) + random.choice((0, 0, 0, 0, -1, 1))) % (1 << 16)
    rest = random.choice((rest, rest, rest, rest[:-1], rest + bytes(9)))
    return (
        data[:6]
        + bytes((version, random.choice((0, 0, 0, 0, 1))))
        + size.to_bytes(4 if version >= 2 else 2, "little")
        + header
        + rest
    )
