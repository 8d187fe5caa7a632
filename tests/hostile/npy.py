"""Cases of `.npy`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.hostile.case import Case, holding
from tests.test_container_npy import raw_npy

FIELDS = "{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def header(descr: str = "'<f4'", shape: str = "(3,)", order: str = "False") -> str:
    return FIELDS.format(descr=descr, shape=shape, order=order)


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


TWELVE = bytes(range(12))
GOOD = saved(np.arange(6.0).reshape(2, 3))

REFUSED: tuple[tuple[str, bytes, str], ...] = (
    ("empty", b"", "is empty"),
    ("one-byte", b"\x93", "in no format"),
    ("magic-alone", b"\x93NUMPY", "is truncated"),
    ("magic-and-version", b"\x93NUMPY\x01\x00", "is truncated"),
    ("length-without-header", b"\x93NUMPY\x01\x00\x76\x00", "is truncated"),
    ("wide-length-cut", b"\x93NUMPY\x02\x00\x76\x00", "is truncated"),
    ("magic-of-lower-case", b"\x93numpy" + GOOD[6:], "in no format"),
    ("version-0", raw_npy(header(), TWELVE, version=(0, 0)), "version 0.0"),
    ("version-4", raw_npy(header(), TWELVE, version=(4, 0)), "version 4.0"),
    ("version-1.1", raw_npy(header(), TWELVE, version=(1, 1)), "version 1.1"),
    ("version-255", raw_npy(header(), TWELVE, version=(255, 255)), "version 255.255"),
    ("header-length-0", raw_npy(header(), TWELVE, length=0), "damaged .npy header"),
    ("header-length-1", raw_npy(header(), TWELVE, length=1), "damaged .npy header"),
    ("header-longer-than-the-file", raw_npy(header(), TWELVE, length=500), "is truncated"),
    ("header-of-4-gigabytes", raw_npy(header(), TWELVE, version=(2, 0), length=(1 << 32) - 1), "header of"),
    ("header-of-65537", raw_npy(" " * 70_000, version=(2, 0)), "header of"),
    ("header-of-spaces", raw_npy(" " * 200, TWELVE), "damaged .npy header"),
    ("header-of-nul", raw_npy("\0" * 64, TWELVE), "damaged .npy header"),
    ("header-no-dict", raw_npy("[1, 2]", TWELVE), "damaged .npy header"),
    ("header-a-call", raw_npy("dict(descr='<f4')", TWELVE), "damaged .npy header"),
    ("header-an-import", raw_npy("__import__('os').system('touch owned')", TWELVE), "damaged .npy header"),
    ("header-deep", raw_npy("(" * 30_000 + ")" * 30_000, TWELVE, version=(2, 0)), "damaged .npy header"),
    ("header-deep-minus", raw_npy("-" * 60_000 + "1", TWELVE, version=(2, 0)), "damaged .npy header"),
    ("header-deep-sum", raw_npy("1" + "+1" * 30_000, TWELVE, version=(2, 0)), "damaged .npy header"),
    ("header-not-utf8", raw_npy("{'descr': '<f4\xff'}", TWELVE, version=(3, 0)), "damaged .npy header"),
    ("header-more-keys", raw_npy(header()[:-1] + "'more': 1, }", TWELVE), "damaged .npy header"),
    ("header-without-shape", raw_npy("{'descr': '<f4', 'fortran_order': False, }", TWELVE), "damaged .npy header"),
    ("header-unclosed", raw_npy(header()[:-3], TWELVE), "damaged .npy header"),
    ("header-escape", raw_npy("\x1b[2J\x1b]0;x\x07", TWELVE), "damaged .npy header"),
    ("order-a-number", raw_npy(header(order="7"), TWELVE), "damaged .npy header"),
    ("shape-a-number", raw_npy(header(shape="3"), TWELVE), "damaged .npy header"),
    ("shape-a-list", raw_npy(header(shape="[3]"), TWELVE), "damaged .npy header"),
    ("shape-negative", raw_npy(header(shape="(-3,)"), TWELVE), "impossible shape"),
    ("shape-two-negatives", raw_npy(header(shape="(-1, -3)"), TWELVE), "impossible shape"),
    ("shape-of-bools", raw_npy(header(shape="(True, 3)"), TWELVE), "impossible shape"),
    ("shape-of-floats", raw_npy(header(shape="(3.0,)"), TWELVE), "damaged .npy header"),
    ("shape-of-text", raw_npy(header(shape="('3',)"), TWELVE), "damaged .npy header"),
    ("shape-of-none", raw_npy(header(shape="(None,)"), TWELVE), "damaged .npy header"),
    ("shape-of-65-axes", raw_npy(header(shape="(" + "1," * 65 + ")"), TWELVE), "impossible shape"),
    ("shape-of-20000-axes", raw_npy(header(shape="(" + "1," * 20_000 + ")"), TWELVE), "impossible shape"),
    ("shape-too-large", raw_npy(header(shape="(4,)"), TWELVE), "is truncated"),
    ("shape-of-2-to-the-62", raw_npy(header(shape=f"({1 << 62},)"), TWELVE), "is truncated"),
    ("shape-that-wraps-to-0", raw_npy(header(shape=f"({1 << 32}, {1 << 32})"), TWELVE), "is truncated"),
    ("shape-that-wraps-to-3", raw_npy(header(shape=f"({(1 << 64) + 3},)"), TWELVE), "impossible shape"),
    ("shape-of-4000-digits", raw_npy(header(shape=f"({'9' * 4000},)"), TWELVE), "impossible shape"),
    ("shape-of-30000-digits", raw_npy(header(shape=f"({'9' * 30_000},)"), TWELVE), "damaged .npy header"),
    ("dtype-object", raw_npy(header("'|O'"), TWELVE * 2), "Python objects"),
    ("dtype-object-in-a-struct", raw_npy(header("[('a', '|O')]"), TWELVE * 2), "Python objects"),
    ("dtype-struct", raw_npy(header("[('a', '<f4')]"), TWELVE), "not numbers"),
    ("dtype-subarray", raw_npy(header("('<f4', (1,))"), TWELVE), "damaged|not numbers"),
    ("dtype-void", raw_npy(header("'|V4'"), TWELVE), "not numbers"),
    ("dtype-text", raw_npy(header("'<U1'"), TWELVE), "not numbers"),
    ("dtype-bytes", raw_npy(header("'|S4'"), TWELVE), "not numbers"),
    ("dtype-time", raw_npy(header("'<M8[s]'"), TWELVE * 2), "not numbers"),
    ("dtype-span", raw_npy(header("'<m8[ns]'"), TWELVE * 2), "not numbers"),
    ("dtype-f3", raw_npy(header("'<f3'"), TWELVE), "damaged .npy header"),
    ("dtype-float128", raw_npy(header("'<f16'"), TWELVE * 4), "not numbers"),
    ("dtype-complex256", raw_npy(header("'<c32'"), TWELVE * 8), "not numbers"),
    ("dtype-empty-text", raw_npy(header("''"), TWELVE), "damaged .npy header|not numbers"),
    ("dtype-none", raw_npy(header("None"), TWELVE), "damaged .npy header|is truncated|not numbers"),
    ("dtype-number", raw_npy(header("4"), TWELVE), "damaged .npy header"),
    ("dtype-deep", raw_npy(header("[" * 90 + "('a', '<f4')" + "]" * 90), TWELVE), "damaged .npy header"),
    ("dtype-zero-bytes", raw_npy(header("'|V0'"), TWELVE), "not numbers"),
    ("dtype-huge-void", raw_npy(header("'|V2000000000'"), TWELVE), "not numbers"),
    ("cut-in-the-data", GOOD[:-1], "is truncated"),
    ("cut-before-the-data", GOOD[:128], "is truncated"),
    ("cut-in-the-header", GOOD[:100], "is truncated"),
    ("text", b"a,b,c\n1,2,3\n", "in no format"),
    ("zeros", bytes(200), "in no format"),
    ("image", b"\x89PNG\r\n\x1a\n" + bytes(50), "in no format"),
    ("hdf5", b"\x89HDF\r\n\x1a\n" + bytes(50), "in no format"),
    ("gguf", b"GGUF" + bytes(60), "in no format"),
    ("gzip", b"\x1f\x8b\x08" + bytes(60), "in no format"),
    ("pickle", b"\x80\x04\x95" + bytes(60), "in no format"),
)
EXTREMES: dict[str, list[Any]] = {
    "f2": [np.nan, np.inf, -np.inf, 65504, -0.0, 6e-8, 0],
    "f4": [np.nan, np.inf, -np.inf, 3.4e38, -0.0, 1e-45, 0],
    "f8": [np.nan, np.inf, -np.inf, 1.7e308, -0.0, 5e-324, 0],
    "c8": [complex(np.nan, np.inf), complex(0, -np.inf), 3e38 + 3e38j, complex(-0.0, -0.0)],
    "c16": [complex(np.nan, np.inf), complex(0, -np.inf), 1e308 + 1e308j, complex(-0.0, -0.0)],
    **{f"{kind}{size}": [] for kind in "iu" for size in (1, 2, 4, 8)},
    "?": [True, False],
}
SHAPES = {
    "0-d": (),
    "empty": (0,),
    "empty-3d": (4, 0, 3),
    "64-axes": (1,) * 64,
    "one": (1,),
    "row": (1, 7),
    "column": (7, 1),
}


def extreme(kind: str) -> Any:
    if kind[0] in "iu":
        return np.array([np.iinfo(kind).min, np.iinfo(kind).max, 0, 1], kind)
    return np.array(EXTREMES[kind], kind)


def cases() -> Iterator[Case]:
    """All of them."""
    for name, content, said in REFUSED:
        yield Case(f"{name}.npy", holding(content), said)
    for kind in EXTREMES:
        fault = "infinite" if kind[0] in "fc" else None
        for order in "<>":
            yield Case(
                f"extremes-{'big' if order == '>' else 'little'}-{kind}.npy".replace("?", "bool"),
                holding(saved(extreme(kind).astype(f"{order}{kind}"))),
                fault=fault,
            )
    for name, shape in SHAPES.items():
        yield Case(f"shape-{name}.npy", holding(saved(np.full(shape, 2.5, "f4"))))
        yield Case(f"shape-{name}-fortran.npy", holding(saved(np.asfortranarray(np.full(shape, 3, ">i2")))))
    yield Case("shape-empty-and-huge.npy", holding(raw_npy(header(shape=f"(0, {1 << 40})"))))
    yield Case("version-2.npy", holding(raw_npy(header(), TWELVE, version=(2, 0))))
    yield Case("version-3.npy", holding(raw_npy(header(), TWELVE, version=(3, 0))))
    yield Case("header-from-python-2.npy", holding(raw_npy(header(shape="(3L,)"), TWELVE)))
    yield Case(
        "header-in-other-words.npy", holding(raw_npy('{"shape":(3,),"descr":"<f4","fortran_order":False}', TWELVE))
    )
    yield Case("dtype-of-no-size.npy", holding(raw_npy(header("'<f'"), TWELVE)))
    yield Case("dtype-native-order.npy", holding(raw_npy(header("'=f4'"), TWELVE)))
    yield Case("dtype-by-name.npy", holding(raw_npy(header("'float32'"), TWELVE)))
    yield Case(
        "dtype-bool-of-other-bytes.npy", holding(raw_npy(header("'|b1'"), b"\x00\x01\x07")), fault="neither 0 nor 1"
    )
    yield Case("bytes-behind-the-end.npy", holding(GOOD + b"abc"), fault="3 bytes behind its end")
    yield Case("another-array-behind.npy", holding(GOOD + GOOD), fault="bytes behind its end")
    yield Case("named-safetensors.safetensors", holding(GOOD))
    yield Case("named-pt.pt", holding(GOOD))
    yield Case("name-with-\x1b[31m\n-escapes.npy", holding(GOOD))
    yield Case("ﬁ-\u202e-\U0001f600.npy", holding(GOOD))
    yield Case("n" * 251 + ".npy", holding(GOOD))
