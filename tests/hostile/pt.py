"""Cases of `.pt`: archives, and the pickles in them."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch

from tests.hostile.case import Case, holding, repeated
from tests.pt_files import repacked, saved
from tests.test_container_pt_hostile import integer, one, tensor

GOOD = saved({"w": torch.arange(6.0), "n": [1, "two"]})
DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e5m2fnuz"),
    *("float8_e4m3fnuz", "float8_e8m0fnu", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "complex64", "complex128"),
)


class Evil:
    """What a pickle would run."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def zipped(*records: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in records:
            file.writestr(name, content)
    return out.getvalue()


def structure(data: bytes = GOOD) -> bytes:
    """The pickle of a checkpoint."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return file.read("archive/data.pkl")


def ended(data: bytes, **fields: int) -> bytes:
    """An archive whose end says something else: `entries`, the directory's `size` and `start`, and its `comment`."""
    at = data.rfind(b"PK\x05\x06")
    values = list(struct.unpack_from("<4sHHHHIIH", data, at))
    places = {"disk": (1,), "entries": (3, 4), "size": (5,), "start": (6,), "comment": (7,)}
    for name, value in fields.items():
        for place in places[name]:
            values[place] = value
    return data[:at] + struct.pack("<4sHHHHIIH", *values) + data[at + 22 :]


def plain_zip() -> bytes:
    """The good one as zipfile writes it, without the fields of zip64."""
    return repacked(GOOD, lambda name, content: content)


NESTED = b"ctorch._utils\n_rebuild_parameter\n(" * 200 + b"N\x88N" + b"tR\x88N" * 199 + b"tR"
HOOKED = tensor().replace(b"ccollections\nOrderedDict\n)R", b"ccollections\nOrderedDict\n)R}U\x01aK\x01sb")
LONG = tensor(elements=1).replace(integer(1), b"\x8a\xff" + b"\x7f" * 255, 1)
TWICE = zipped(("x/data.pkl", structure()), ("x/data/0", bytes(24)), ("x/data/1", b"")).replace(b"data/1", b"data/0")
MIDDLE = b"PK\x03\x04" + bytes(1 << 25) + ended(zipped()[-22:], size=20 << 20, start=1 << 20)


def changed(record: str, change: Callable[[bytes], bytes | None]) -> bytes:
    """The good archive with one record changed, or without it."""
    return repacked(GOOD, lambda name, data: change(data) if name.endswith(record) else data)


