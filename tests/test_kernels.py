"""Every set of kernels does on every dtype what plain Python does, element by element."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.kernel_sets import SETS, bits, every_set, load, masked, stored, using
from tests.strategies import FLOATS, REAL, blocks, codes, key_ranges, real_dtypes, reals
from threshcli.dtypes import BFLOAT16, BOOL, DTYPES, FLOAT16, FLOAT32, INT64, UINT8, Compare, DType, Range, Real
from threshcli.errors import DeviceError
from threshcli.kernels.base import Block, Scalar
from threshcli.kernels.torch_devices import accelerators, check_device
from threshcli.spec import Number

COMPARES: tuple[Compare, ...] = ("gt", "ge", "lt", "le")
SMALL = [dtype for dtype in REAL if dtype.itemsize == 1 and dtype is not BOOL]
HALVES = [FLOAT16, BFLOAT16, DTYPES["int16"], DTYPES["uint16"]]
every_dtype = pytest.mark.parametrize("dtype", REAL, ids=str)


@every_set
@every_dtype
def test_what_is_loaded_is_stored(name: str, dtype: DType) -> None:
    """Every bit survives, in either byte order."""
    values = reference.special(dtype)
    with using(name) as k:
        little = k.load(reference.pack(values, dtype), dtype)
        assert k.elements(little) == len(values)
        assert stored(k, little) == values
        assert bytes(k.store(little, swapped=True)) == bytes(reference.pack(values, dtype, swapped=True))
        assert stored(k, little) == values, "storing does not alter the block"
        big = k.load(reference.pack(values, dtype, swapped=True), dtype, swapped=True)
        assert stored(k, big) == values


@every_set
def test_a_byte_above_one_is_a_true_bool(name: str) -> None:
    """Files may hold any byte in a bool tensor."""
    with using(name) as k:
        assert stored(k, load(k, [0, 1, 2, 255], BOOL)) == [0, 1, 1, 1]


@every_set
def test_bytes_are_loaded_from_where_they_are(name: str) -> None:
    """At an odd address too."""
    values = [1, 2**40, -3 & (1 << 64) - 1]
    raw = memoryview(bytearray(b"?" + reference.pack(values, INT64)))[1:]
    with using(name) as k:
        x = k.load(raw, INT64)
        assert stored(k, x) == values
        assert k.measure(x).low == -3


@pytest.mark.parametrize("name", [name for name in SETS if name != "numpy"])
def test_torch_copies_bytes_that_must_not_be_written_to(name: str) -> None:
    """It has no tensors that are read-only, and warns of them."""
    with using(name) as k:
        raw = bytes(reference.pack([1, 2, 3], INT64, swapped=True))
        assert stored(k, k.load(memoryview(raw), INT64, swapped=True)) == [1, 2, 3]
        assert raw == bytes(reference.pack([1, 2, 3], INT64, swapped=True))


@every_set
def test_buffers_are_writable_and_apart(name: str) -> None:
    """Each buffer has its own bytes until reset."""
    with using(name) as k:
        one, two = k.buffer(5), k.buffer(3)
        one[:], two[:] = b"aaaaa", b"bbb"
        assert (bytes(one), bytes(two)) == (b"aaaaa", b"bbb")
        assert stored(k, k.load(one, UINT8)) == [97] * 5
        k.reset()
        assert len(k.buffer(7)) == 7
        assert len(k.buffer(0)) == 0


@every_set
@every_dtype
@pytest.mark.parametrize("many", [0, 1])
def test_empty_and_one_element_blocks_work(name: str, dtype: DType, many: int) -> None:
    """No operation needs a second element, or a first."""
    values = [1] * many
    with using(name) as k:
        x = load(k, values, dtype)
        mask = k.within(x, dtype.keys)
        assert bits(k, mask) == [True] * many
        assert bits(k, k.isnan(x)) == [False] * many
        assert bits(k, k.against(x, "eq", x)) == [True] * many
        assert stored(k, k.select(mask, x, 0, dtype)) == values
        assert k.count(mask) == many
        assert k.first(mask) == (0 if many else None)
        assert k.changed(x, x, 0) == 0
        assert k.elements(k.cast(x, FLOAT32)) == many
        assert k.elements(k.limit(x, UINT8, up=True)) == many


@every_set
@settings(max_examples=150)
@given(st.data())
def test_within_is_an_interval_of_keys(name: str, data: st.DataObject) -> None:
    """NaN lies in none; magnitudes are those of the numbers, also of the least integer."""
    dtype, magnitude = data.draw(real_dtypes), data.draw(st.booleans())
    values, keys = data.draw(blocks(dtype)), data.draw(key_ranges(dtype, magnitude=magnitude))
    with using(name) as k:
        mask = k.within(load(k, values, dtype), keys, magnitude=magnitude)
        assert bits(k, mask) == reference.within(values, dtype, keys, magnitude=magnitude)


@pytest.mark.parametrize("dtype", SMALL + HALVES, ids=str)
@pytest.mark.parametrize("magnitude", [False, True])
def test_within_is_right_for_every_code_of_narrow_dtypes(dtype: DType, magnitude: bool) -> None:
    """All 256 or 65,536 codes, over ranges that meet each end, zero, or nothing."""
    values, bounds = list(range(1 << dtype.bits)), dtype.magnitude_keys if magnitude else dtype.keys
    low, high = bounds.low, bounds.high
    ranges = [Range(low, high), Range(1, high), Range(low, -1), Range(0, 0), Range(low + 1, high - 1), Range(2, 1)]
    places = [reference.key(code, dtype) for code in values]
    sizes = [None if place is None else abs(place) if magnitude else place for place in places]
    nan = [size is None for size in sizes]
    expected = [[size is not None and keys.low <= size <= keys.high for size in sizes] for keys in ranges]
    for name in SETS:
        with using(name) as k:
            x = load(k, values, dtype)
            assert bits(k, k.isnan(x)) == nan, name
            found = [bits(k, k.within(x, keys, magnitude=magnitude)) for keys in ranges]
            assert found == expected, name


@every_set
@settings(max_examples=150)
@given(st.data())
def test_compare_with_a_number_is_exact(name: str, data: st.DataObject) -> None:
    """For every dtype, operator and number, those beyond the dtype's range included; floats see it rounded."""
    dtype, magnitude, cut = data.draw(real_dtypes), data.draw(st.booleans()), data.draw(_cuts())
    values, compare = data.draw(blocks(dtype)), data.draw(st.sampled_from(COMPARES))
    with using(name) as k:
        mask = k.compare(load(k, values, dtype), compare, Scalar(cut), magnitude=magnitude)
        assert bits(k, mask) == reference.scalar(values, dtype, compare, cut, magnitude=magnitude)


