"""Every set of kernels gives the same bytes, also in blocks much longer than a vector."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import pytest

from tests.kernel_sets import SETS, using
from tests.strategies import REAL
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, INT64, DType, Range
from threshcli.kernels.base import Block, Kernels, Operator

MANY = 4099
every_dtype = pytest.mark.parametrize("dtype", REAL, ids=str)


def _random(dtype: DType, seed: int) -> bytes:
    """The bytes of a block with a bit of everything: random bits, of which every fifth element is a zero or a one."""
    dice = random.Random(seed)
    raw = bytearray(dice.randbytes(MANY * dtype.itemsize))
    few = [code.to_bytes(dtype.itemsize, "little") for code in (0, 1, dtype.sign or 1)]
    for place in range(0, MANY, 5):
        raw[place * dtype.itemsize : (place + 1) * dtype.itemsize] = few[place % 3]
    return bytes(raw)


def _answers(dtype: DType, other: DType, ask: Callable[[Kernels, Block, Block], bytes]) -> list[bytes]:
    """What each set of kernels answers, asked about the same two blocks."""
    left, right, found = _random(dtype, 1), _random(other, 2), []
    for name in SETS:
        with using(name) as k:
            x, y = (k.load(memoryview(bytearray(raw)), kind) for raw, kind in ((left, dtype), (right, other)))
            found.append(ask(k, x, y))
    return found


def _alike(answers: list[bytes]) -> bool:
    return all(answer == answers[0] for answer in answers)


@every_dtype
def test_long_blocks_are_selected_alike(dtype: DType) -> None:
    """Above a middle key, by magnitude, and against another block; the sets' masks are used on their own blocks."""
    keys, sizes = dtype.interval("gt", 1), dtype.interval("le", 2, magnitude=True)

    def ask(k: Kernels, x: Block, y: Block) -> bytes:
        first = k.select(k.within(x, keys), x, 0, dtype)
        second = k.select(k.within(x, sizes, magnitude=True), 1, y, dtype)
        mask = k.against(x, "ge", y)
        third = k.select(k.both(k.invert(mask), k.invert(k.isnan(x))), first, second, dtype)
        blocks = [first, second, third]
        told = repr((k.count(mask), k.first(mask), k.changed(x, third, k.count(k.isnan(x)))))
        return b"".join(bytes(k.store(block)) for block in blocks) + told.encode()

    assert _alike(_answers(dtype, dtype, ask))


@every_dtype
def test_numbers_are_put_into_long_blocks_alike(dtype: DType) -> None:
    """In place, and nothing else is touched; what was made in scratch does not last, the block does."""

    def ask(k: Kernels, x: Block, y: Block) -> bytes:
        found = k.select(k.isnan(x), y, x, dtype)
        before = bytes(k.store(found))
        with k.scratch():
            mask = k.against(x, "gt", y)
            k.put(found, mask, 1)
            marked = bytes(k.store(k.select(mask, 1, 0, DTYPES["uint8"])))
        after = bytes(k.store(found))
        size = dtype.itemsize
        for place, chosen in enumerate(marked):
            own = slice(place * size, (place + 1) * size)
            assert after[own] == ((1).to_bytes(size, "little") if chosen else before[own])
        return after

    assert _alike(_answers(dtype, dtype, ask))


@every_dtype
@pytest.mark.parametrize("other", [FLOAT64, INT64, DTYPES["uint64"], DTYPES["bfloat16"]], ids=str)
def test_long_blocks_are_compared_alike_with_other_dtypes(dtype: DType, other: DType) -> None:
    """Maps come as float64 mostly, and as whatever a file holds."""

    def ask(k: Kernels, x: Block, y: Block) -> bytes:
        mask = k.both(k.against(x, "gt", y, magnitude=True), k.against(y, "le", x))
        return bytes(k.store(k.select(mask, 1, 0, DTYPES["uint8"])))

    assert _alike(_answers(dtype, other, ask))


@every_dtype
def test_long_blocks_are_cast_alike(dtype: DType) -> None:
    """To every float dtype; NaN is seen to where all codes are cast."""

    def ask(k: Kernels, x: Block, y: Block) -> bytes:
        known = k.select(k.isnan(x), 0, x, dtype)
        return b"".join(bytes(k.store(k.cast(known, to))) for to in REAL if to.is_float)

    assert _alike(_answers(dtype, FLOAT32, ask))


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_long_blocks_are_calculated_with_alike(dtype: DType) -> None:
    """Numbers and blocks on either side, subnormals among them, each result rounded once; NaN is told, not its bits."""
    one, third = (dtype.code(dtype.key(Fraction(1, part))) for part in (1, 3))

    def ask(k: Kernels, x: Block, y: Block) -> bytes:
        limit = k.select(k.within(y, Range(0, dtype.top)), y, one, dtype)
        found = [k.clip(x, limit), k.clip(x, third)]
        operators: tuple[Operator, ...] = ("+", "-", "*", "/")
        for operator in operators:
            found += [k.calculate(a, operator, b) for a, b in ((x, y), (x, third), (third, x))]
        found.append(k.calculate(x, "*", y, into=k.select(k.isnan(x), y, x, dtype)))
        return b"".join(bytes(k.store(k.select(k.isnan(block), one, block, dtype))) for block in found)

    assert _alike(_answers(dtype, dtype, ask))


@every_dtype
def test_long_blocks_are_measured_alike(dtype: DType) -> None:
    """Extremes and counts; sums differ by the order of additions."""

    def ask(k: Kernels, x: Block, y: Block) -> bytes:
        return repr(k.measure(k.select(k.isnan(x), 0, x, dtype))).encode()

    assert _alike(_answers(dtype, FLOAT32, ask))
