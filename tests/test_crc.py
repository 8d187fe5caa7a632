"""Checksums of pieces add up to the checksum of the whole."""

from __future__ import annotations

import time
import zlib

from hypothesis import given
from hypothesis import strategies as st

from threshcli.crc import crc32_combine


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_pieces_combine_to_the_checksum_of_the_whole(pieces: list[bytes]) -> None:
    crc = 0
    for piece in pieces:
        crc = crc32_combine(crc, zlib.crc32(piece), len(piece))
    assert crc == zlib.crc32(b"".join(pieces))


@given(st.binary(max_size=50), st.integers(0, 1 << 20))
def test_a_long_run_of_zeros_combines(head: bytes, zeros: int) -> None:
    tail = bytes(zeros)
    assert crc32_combine(zlib.crc32(head), zlib.crc32(tail), zeros) == zlib.crc32(head + tail)


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 1 << 60), st.integers(0, 1 << 60))
def test_lengths_add_up_beyond_what_memory_holds(crc: int, first: int, second: int) -> None:
    """Two moves are one move by the sum, for lengths that no test could really check."""
    assert crc32_combine(crc32_combine(crc, 0, first), 0, second) == crc32_combine(crc, 0, first + second)


def test_an_empty_piece_changes_nothing() -> None:
    assert crc32_combine(0x12345678, 0, 0) == 0x12345678


def test_many_pieces_of_one_length_are_quick() -> None:
    """A terabyte in tiles of 1 MiB is a million calls; ten thousand must be a matter of milliseconds."""
    start = time.perf_counter()
    crc = 0
    for index in range(10_000):
        crc = crc32_combine(crc, index, 1 << 20)
    assert time.perf_counter() - start < 2