def _cuts() -> st.SearchStrategy[Real]:
    """Numbers, and the values that elements have."""
    return st.one_of(reals, real_dtypes.flatmap(lambda dtype: codes(dtype).map(lambda c: reference.decode(c, dtype))))


@every_set
@settings(max_examples=60)
@given(st.data())
def test_between_is_both_comparisons(name: str, data: st.DataObject) -> None:
    """With two numbers, or a number and a map."""
    dtype, other = data.draw(real_dtypes), data.draw(real_dtypes)
    pairs = data.draw(st.lists(st.tuples(codes(dtype), codes(other)), max_size=8))
    values, limits = [a for a, _ in pairs], [b for _, b in pairs]
    one, two = data.draw(st.sampled_from(COMPARES)), data.draw(st.sampled_from(COMPARES))
    low, high = data.draw(_cuts()), data.draw(_cuts())
    first = reference.scalar(values, dtype, one, low)
    with using(name) as k:
        x, upper = load(k, values, dtype), load(k, limits, other)
        second = reference.scalar(values, dtype, two, high)
        mask = k.between(x, (one, Scalar(low)), (two, Scalar(high)))
        assert bits(k, mask) == [a and b for a, b in zip(first, second, strict=True)]
        second = reference.against(values, dtype, two, limits, other)
        mask = k.between(x, (one, Scalar(low)), (two, upper))
        assert bits(k, mask) == [a and b for a, b in zip(first, second, strict=True)]


