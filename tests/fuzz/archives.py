"""Damage to archives of torch: records that are lost, doubled and cut, and pickles of other instructions."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from random import Random

from tests.fuzz.mutations import damaged

_Records = list[tuple[str, bytes]]


def _long(value: int) -> bytes:
    held = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return pickle.LONG1 + bytes((len(held),)) + held


def _text(text: str) -> bytes:
    held = text.encode("utf-8", "surrogatepass")
    return pickle.BINUNICODE + struct.pack("<I", len(held)) + held


_VALUES = (
    *(
        b"K\x00",
        b"K\x01",
        b"K\xff",
        b"J\xff\xff\xff\xff",
        b"J\x00\x00\x00\x80",
        b"N",
        b"\x88",
        b"\x89",
        b")",
        b"]",
        b"}",
    ),
    *(_long(2**40), _long(2**63), _long(2**2030), _long(-1), b"\x8a\x00", b"G" + struct.pack(">d", float("nan"))),
    *(
        _text(text)
        for text in ("", "a", "0", "../x", "a\nb\x1b", "\ud800", "x" * 3000, "storage", "cuda:0", "cpu", "a.b")
    ),
)
_BUILDING = (
    *(
        b"(",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"a",
        b"e",
        b"s",
        b"u",
        b"q\x00",
        b"h\x00",
        b"h\x01",
        b"h\x05",
        b"R",
        b"b",
        b"Q",
    ),
    *(
        b".",
        b"0",
        b"1",
        b"2",
        b"d",
        b"l",
        b"o",
        b"c__builtin__\neval\n",
        b"cos\nsystem\n",
        b"\x80\x04",
        b"\x95" + bytes(8),
    ),
    *(
        b"ctorch\nSize\n",
        b"ccollections\nOrderedDict\n)R",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n",
    ),
    *(
        b"ctorch\nfloat8_e4m3fn\n",
        b"ctorch.storage\nUntypedStorage\n",
        b"c__builtin__\nset\n",
        b"ctorch\nDoubleStorage\n",
    ),
    *(
        b"]q\x63h\x63a",
        b"(" * 200,
        b"]" * 200 + b"a" * 199,
        b"]" * 5000 + b"a" * 4999,
        b"\x85" * 5000,
        b"h\x00" * 1000,
        b"r\xff\xff\xff\xff",
    ),
)


def structure(random: Random, data: bytes) -> bytes:
    """A pickle with some of its instructions lost, doubled, moved, or others among them."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except Exception:  # one that is damaged already
        return damaged(random, data)
    steps = [data[start:stop] for start, stop in zip(places, [*places[1:], len(data)], strict=True)]
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        place = random.randrange(len(steps))
        action = random.randrange(8)
        if action < 3:
            numbers = [index for index, step in enumerate(steps) if step[:1] in (b"K", b"M", b"J", b"\x8a", b"X")]
            steps[random.choice(numbers or [place])] = random.choice(_VALUES)
        elif action == 3:
            steps.insert(place, random.choice(_VALUES))
        elif action == 4:
            steps.insert(place, random.choice(_BUILDING))
        elif action == 5 and len(steps) > 1:
            del steps[place]
        elif action == 6:
            steps[place:place] = steps[place : place + random.randint(1, 12)]
        else:
            steps[place] = random.choice(steps)
    return b"".join(steps)


def _renamed(random: Random, data: bytes) -> bytes:
    """A pickle of other texts: keys, and now and then what they must not be."""
    steps = [(step.name, place) for step, _, place in pickletools.genops(data) if place is not None]
    ends = [place for _, place in steps[1:]] + [len(data)]
    parts = [data[place:end] for (_, place), end in zip(steps, ends, strict=True)]
    texts = [index for index, (name, _) in enumerate(steps) if name == "BINUNICODE"]
    for index in texts:
        if len(parts[index]) > 6 and random.random() < 0.2 and parts[index][5:] not in (b"storage", b"cpu"):
            parts[index] = random.choice(_VALUES)
    return b"".join(parts)


def _unpacked(data: bytes) -> _Records:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return [(entry.filename, file.read(entry)) for entry in file.infolist()]


def _packed(random: Random, records: _Records) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in records:
            entry = zipfile.ZipInfo(name)
            if random.random() < 0.02:
                entry.compress_type = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            file.writestr(entry, content)
        if random.random() < 0.05:
            file.comment = random.randbytes(random.randint(1, 300))
    return out.getvalue()


def _records(random: Random, records: _Records) -> None:
    """One change to what an archive holds."""
    place = random.randrange(len(records))
    name, content = records[place]
    action = random.randrange(8)
    if action == 0:
        del records[place]
    elif action == 1:
        records.append((name, random.choice((content, content[:-1], b""))))
    elif action == 2:
        records[place] = random.choice((name + "x", "y/" + name, name.upper(), "../" + name, "archive/data/0")), content
    elif action == 3:
        records[place] = name, random.choice((content[:-1], content + b"\0", b"", content * 2))
    elif action == 4:
        records.insert(0, records.pop(place))
    elif action == 5:
        folder = name.split("/", 1)[0]
        extra = random.choice(
            ("byteorder", "constants.pkl", "code/a.py", "version", ".format_version", "data/99", "z/")
        )
        records.append((f"{folder}/{extra}", random.choice((b"big", b"little", b"middle", b"3\n", b"", bytes(100)))))
    elif content:
        records[place] = name, damaged(random, content)


def _directory(random: Random, data: bytes) -> bytes:
    """Numbers of a zip directory that are others."""
    made = bytearray(data)
    places = [
        start for magic in (b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04", b"PK\x06\x06") for start in _all(data, magic)
    ]
    for _ in range(random.randint(1, 3)):
        start, size = random.choice(places) + random.randrange(4, 46), random.choice((1, 2, 4, 8))
        old = int.from_bytes(made[start : start + size], "little")
        new = random.choice(
            (0, 1, old + 1, old - 1, old + 64, (1 << 8 * size) - 1, 1 << (8 * size - 1), random.randrange(len(data)))
        )
        if start + size <= len(made):
            made[start : start + size] = (new % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(made)


def _all(data: bytes, magic: bytes) -> list[int]:
    found, start = [], data.find(magic)
    while start >= 0:
        found.append(start)
        start = data.find(magic, start + 1)
    return found


def pt(random: Random, data: bytes) -> bytes:
    """An archive whose records, pickle or directory lie, with checksums that hold."""
    action, records = random.randrange(10), _unpacked(data)
    if action == 0:
        return _directory(random, data)
    if action < 7:
        place = next(index for index, (name, _) in enumerate(records) if name.endswith("/data.pkl"))
        change = _renamed if action == 6 else structure
        records[place] = records[place][0], change(random, records[place][1])
    else:
        for _ in range(random.choice((1, 1, 2))):
            if records:
                _records(random, records)
    made = _packed(random, records)
    return _directory(random, made) if random.random() < 0.05 else made
