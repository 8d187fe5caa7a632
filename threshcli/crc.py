"""CRC-32 of bytes that were checked in pieces, in any order.

The checksum of `a + b` follows from those of a and b and the length of b: moving a's by n bytes is a multiplication
by x^(8n) modulo the CRC's polynomial (Mark Adler's `crc32_combine`, zlib 1.2.12). Polynomials over GF(2) are integers
here with the coefficient of x^0 in bit 31, as zlib has them.
"""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


def crc32_combine(crc1: int, crc2: int, len2: int) -> int:
    """The CRC-32 of a + b from that of a, that of b, and the number of bytes of b.

    >>> import zlib
    >>> crc32_combine(zlib.crc32(b"thres"), zlib.crc32(b"hold"), 4) == zlib.crc32(b"threshold")
    True
    """
    return _product(_shift(len2), crc1) ^ crc2


def _product(a: int, b: int) -> int:
    """a times b modulo the polynomial."""
    result = 0
    while a:
        if a & _ONE:
            result ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return result


@lru_cache(maxsize=1024)
def _shift(size: int) -> int:
    """x^(8 * size): cached, since the pieces of a file have few lengths."""
    result, step = _ONE, _ONE >> 8  # x^8 moves one byte
    while size:
        if size & 1:
            result = _product(step, result)
        step = _product(step, step)
        size >>= 1
    return result