ARCHIVES: tuple[tuple[str, bytes, str], ...] = (
    ("magic-alone", b"PK\x03\x04", "no format|cannot be read|truncated"),
    ("empty-archive", zipped(), "not a zip archive"),
    ("legacy", saved([torch.ones(2)], _use_new_zipfile_serialization=False), "not a zip archive"),
    ("legacy-tar", b"./tar" + bytes(600), "no format"),
    ("cut-by-one", GOOD[:-1], "cannot be read|overlap|damaged"),
    ("cut-in-half", GOOD[: len(GOOD) // 2], "cannot be read"),
    ("cut-in-the-directory", GOOD[:-150], "cannot be read"),
    ("deflated", repacked(GOOD, lambda name, data: data, zipfile.ZIP_DEFLATED), "compressed"),
    ("lzma", repacked(GOOD, lambda name, data: data, zipfile.ZIP_LZMA), "compressed"),
    ("bomb-of-zeros", zipped(("x/data.pkl", bytes(30_000_000)), method=zipfile.ZIP_DEFLATED), "compressed"),
    ("records-of-two-folders", zipped(("a/data.pkl", structure()), ("b/data/0", bytes(24))), "has not written it"),
    ("records-without-a-folder", zipped(("data.pkl", structure()), ("data/0", bytes(24))), "has not written it"),
    ("record-twice", TWICE, "has not written it"),
    ("record-above", zipped(("../data.pkl", structure()), ("../data/0", bytes(24)), ("../version", b"3\n")), "fine"),
    ("no-pickle", zipped(("x/data/0", bytes(24)), ("x/version", b"3\n")), "without data.pkl"),
    ("no-storage", changed("data/0", lambda data: None), "missing or cut"),
    ("storage-short", changed("data/0", lambda data: data[:-4]), "missing or cut"),
    ("storage-long", changed("data/0", lambda data: data + b"1234"), "missing or cut"),
    ("byte-order-strange", changed("byteorder", lambda data: b"middle"), "byte order"),
    ("pickle-changed", GOOD.replace(b"two", b"tow"), "checksum of data.pkl"),
    ("torchscript", zipped(("x/constants.pkl", b""), ("x/data.pkl", b""), ("x/code/a.py", b"")), "TorchScript"),
    ("npz", zipped(("a.npy", b"\x93NUMPY")), "has not written it"),
    ("jar", zipped(("META-INF/MANIFEST.MF", b"")), "without data.pkl"),
    ("end-of-no-entries", ended(plain_zip(), entries=0), "more or fewer entries"),
    ("end-of-65535-entries", ended(plain_zip(), entries=65535), "more or fewer entries"),
    ("directory-of-4-gigabytes", ended(plain_zip(), size=0xFFFFFFFE), "cannot be read|directory of"),
    ("directory-of-20-megabytes", MIDDLE, "directory of"),
    ("directory-beyond", ended(plain_zip(), start=0xFFFFFFFE), "cannot be read|outside"),
    ("directory-inside-a-record", ended(plain_zip(), start=0), "cannot be read|outside|not where"),
    ("bytes-before", b"1234" + GOOD, "no format"),
    ("archive-before", GOOD + GOOD, "fine"),
)
PICKLES: tuple[tuple[str, bytes, str], ...] = (
    ("system", b"cos\nsystem\nU\x0btouch owned\x85R", "'os.system'"),
    ("posix-system", b"cposix\nsystem\nU\x0btouch owned\x85R", "'posix.system'"),
    ("eval", b"c__builtin__\neval\nU\x0bopen('owned')\x85R", "'builtins.eval'"),
    ("getattr", b"c__builtin__\ngetattr\n(ctorch\nTensor\nU\x05shapetR", "'builtins.getattr'"),
    ("import-by-torch", b"ctorch.serialization\nload\nU\x05owned\x85R", "'torch.serialization.load'"),
    ("torch-hub", b"ctorch.hub\nload\nU\x05owned\x85R", "'torch.hub.load'"),
    ("name-with-escapes", b"c\x1b[2J\nx\n)R", r"refers to .*x1b\[2J"),
    ("name-of-a-megabyte", b"c" + b"a" * 1_000_000 + b"\nx\n)R", "refers to"),
    ("extension", b"\x82\x01.", "instruction 0x82"),
    ("object-built", b"ctorch\nTensor\n)\x81}b", "instruction 0x81"),
    ("instance", b"(i__main__\nX\n", "instruction 0x69"),
    ("persistent-text", b"Pstorage\n", "instruction 0x50"),
    ("frame-of-2-to-the-62", b"\x95" + struct.pack("<Q", 1 << 62), "instruction 0x95"),
    ("unicode-of-8-gigabytes", b"\x8d" + struct.pack("<Q", 1 << 33), "instruction 0x8d"),
    ("text-of-4-gigabytes", b"X\xff\xff\xff\xff", "damaged at"),
    ("text-cut", b"X\x05\x00\x00\x00ab", "damaged at"),
    ("memo-unknown", b"h\x07", "damaged at"),
    ("memo-4-billion", b"Nr\xff\xff\xff\xffj\xff\xff\xff\xfe", "damaged at"),
    ("stack-empty", b"", "damaged at"),
    ("mark-unknown", b"t", "damaged at"),
    ("nested-lists", b"]" * 60_000 + b"a" * 59_999, "deeper than 100"),
    ("nested-tuples", b")" + b"\x85" * 60_000, "deeper than 100"),
    ("nested-dicts", b"}" + b"U\x01a}" * 60_000 + b"s" * 60_000, "deeper than 100"),
    ("nested-parameters", NESTED, "not a plain tensor"),
    ("list-in-itself", b"]q\x00h\x00a", "contains itself"),
    ("dict-in-itself", b"}q\x00U\x01ah\x00s", "contains itself"),
    ("dict-in-itself-far", b"}q\x00U\x01a]q\x01h\x00as", "contains itself"),
    ("four-bytes-seen-as-4-terabytes", tensor((1 << 40,), (0,)), "claim"),
    ("four-bytes-seen-as-2-to-the-80", tensor((1 << 40, 1 << 40), (0, 0)), "claim"),
    ("more-elements-than-bytes", tensor((1 << 40,), (1,)), "elements over the 4 bytes"),
    ("offset-beyond", tensor(offset=1 << 60), "elements over the 4 bytes"),
    ("offset-negative", tensor(offset=-1), "described in a way"),
    ("stride-negative", tensor((1,), (-1,)), "described in a way"),
    ("shape-negative", tensor((-1,), (1,)), "described in a way"),
    ("shape-and-strides-apart", tensor((1, 1), (1,)), "described in a way"),
    ("65-axes", tensor((1,) * 65, (1,) * 65), "65 dimensions"),
    ("storage-of-2-to-the-60", tensor(elements=1 << 60), "missing or cut"),
    ("storage-elsewhere", tensor().replace(b"U\x02s0", b"U\x02..", 1), "missing or cut"),
    ("storage-of-a-path", tensor().replace(b"U\x02s0", b"U\x0b../../etc/x", 1), "missing or cut|damaged"),
    ("key-of-a-tensor", b"}" + tensor() + b"K\x01s", "a key of a dict"),
    ("set-of-tensors", b"c__builtin__\nset\n]" + tensor() + b"a\x85R", "a set"),
    ("conjugate", tensor(tail=b"}U\x04conj\x88s"), "conjugate"),
    ("hooks", HOOKED, "described in a way"),
    ("quantized", tensor().replace(b"FloatStorage", b"QInt8Storage"), "QInt8Storage"),
    ("storage-alone", b"U\x07storage\x85Q", "bare storage"),
    ("integer-of-255-bytes", LONG, "missing|described|damaged"),
)
BOMBS: tuple[tuple[str, bytes, bytes, int, bytes, str], ...] = (
    ("bomb-of-lists", b"", b"]", 20_000_000, b"", "more than fits into"),
    ("bomb-of-dicts", b"", b"}", 20_000_000, b"", "more than fits into"),
    ("bomb-of-marks", b"", b"(", 20_000_000, b"", "more than fits into"),
    ("bomb-of-pairs", b"}(", b"NN", 10_000_000, b"u", "more than fits into"),
    ("bomb-of-calls", b"ccollections\nOrderedDict\nq\x00", b"h\x00)R", 5_000_000, b"", "more than fits into"),
    ("bomb-of-tuples", b"N", b"\x85", 20_000_000, b"", "more than fits into"),
)


def special() -> Iterator[tuple[str, Any, str]]:
    """Tensors that are no plain array."""
    matrix = torch.eye(2)
    yield "sparse", matrix.to_sparse(), "sparse"
    yield "meta", matrix.to("meta"), "meta"
    yield "a-conjugate", torch.ones(2, dtype=torch.complex64).conj(), "conjugate"
    yield "a-storage", matrix.untyped_storage(), "bare storage"
    yield "evil-in-a-list", [torch.ones(1), Evil(os.mkdir, "owned")], "mkdir"
    yield "evil-eval", Evil(eval, "open('owned', 'w')"), "eval"
    yield "a-module", torch.nn.Linear(2, 2), "Linear"


def strange() -> Iterator[tuple[str, Any]]:
    """What is read as torch reads it."""
    base = torch.arange(24.0).reshape(2, 3, 4)
    yield "transposed", base.permute(2, 0, 1)
    yield "sliced", base[:, 1:, ::2]
    yield "expanded", torch.ones(1).expand(5, 4)
    yield "tied", [base, base, base[0]]
    yield "0-d", torch.tensor(2.5)
    yield "empty", {"e": torch.zeros(0, 3), "n": []}
    yield "nothing", {}
    yield "parameters", torch.nn.ParameterList([torch.ones(2)]).state_dict()
    yield "names", {name: torch.ones(1) for name in ("", "a.b", "../x", "\x1b[31m\n", "\0", "\u202e", "é", "-k", " ")}
    yield "names-that-meet", {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}}
    yield "keys-of-all-kinds", {1: torch.ones(1), None: torch.zeros(1), 2.5: torch.ones(2), False: 3}
    yield "deep", _deep(40)
    yield "ordered", OrderedDict(b=torch.ones(1), a=torch.zeros(2))


def _deep(levels: int) -> Any:
    value: Any = torch.ones(1)
    for _ in range(levels):
        value = [value]
    return value


def extremes(name: str) -> torch.Tensor:
    """A tensor of every bit pattern of its bytes, some of them."""
    dtype = getattr(torch, name)
    if name == "bool":
        return torch.tensor([True, False])
    ends = torch.tensor([0, 1, 0x7F, 0x80] * dtype.itemsize + [0xFF] * dtype.itemsize, dtype=torch.uint8)
    return ends.view(dtype)


def without_checksums() -> bytes:
    torch.serialization.set_crc32_options(False)
    try:
        return saved([torch.ones(3)])
    finally:
        torch.serialization.set_crc32_options(True)


def cases() -> Iterator[Case]:
    """All of them."""
    for name, content, said in ARCHIVES:
        yield Case(f"archive-{name}.pt", holding(content), None if said == "fine" else said)
    for name, instructions, said in PICKLES:
        yield Case(f"pickle-{name}.pt", holding(one(instructions)), said)
    for name, start, part, times, end, said in BOMBS:
        made = holding(lambda parts=(start, part, times, end): one(repeated(*parts)))  # type: ignore[misc]
        yield Case(f"{name}.pt", made, said, heavy=True)
    for name, value, said in special():
        yield Case(f"tensor-{name}.pt", holding(saved({"w": value})), said)
    for name, value in strange():
        yield Case(f"strange-{name}.pt", holding(saved(value)))
    for name in DTYPES:
        fault = "NaN|infinite" if name.startswith(("float", "bfloat", "complex")) else None
        yield Case(f"dtype-{name}.pt", holding(saved({"x": extremes(name)})), fault=fault)
    damaged = bytearray(GOOD)
    damaged[damaged.find(torch.arange(6.0).numpy().tobytes()) + 5] ^= 64
    yield Case("storage-changed.pt", holding(bytes(damaged)), "do not have their CRC-32", fault="CRC-32")
    yield Case("without-checksums.pt", holding(without_checksums()))
    yield Case("bytes-behind-the-end.pt", holding(GOOD + b"abc"), fault="3 bytes behind its end")
    yield Case("named-npy-2.npy", holding(GOOD))
    yield Case("10000-tensors.pt", holding(lambda: saved({str(n): torch.ones(1) for n in range(10_000)})), heavy=True)
    wrong = zlib.crc32(structure()).to_bytes(4, "little")
    yield Case("checksum-of-the-pickle.pt", holding(GOOD.replace(wrong, b"1234")), "checksum of data.pkl")
