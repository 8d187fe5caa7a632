"""A cut by rank is compared exactly: elements equal to it are on the side that they are put on."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import reference
from tests.kernel_sets import bits, every_set, load, masked, using
from tests.strategies import REAL, codes, real_dtypes
from threshcli.dtypes import BFLOAT16, FLOAT32, UINT8, Compare, DType, Real
from threshcli.kernels.base import Rank, Scalar, Tied

COMPARES: tuple[Compare, ...] = ("gt", "ge", "lt", "le")


def beside(value: Real, compare: Compare, cut: Real, above: bool) -> bool:
    """Whether `value compare cut` holds where elements equal to the cut are above it, or are not."""
    if reference.is_nan(value):
        return False
    is_above = value > cut or (above and value == cut)
    return is_above if compare in ("gt", "ge") else not is_above


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("magnitude", [False, True], ids=["x", "abs(x)"])
def test_every_value_of_a_dtype_can_be_a_cut(dtype: DType, magnitude: bool) -> None:
    """Whatever the comparison says of equality; values that the dtype does not have included."""
    held = reference.special(dtype)
    values = [reference.decode(code, dtype) for code in held]
    sizes = [reference.size(value) if magnitude else value for value in values]
    cuts: list[Real] = [value for value in sizes if not reference.is_nan(value)]
    cuts += [Fraction(value) + Fraction(1, 1 << 160) for value in cuts if reference.is_finite(value)]
    with using("numpy") as kernels:
        for cut in cuts[:: max(1, len(cuts) // 40)]:
            for compare in COMPARES:
                for above in (False, True):
                    kernels.reset()
                    found = kernels.compare(load(kernels, held, dtype), compare, Rank(cut, above), magnitude=magnitude)
                    assert bits(kernels, found) == [beside(value, compare, cut, above) for value in sizes], (cut, above)


def test_a_cut_is_not_rounded_as_a_number_is() -> None:
    """1 + 2^-20 is 1 in bfloat16: as a number it is equal to 1, as a rank it stands above it."""
    cut = 1 + Fraction(1, 1 << 20)
    with using("numpy") as kernels:
        one = load(kernels, [BFLOAT16.code(BFLOAT16.key(Fraction(1)))], BFLOAT16)
        assert bits(kernels, kernels.compare(one, "ge", Scalar(cut))) == [True]
        assert bits(kernels, kernels.compare(one, "ge", Rank(cut, above=True))) == [False]


@every_set
@given(data=st.data(), dtype=real_dtypes, magnitude=st.booleans(), compare=st.sampled_from(COMPARES))
def test_ties_may_go_either_way(
    name: str, data: st.DataObject, dtype: DType, magnitude: bool, compare: Compare
) -> None:
    """One number for all elements, or one for each."""
    held = data.draw(st.lists(codes(dtype), min_size=1, max_size=12))
    above = data.draw(st.lists(st.booleans(), min_size=len(held), max_size=len(held)))
    values = [reference.decode(code, dtype) for code in held]
    sizes = [reference.size(value) if magnitude else value for value in values]
    usable = [value for value in sizes if not reference.is_nan(value)]
    cut = data.draw(st.sampled_from(usable)) if usable else Fraction(1)
    expected = [beside(value, compare, cut, up) for value, up in zip(sizes, above, strict=True)]
    with using(name) as kernels:
        x = load(kernels, held, dtype)
        tied = Tied(Scalar(cut), masked(kernels, above))
        assert bits(kernels, kernels.compare(x, compare, tied, magnitude=magnitude)) == expected
        if dtype.encode(cut) is not None:
            block = load(kernels, [dtype.encode(cut) or 0] * len(held), dtype)
            tied = Tied(block, masked(kernels, above))
            assert bits(kernels, kernels.compare(x, compare, tied, magnitude=magnitude)) == expected


@every_set
def test_a_band_between_two_cuts_by_rank(name: str) -> None:
    """Two ranks are one range of keys; a split one is two masks."""
    with using(name) as kernels:
        x = load(kernels, [1, 2, 2, 3, 4, 4, 5], UINT8)
        low, high = Rank(Fraction(2), above=True), Rank(Fraction(4), above=False)
        inside = kernels.between(x, ("ge", low), ("le", high))
        assert bits(kernels, inside) == [False, True, True, True, True, True, False]
        split = Tied(Scalar(Fraction(2)), masked(kernels, [True, True, False, True, True, True, True]))
        inside = kernels.between(x, ("gt", split), ("lt", Rank(Fraction(4), above=True)))
        assert bits(kernels, inside) == [False, True, False, True, False, False, False]


@every_set
def test_the_limit_of_a_cut_by_rank_is_its_value(name: str) -> None:
    with using(name) as kernels:
        tied = Tied(Scalar(Fraction(3, 2)), masked(kernels, [True]))
        assert kernels.bound(tied, FLOAT32, up=True) == FLOAT32.encode(Fraction(3, 2))
        assert kernels.bound(Rank(Fraction(3, 2), above=True), UINT8, up=True) == 2


@every_set
@given(rows=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=9))
def test_masks_are_mixed(name: str, rows: list[tuple[bool, bool, bool]]) -> None:
    with using(name) as kernels:
        mask, a, b = (masked(kernels, list(column)) for column in zip(*rows, strict=True))
        assert bits(kernels, kernels.mix(mask, a, b)) == [x if chosen else y for chosen, x, y in rows]