@every_set
@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=9))
def test_masks_are_sets_of_elements(name: str, pairs: list[tuple[bool, bool]]) -> None:
    """invert, both, count and first are what they say."""
    a, b = [one for one, _ in pairs], [two for _, two in pairs]
    with using(name) as k:
        left, right = masked(k, a), masked(k, b)
        assert bits(k, k.invert(left)) == [not one for one in a]
        assert bits(k, k.both(left, right)) == [one and two for one, two in pairs]
        assert k.count(left) == sum(a)
        assert k.first(left) == (a.index(True) if any(a) else None)
        assert bits(k, left) == a, "a mask is not altered by what is done with it"


@every_set
@every_dtype
def test_select_moves_bits(name: str, dtype: DType) -> None:
    """Payloads of NaN, signs of zero and all else come through, whichever operands are constants."""
    dice = random.Random(7)
    left = reference.special(dtype)
    right = dice.sample(left, len(left))
    mask = [dice.random() < 0.5 for _ in left]
    constants = [0, 1, left[-1], left[len(left) // 2]]
    with using(name) as k:
        x, y, chosen = load(k, left, dtype), load(k, right, dtype), masked(k, mask)
        operands: list[tuple[Block | int, list[int]]] = [
            (x, left),
            (y, right),
            *((c, [c] * len(left)) for c in constants),
        ]
        for a, first in operands:
            for b, second in operands:
                expected = [p if m else q for m, p, q in zip(mask, first, second, strict=True)]
                assert stored(k, k.select(chosen, a, b, dtype)) == expected
        assert (stored(k, x), stored(k, y), bits(k, chosen)) == (left, right, mask), "no operand is altered"


@every_set
def test_where_encodes_numbers_and_casts_blocks(name: str) -> None:
    """The numbers are written as the output's dtype has them."""
    with using(name) as k:
        x = load(k, [1, 2, 3], UINT8)
        out = k.where(masked(k, [True, False, True]), x, Number.parse("0.5"), FLOAT32)
        assert [reference.decode(code, FLOAT32) for code in stored(k, out)] == [1, Fraction(1, 2), 3]


@every_set
@settings(max_examples=120)
@given(st.data())
def test_changed_counts_values_that_differ(name: str, data: st.DataObject) -> None:
    """Between any two dtypes; NaN equals NaN and -0.0 equals 0.0."""
    dtype = data.draw(real_dtypes)
    other = data.draw(st.one_of(st.just(dtype), real_dtypes))
    pairs = data.draw(st.lists(st.tuples(codes(dtype), codes(other)), max_size=8))
    if other is dtype:
        pairs += [(a, a) for a, _ in pairs]
    values = [(reference.decode(a, dtype), reference.decode(b, other)) for a, b in pairs]
    nan = sum(reference.is_nan(a) for a, _ in values)
    with using(name) as k:
        x, y = load(k, [a for a, _ in pairs], dtype), load(k, [b for _, b in pairs], other)
        assert k.changed(x, y, nan) == sum(not _same(a, b) for a, b in values)


def _same(a: Real, b: Real) -> bool:
    return a == b or (reference.is_nan(a) and reference.is_nan(b))


@every_set
@pytest.mark.parametrize("dtype", [dtype for dtype in FLOATS if dtype.itemsize == 1], ids=str)
@pytest.mark.parametrize("nan", [False, True])
def test_changed_is_right_for_every_8_bit_float(name: str, dtype: DType, nan: bool) -> None:
    """Every code, with NaN or without, beside itself and, in turn, beside others near and far."""
    values = [reference.decode(code, dtype) for code in range(256)]
    known = [code for code in range(256) if nan or not reference.is_nan(values[code])]
    many = sum(reference.is_nan(values[code]) for code in known)
    with using(name) as k:
        for shift in (*range(0, len(known), 17), 1):
            turned = known[shift:] + known[:shift]
            differ = sum(not _same(values[a], values[b]) for a, b in zip(known, turned, strict=True))
            assert k.changed(load(k, known, dtype), load(k, turned, dtype), many) == differ


def test_the_cpu_is_always_there() -> None:
    check_device("cpu")
    for device in accelerators():
        check_device(device)
    assert ("cuda" in SETS) == ("cuda" in accelerators())


@pytest.mark.parametrize("device", ["auto", "cuda:99", "cuda:", "cuda:-1", "gpu", "", "CPU", "cpu:0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device: str) -> None:
    """One line, and a hint that names the devices."""
    with pytest.raises(DeviceError, match="there is no device") as caught:
        check_device(device)
    assert "cpu" in (caught.value.hint or "")
