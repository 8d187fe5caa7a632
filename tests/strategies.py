"""Hypothesis strategies, shared by all tests."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from tests.reference import special
from threshcli.dtypes import DTYPES, DType, Range, Real

REAL = [dtype for dtype in DTYPES.values() if dtype.is_real]
"""Every dtype whose values are ordered."""
FLOATS = [dtype for dtype in REAL if dtype.is_float]
INTEGERS = [dtype for dtype in REAL if not dtype.is_float]

real_dtypes = st.sampled_from(REAL)


def codes(dtype: DType) -> st.SearchStrategy[int]:
    """The bits of one element: any, or one of those where things go wrong."""
    most = 1 if dtype.kind == "bool" else (1 << dtype.bits) - 1
    return st.one_of(st.sampled_from(special(dtype)), st.integers(0, most))


def blocks(dtype: DType, *, most: int = 12) -> st.SearchStrategy[list[int]]:
    """The codes of a small block, empty ones included."""
    return st.lists(codes(dtype), max_size=most)


def key_ranges(dtype: DType, *, magnitude: bool = False) -> st.SearchStrategy[Range]:
    """Ranges of keys inside the bounds of a dtype, empty ones included."""
    bounds = dtype.magnitude_keys if magnitude else dtype.keys
    keys = st.one_of(
        st.sampled_from([key for key in (bounds.low, bounds.low + 1, -1, 0, 1, bounds.high) if key >= bounds.low]),
        st.integers(bounds.low, bounds.high),
    )
    return st.builds(Range, keys, keys)


@st.composite
def mutated(draw: st.DrawFn, content: bytes, *, within: int, times: int) -> bytes:
    """These bytes after up to so many changes in their beginning: a byte is another, some are gone, some are put in."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, times))):
        at = draw(st.integers(0, within))
        match draw(st.integers(0, 2)):
            case 0:
                changed[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del changed[at : at + draw(st.integers(1, 20))]
            case _:
                changed[at:at] = draw(st.binary(max_size=8))
    return bytes(changed)


fractions = st.one_of(
    st.fractions(max_denominator=1000),
    st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
    st.integers(-(1 << 66), 1 << 66).map(Fraction),
)
"""Numbers that a user may write: simple ones, all float64, and whole ones beyond every integer dtype."""

reals: st.SearchStrategy[Real] = st.one_of(fractions, st.sampled_from([float("inf"), float("-inf"), float("nan")]))

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
"""Shapes of small tensors: 0-d and empty ones included."""
