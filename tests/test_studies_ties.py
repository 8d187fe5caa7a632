"""The position up to which equal elements belong above a cut."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.strategies import REAL, blocks
from tests.studying import LENSES, Runner, seen, stored
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, INT64, UINT8, DType, Real
from threshcli.errors import InternalError
from threshcli.studies import ties
from threshcli.studies.base import MAGNITUDE, VALUE, Sample, run_in_memory
from threshcli.studies.ties import tie_position
from threshcli.tiles import LEAF


def count_of(codes: list[int], dtype: DType, value: Real) -> int:
    """How many elements are found equal to a value: as many as there are ordinals."""
    data, found = stored(codes, dtype), 0
    while True:
        try:
            run_in_memory(tie_position(VALUE, value, found + 1), data, dtype)
        except InternalError:
            return found
        found += 1


@pytest.mark.parametrize("dtype", REAL, ids=str)
@given(data=st.data())
@settings(max_examples=40)
def test_it_is_just_after_the_equal_element_of_that_ordinal(dtype: DType, data: st.DataObject) -> None:
    """Of any codes, through any lens, masked or not."""
    few = data.draw(blocks(dtype, most=4))
    codes = data.draw(st.lists(st.sampled_from(few), max_size=24)) if few else []
    lens = data.draw(st.sampled_from(LENSES))
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=len(codes), max_size=len(codes)))
    runner = Runner(data.draw(st.integers(1, 30)), data.draw(st.integers(0, 9)))
    values = seen(codes, dtype, lens)
    for value in {value for value in values if not reference.is_nan(value)}:
        own = [at for at, other in enumerate(values) if other == value and (mask is None or mask[at])]
        for ordinal, position in enumerate(own, 1):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ties, "LEAF", 3)
                study = tie_position(lens, value, ordinal)
                inside = None if mask is None else np.array(mask, bool)
                assert runner(study, stored(codes, dtype), dtype, inside) == position + 1


def test_no_element_is_at_the_start() -> None:
    assert run_in_memory(tie_position(VALUE, Fraction(1), 0), np.array([1, 1], "f4"), FLOAT32) == 0


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (UINT8, Fraction(257)),
        (UINT8, Fraction(3, 2)),
        (UINT8, math.inf),
        (FLOAT32, Fraction(1, 10)),
        (FLOAT32, Fraction(2) ** 200),
        (DTYPES["float8_e4m3fn"], math.inf),
        (DTYPES["float8_e8m0fnu"], Fraction(0)),
        (DTYPES["float8_e8m0fnu"], Fraction(3)),
    ],
)
def test_a_value_that_the_dtype_does_not_have_equals_nothing(dtype: DType, value: Real) -> None:
    """Not even the element that is nearest to it."""
    codes = [*range(256), *([dtype.code(dtype.key(value))] if dtype is FLOAT32 else [])]
    assert count_of(codes, dtype, value) == 0


@pytest.mark.parametrize("dtype", [dtype for dtype in REAL if dtype.is_float and dtype.signed], ids=str)
def test_both_zeros_are_equal_and_nan_is_neither(dtype: DType) -> None:
    zeros = [0, dtype.sign] if dtype.negative_zero else [0]
    assert count_of([1, dtype.nan, *zeros, dtype.sign | 1], dtype, Fraction(0)) == len(zeros)


def test_the_smallest_integer_has_a_magnitude() -> None:
    data = np.array([-(2**63), 2**63 - 1, -(2**63)])
    assert run_in_memory(tie_position(MAGNITUDE, Fraction(2**63), 2), data, INT64) == 3


def test_one_piece_is_read_again() -> None:
    """However many elements are equal, states are small."""
    data, runner = np.zeros(4 * LEAF + 10), Runner(2 * LEAF)
    assert runner(tie_position(VALUE, Fraction(0), 3 * LEAF + 7), data, FLOAT64) == 3 * LEAF + 7
    assert runner.passes == ["CountEqual", "FindEqual"]
    piece = ties.Piece(3 * LEAF, 4 * LEAF, LEAF)
    assert list(ties.FindEqual(VALUE, Fraction(0), piece).stretches(data.size)) == [(3 * LEAF, 4 * LEAF)]
    counted = ties.CountEqual(VALUE, Fraction(0)).fold(Sample(data, FLOAT64, 0))
    assert len(counted.numbers) == 3 * 5


def test_a_piece_may_be_read_in_parts_that_come_in_any_order() -> None:
    data, study = np.array([0, 1, 1, 0, 1, 1], "f4"), tie_position(VALUE, Fraction(1), 3)
    counted = next(study).fold(Sample(data, FLOAT32, 0))
    found = study.send(counted)
    parts = [found.fold(Sample(data[start : start + 3], FLOAT32, start)) for start in (3, 0)]
    with pytest.raises(StopIteration) as ended:
        study.send(found.add(*parts))
    assert ended.value.value == 5
