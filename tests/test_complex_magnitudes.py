"""Magnitudes of complex elements against exact arithmetic, in every set of kernels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernel_sets import SETS, every_set, load, stored, using
from tests.pairs import COMPLEX, Pair, code_of, is_close, made, magnitude, magnitudes_of, pair
from tests.reference import decode, is_nan
from tests.strategies import codes
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, DType
from threshcli.kernels.base import MapCompare
from threshcli.kernels.complex import ComplexKernels

Array = npt.NDArray[Any]
C64, C128 = DTYPES["complex64"], DTYPES["complex128"]
every_dtype = pytest.mark.parametrize("dtype", COMPLEX, ids=str)


def pairs_of(dtype: DType) -> st.SearchStrategy[int]:
    """The code of one complex element, with all that is special in its parts."""
    part = codes(dtype.compared)
    return st.builds(lambda real, imaginary: code_of(real, imaginary, dtype), part, part)


def sized(name: str, found: list[int], dtype: DType) -> list[int]:
    """The codes of the magnitudes that a set of kernels works out."""
    with using(name) as k:
        return stored(k, ComplexKernels(k).magnitudes(load(ComplexKernels(k), found, dtype)))


@every_dtype
@settings(max_examples=60)
@given(data=st.data())
def test_a_magnitude_is_within_what_is_stated_of_the_true_one(dtype: DType, data: st.DataObject) -> None:
    """The same bits in every set of kernels, NaN apart: of these there are many."""
    elements, part = data.draw(st.lists(pairs_of(dtype), min_size=1, max_size=12)), dtype.compared
    answers = {name: [decode(code, part) for code in sized(name, elements, dtype)] for name in SETS}
    for place, code in enumerate(elements):
        values = [answer[place] for answer in answers.values()]
        assert all(is_close(value, pair(code, dtype), part) for value in values), hex(code)
        assert all(value == values[0] or (is_nan(value) and is_nan(values[0])) for value in values)


@every_dtype
@every_set
def test_whole_sides_of_right_triangles_are_exact(name: str, dtype: DType) -> None:
    part = dtype.compared
    triangles = [(3, 4, 5), (-5, 12, 13), (8, -15, 17), (0, 7, 7), (-20, -21, 29)]
    scales = [Fraction(2) ** power for power in ((-20, 0, 7) if part.itemsize == 2 else (-120, -3, 0, 60, 120))]
    scales += [Fraction(2) ** power for power in (-1070, -1000, 1000)] if part is FLOAT64 else []
    for scale in scales:
        found = [[part.encode(side * scale) or 0 for side in sides] for sides in triangles]
        wanted = [longest for _, _, longest in found]
        assert sized(name, [code_of(one, other, dtype) for one, other, _ in found], dtype) == wanted


@every_set
def test_an_infinite_part_makes_an_infinite_magnitude_whatever_the_other_is(name: str) -> None:
    x = np.array([complex(np.inf, np.nan), complex(np.nan, -np.inf), complex(np.nan, 1), complex(-np.inf, 2)], "c8")
    values = [decode(code, FLOAT32) for code in sized(name, x.view("u8").tolist(), C64)]
    assert values[:2] == [math.inf, math.inf]
    assert is_nan(values[2])
    assert values[3] == math.inf


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_a_magnitude_does_not_depend_on_its_neighbours(kind: str) -> None:
    """Those that need no scaling are worked out without, in chunks; the bits are the same."""
    dtype, draw = DTYPES[kind], np.random.default_rng(5)
    plain = (draw.standard_normal(17_000) + 1j * draw.standard_normal(17_000)).astype(kind)
    mixed = plain.copy()
    edge = 120 if kind == "complex64" else 1000
    for power in range(-edge, edge, 7):
        mixed[draw.integers(plain.size)] *= 2.0**power
    mixed[16382:16386] = np.nan, np.inf, 0, complex(0, 5e-324)
    for x in (plain, mixed):
        at_once = magnitudes_of(x, dtype)
        assert np.array_equal(at_once, np.concatenate([magnitudes_of(x[at : at + 1], dtype) for at in range(x.size)]),
                              equal_nan=True)  # fmt: skip
        with np.errstate(all="ignore"):
            assert np.allclose(at_once, np.abs(x), rtol=3e-7, atol=0, equal_nan=True)


def test_the_reference_is_right_about_known_magnitudes() -> None:
    assert magnitude(Pair(Fraction(3), Fraction(-4)), FLOAT32) == 5
    assert magnitude(Pair(Fraction(1), Fraction(1)), FLOAT64) == Fraction(math.sqrt(2))
    compare: MapCompare = "gt"
    assert made("soft", Pair(Fraction(3), Fraction(4)), C128, Fraction(5, 2), None, compare) == Pair(
        Fraction(3, 2), Fraction(2)
    )
