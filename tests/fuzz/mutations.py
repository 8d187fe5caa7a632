"""Damage to any bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

INTERESTING = (0, 1, 2, 7, 8, 16, 31, 32, 63, 64, 65, 100, 127, 128, 129, 192, 254, 255)
_WORDS = tuple(
    value.to_bytes(size, order)
    for size in (2, 4, 8)
    for value in (0, 1, 255, (1 << 8 * size) - 1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1)
    for order in ("little", "big")
    if value < 1 << 8 * size
)
_LONGEST_CHUNK = 64
Damage = Callable[[Random, bytes], bytes]


def _span(random: Random, data: bytes) -> tuple[int, int]:
    """A short piece of the data."""
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.randint(1, _LONGEST_CHUNK))


def _flip(random: Random, data: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        made[random.randrange(len(made))] ^= 1 << random.randrange(8)
    return bytes(made)


def _set(random: Random, data: bytes) -> bytes:
    made = bytearray(data)
    made[random.randrange(len(made))] = random.choice((random.randrange(256), random.choice(INTERESTING)))
    return bytes(made)


def _word(random: Random, data: bytes) -> bytes:
    word, start = random.choice(_WORDS), random.randrange(len(data))
    return data[:start] + word + data[start + len(word) :]


def _count(random: Random, data: bytes) -> bytes:
    """A number that is a little larger or smaller."""
    start, size = random.randrange(len(data)), random.choice((1, 2, 4, 8))
    value = int.from_bytes(data[start : start + size], "little") + random.choice((-2, -1, 1, 2, 64, -64))
    return data[:start] + (value % (1 << 8 * size)).to_bytes(size, "little") + data[start + size :]


def _insert(random: Random, data: bytes) -> bytes:
    start = random.randrange(len(data) + 1)
    filling = random.choice((bytes(1), b"\xff", b" ", random.randbytes(1)))
    chunk = random.choice((random.randbytes(random.randint(1, 16)), filling * random.randint(1, 300)))
    return data[:start] + chunk + data[start:]


def _delete(random: Random, data: bytes) -> bytes:
    start, stop = _span(random, data)
    return data[:start] + data[stop:]


def _repeat(random: Random, data: bytes) -> bytes:
    start, stop = _span(random, data)
    return data[:stop] + data[start:stop] * random.choice((1, 1, 2, 30)) + data[stop:]


def _move(random: Random, data: bytes) -> bytes:
    """A piece that is written over another one."""
    start, stop = _span(random, data)
    place = random.randrange(len(data) + 1)
    return data[:place] + data[start:stop] + data[place + stop - start :]


def _swap(random: Random, data: bytes) -> bytes:
    one, other = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    middle = random.randint(one, other)
    return data[:one] + data[middle:other] + data[one:middle] + data[other:]


def _truncate(random: Random, data: bytes) -> bytes:
    return data[: random.choice((random.randrange(len(data)), max(0, len(data) - random.randint(1, 80))))]


def _digits(random: Random, data: bytes) -> bytes:
    """A digit that becomes another one, or many."""
    places = [place for place, byte in enumerate(data[:4096]) if 48 <= byte <= 57]
    if not places:
        return _set(random, data)
    place = random.choice(places)
    return data[:place] + random.choice((b"0", b"9", b"-1", b"9" * 20, b"1e9", b"", b"7" * 5000)) + data[place + 1 :]


DAMAGES: Sequence[Damage] = (
    *(_flip, _flip, _set, _set, _word, _count, _insert, _delete, _repeat, _move, _swap, _truncate, _digits),
)


def damaged(random: Random, data: bytes) -> bytes:
    """The data with a few damages."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        if data:
            data = random.choice(DAMAGES)(random, data)
    return data


def spliced(random: Random, one: bytes, other: bytes) -> bytes:
    """The beginning of one, and the end of another."""
    cut = random.randrange(len(one) + 1)
    return one[:cut] + other[random.choice((cut, random.randrange(len(other) + 1))) :]
