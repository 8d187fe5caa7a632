"""Both sets of kernels give the same bytes and counts of complex elements."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernel_sets import SETS, bits, load, stored, using
from tests.pairs import COMPLEX, code_of, pair
from tests.reference import is_nan
from tests.strategies import codes
from threshcli import rules
from threshcli.dtypes import FLOAT64, DType
from threshcli.kernels.base import Scalar
from threshcli.kernels.complex import ComplexKernels
from threshcli.rules.base import Rule
from threshcli.spec import Number

every_dtype = pytest.mark.parametrize("dtype", COMPLEX, ids=str)
COMPARING = [name for name, rule in rules.registered().items() if rule.magnitude and not rule.sideways]
"""The rules that look at one magnitude."""


def blocks(dtype: DType) -> st.SearchStrategy[list[int]]:
    part = codes(dtype.compared)
    one = st.builds(lambda real, imaginary: code_of(real, imaginary, dtype), part, part)
    return st.lists(one, min_size=1, max_size=9)


def answers(name: str, rule: Rule, found: list[int], dtype: DType, out: DType, cuts: list[Scalar]) -> Any:
    """What a set of kernels makes of elements by a rule, and all that is counted."""
    with using(name) as real:
        k = ComplexKernels(real)
        x = load(k, found, dtype)
        made, selected = rule.apply(k, x, out, *cuts)
        told = k.measure(x), k.zeros(made), k.changed(x, made, 0), bits(k, selected), bits(k, k.isnan(x))
        squares = [k.moments(block, clean=False, precise=True, sums=False)[1] for block in (x, made)]
        return stored(k, rule.with_nan(k, x, made, out)), told, squares


@pytest.mark.parametrize("name", COMPARING)
@every_dtype
@settings(max_examples=25)
@given(data=st.data())
def test_a_rule_makes_the_same_of_complex_elements(name: str, dtype: DType, data: st.DataObject) -> None:
    """NaN of shrinkage apart, which is some NaN."""
    found, out = data.draw(blocks(dtype)), data.draw(st.sampled_from(COMPLEX))
    kind = rules.find(name)
    some = st.sampled_from([Fraction(0), Fraction(1), Fraction(5), Fraction(1, 3)])
    numbers = st.lists(some, min_size=len(kind.slots), max_size=len(kind.slots))
    cuts = [Scalar(number) for number in sorted(data.draw(numbers))]
    options: dict[str, Any] = {"fill": Number.of(2)} if name == "hard" else {}
    rule = kind(**options)
    first, *others = (answers(one, rule, found, dtype, out, cuts) for one in SETS)
    for other in others:
        assert other[1] == first[1]
        assert other[2] == [pytest.approx(squares) for squares in first[2]]
        for a, b in zip(other[0], first[0], strict=True):
            pairs = zip(pair(a, out), pair(b, out), strict=True)
            assert a == b or all(x == y or (is_nan(x) and is_nan(y)) for x, y in pairs), (hex(a), hex(b))


@every_dtype
def test_what_is_made_in_a_scratch_is_forgotten_after_it(dtype: DType) -> None:
    """Magnitudes that are known before stay known; others are worked out again, where their memory is used again."""
    one, part = dtype.compared.encode(Fraction(1)) or 0, dtype.compared
    for name in SETS:
        with using(name) as real:
            k = ComplexKernels(real)
            x, y = load(k, [one, 0], dtype), load(k, [code_of(one, 0, dtype), code_of(0, one, dtype)], dtype)
            before = k.magnitudes(x)
            with k.scratch():
                assert stored(k, k.magnitudes(y)) == [one, one]
            k.select(k.isnan(before), 0, 0, FLOAT64)
            assert k.magnitudes(x) is before
            assert stored(k, k.magnitudes(y)) == [one, one]
            assert stored(k, before) == [part.encode(Fraction(1)), 0]
