"""Shrinkage rules: at their edges, with maps and ranks, rounded once."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.files import read_codes, write_codes
from tests.harness import refused, thresh
from tests.reference import decode, is_nan, nearest, pack, size, unpack
from tests.shrinking import arithmetic, done, shrunk
from tests.strategies import FLOATS, REAL, codes
from threshcli.dtypes import BOOL, DTYPES, FLOAT16, FLOAT32, FLOAT64, INT64, DType, Real
from threshcli.kernels.base import Scalar
from threshcli.kernels.numpy import NumpyKernels
from threshcli.rules import find

Array = npt.NDArray[Any]
RULES = ("soft", "garrote", "firm")
every_rule = pytest.mark.parametrize("rule", RULES)


def words(rule: str, low: object, high: object = None) -> list[str]:
    """The thresholds as options; `high` is for firm, 3 times `low` unless given."""
    if rule != "firm":
        return ["-t", str(low)]
    return ["--low", str(low), "--high", str(3 * float(str(low)) if high is None else high)]


@every_rule
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_combination_of_edges_is_right(rule: str, dtype: DType, tmp_path: Path) -> None:
    """Zeros, the smallest, infinities, NaN, against 0, finite and infinite thresholds; zeros that are made are +0.0."""
    if not dtype.signed:
        pytest.skip("float8_e8m0fnu has no zero")
    keys = {0, 1, 2, dtype.key(Fraction(1)), dtype.top - 1, dtype.top}
    held = [dtype.code(sign * key) for key in sorted(keys) for sign in (1, -1)] + [dtype.nan, dtype.nan | dtype.sign]
    held += [dtype.sign] if dtype.negative_zero else []
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, held)})
    kind = arithmetic(dtype)
    cuts: list[Real] = [Fraction(0), dtype.magnitude(1), Fraction(1), dtype.magnitude(dtype.top - 1), math.inf]
    pairs = [(low, high) for low in cuts for high in cuts if low <= high and (rule == "firm" or low == high)]
    for low, high in pairs:
        texts = [exactly(value) for value in (low, high)]
        ran = thresh(rule, tmp_path / "x.safetensors", *words(rule, *texts), "-o", tmp_path / "y.safetensors",
                     "--overwrite", "--json")  # fmt: skip
        assert ran.status == 0, ran.err
        selected = zeros = 0
        for before, after in zip(held, read_codes(tmp_path / "y.safetensors")["x"][1], strict=True):
            x = decode(before, dtype)
            if is_nan(x):
                assert after == before
                continue
            wanted = nearest(shrunk(rule, x, nearest(low, kind), nearest(high, kind), kind), dtype)
            assert decode(after, dtype) == wanted, (x, low, high)
            assert size(x) <= low or (after & dtype.sign) == (before & dtype.sign) or not dtype.negative_zero
            assert size(x) > low or after == 0
            selected, zeros = selected + (size(x) > low), zeros + (wanted == 0)
        assert (ran.tensor["selected"], ran.tensor["kept"], ran.tensor["zeros_after"]) == (selected, selected, zeros)


def exactly(value: Real) -> str:
    """A number as it is read without rounding."""
    if isinstance(value, float):
        return "inf"
    scale = value.denominator.bit_length() - 1  # a power of two
    return f"{value.numerator * 5**scale}e-{scale}"


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_elements_by_any_thresholds_are_the_formula_rounded_operation_by_operation(
    data: st.DataObject, tmp_path: Path
) -> None:
    """Any bits of any dtype to any float dtype, by numbers or by maps of float64."""
    dtype = data.draw(st.sampled_from([dtype for dtype in REAL if dtype.signed]))
    to = dtype if dtype.is_float else data.draw(st.sampled_from([FLOAT16, FLOAT32, FLOAT64, DTYPES["bfloat16"]]))
    rule = data.draw(st.sampled_from(RULES))
    held = data.draw(st.lists(codes(dtype), min_size=1, max_size=12))
    some = st.one_of(st.sampled_from([size_of(code, dtype) for code in held]), st.floats(0, allow_nan=False))
    pairs = [sorted(data.draw(st.tuples(some, some))) for _ in held]
    if not data.draw(st.booleans()):  # numbers
        pairs = [pairs[0]] * len(held)
        slots = words(rule, *(exactly(Fraction(end) if math.isfinite(end) else end) for end in pairs[0]))
    else:
        for name, place in (("low", 0), ("high", 1)):
            np.save(tmp_path / f"{name}.npy", np.array([pair[place] for pair in pairs]))
        slots = ["--low", f"@{tmp_path}/low.npy", "--high", f"@{tmp_path}/high.npy"][::1]
        slots = slots if rule == "firm" else ["-t", slots[1]]
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, held)})
    ran = thresh(rule, tmp_path / "x.safetensors", *slots, "--out-dtype", to.name, "-o", tmp_path / "y.safetensors",
                 "--overwrite", "--json")  # fmt: skip
    assert ran.status == 0, ran.err
    kind, counted = arithmetic(dtype), 0
    for before, after, pair in zip(held, read_codes(tmp_path / "y.safetensors")["x"][1], pairs, strict=True):
        x = nearest(decode(before, dtype), kind)
        if is_nan(x):
            assert after == before
            continue
        low, high = (nearest(Fraction(end) if math.isfinite(end) else end, kind) for end in pair)
        counted += size(x) > low
        assert decode(after, to) == nearest(shrunk(rule, x, low, high, kind), to), (x, low, high)
    assert ran.tensor["selected"] == counted


def size_of(code: int, dtype: DType) -> float:
    """A magnitude as a threshold; 1 for NaN."""
    value = decode(code, dtype)
    return 1.0 if is_nan(value) else abs(float(value))


def test_half_precision_is_rounded_once(tmp_path: Path) -> None:
    """Calculated in float32 with a threshold that float16 does not hold; a wider output keeps what float32 has."""
    x = np.random.default_rng(5).standard_normal(4000).astype(np.float16)
    cut = np.float32(0.3)
    wide = np.sign(x) * np.maximum(np.abs(x).astype(np.float32) - cut, 0)
    for to in ("float16", "float32", "float64"):
        found = done("soft", x, tmp_path, "-t", "0.3", "--out-dtype", to)
        assert found.dtype == to
        np.testing.assert_array_equal(found, wide.astype(to))
    assert np.any(wide.astype(np.float16) != np.sign(x) * np.maximum(np.abs(x) - np.float16(0.3), 0))


def test_a_selected_element_that_rounds_to_zero_is_counted_so(tmp_path: Path) -> None:
    """float16 just above a float32 threshold."""
    np.save(tmp_path / "x.npy", np.array([2.0**-23, -(2.0**-23), 1, 0], np.float16))
    cut = exactly(Fraction(1, 2**23) - Fraction(1, 2**26))
    ran = thresh("soft", tmp_path / "x.npy", "-t", cut, "-o", tmp_path / "y.npy", "--json")
    assert (ran.tensor["selected"], ran.tensor["zeros_before"], ran.tensor["zeros_after"]) == (3, 1, 3)
    assert np.load(tmp_path / "y.npy").tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("ties", ["first", "all", "none"])
@every_rule
def test_a_cut_by_rank_selects_as_many_as_asked_and_shrinks_by_the_cut(rule: str, ties: str, tmp_path: Path) -> None:
    """What is equal to the cut becomes +0.0, whether it is above it by rank or not; only counts know of ties."""
    x = np.array([5, -2, 2, 3, -2, -7, 2, 1, 0], np.float32)
    np.save(tmp_path / "x.npy", x)
    slots = ["--low", "top5", "--high", "6"] if rule == "firm" else ["-t", "top5"]
    plain = done(rule, x, tmp_path, *words(rule, 2, 6))
    ran = thresh(rule, tmp_path / "x.npy", *slots, "--ties", ties, "-o", tmp_path / "z.npy", "--json")
    assert np.load(tmp_path / "z.npy").tobytes() == plain.tobytes()
    assert ran.tensor["selected"] == {"first": 5, "all": 7, "none": 3}[ties]
    assert ran.tensor["zeros_after"] == 6


def test_firm_with_both_cuts_at_one_rank_keeps_exactly_those(tmp_path: Path) -> None:
    """Equal thresholds make it hard, and of the elements equal to both the first ones are above them."""
    x = np.array([5, -2, 2, 3, -2, -7, 2, 1, 0], np.float32)
    for scope in ("tensor", "axis:0"):
        found = done("firm", x.reshape(1, -1), tmp_path, "--low", "top5", "--high", "top5", "--scope", scope)
        assert found.tolist() == [[5, -2, 2, 3, 0, -7, 0, 0, 0]]


def test_ranks_of_integers_beyond_float64_are_exact(tmp_path: Path) -> None:
    """Neighbours that float64 does not tell apart: so many are selected, whatever the arithmetic makes of them."""
    x = np.array([2**60 + 1, 2**60, -(2**60) - 2, 5], np.int64)
    np.save(tmp_path / "x.npy", x)
    for count in (1, 2, 3, 4):
        ran = thresh("soft", tmp_path / "x.npy", "-t", f"top{count}", "--out-dtype", "float64", "-o",
                     tmp_path / "y.npy", "--overwrite", "--json")  # fmt: skip
        assert ran.tensor["selected"] == count
    assert np.load(tmp_path / "y.npy").tolist() == [2.0**60 - 5, 2.0**60 - 5, -(2.0**60) + 5, 0]


def test_a_threshold_along_an_axis_keeps_the_digits_of_the_arithmetic(tmp_path: Path) -> None:
    """Percentiles of float16 fall between its values: they are rounded to float32, and the report tells so."""
    x = np.random.default_rng(6).standard_normal((3, 101)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    ran = thresh("soft", tmp_path / "x.npy", "-t", "p33", "--scope", "axis:0", "-o", tmp_path / "y.npy", "--json",
                 "--out-dtype", "float32")  # fmt: skip
    sizes = np.abs(x).astype(np.float32)
    cuts = np.percentile(np.abs(x).astype(np.float64), 33, axis=1).astype(np.float32)[:, None]
    assert ran.tensor["threshold"]["values"] == cuts.ravel().astype(float).tolist()
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.sign(x) * np.maximum(sizes - cuts, 0))
    single = thresh("soft", tmp_path / "x.npy", "-t", "0.1", "-n", "--json").tensor["threshold"]["value"]
    assert single == float(np.float32(0.1))


@every_rule
def test_integers_need_a_floating_point_output(rule: str, tmp_path: Path) -> None:
    """Refused with that hint; beside floats they are copied, with a warning."""
    np.save(tmp_path / "x.npy", np.array([-128, 5, 0], np.int8))
    slots = words(rule, 2)
    refused(thresh(rule, tmp_path / "x.npy", *slots, "-n"), 2, "int8 has no fractions", "floating-point --out-dtype")
    refused(thresh(rule, tmp_path / "x.npy", *slots, "--out-dtype", "int16", "-n"), 2, "int16 has no fractions")
    refused(thresh(rule, tmp_path / "x.npy", *slots, "--out-dtype", "float8_e8m0fnu", "-n"), 2, "no zero")
    assert done(rule, np.array([-128, 5, 0], np.int8), tmp_path, *slots, "--out-dtype", "float32")[2] == 0
    write_codes(tmp_path / "x.safetensors", {"w": (FLOAT32, [0]), "steps": (INT64, [7])})
    ran = thresh(rule, tmp_path / "x.safetensors", *slots, "-o", tmp_path / "y.safetensors")
    assert ran.status == 0
    assert "'steps' is copied unchanged: int64 has no fractions" in ran.out
    assert read_codes(tmp_path / "y.safetensors")["steps"] == (INT64, [7])


@every_rule
def test_negative_and_crossed_thresholds_are_refused(rule: str, tmp_path: Path) -> None:
    """Numbers and maps, these with the first position."""
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    np.save(tmp_path / "m.npy", np.array([[1, 0, 2], [3, -1, 2.0]]))
    low = "--low" if rule == "firm" else "-t"
    high = ["--high", "9"] if rule == "firm" else []
    refused(thresh(rule, tmp_path / "x.npy", low, "-1", *high, "-n"), 2, "negative")
    asked = [rule, tmp_path / "x.npy", low, f"@{tmp_path}/m.npy", *high, "-o", tmp_path / "y.npy"]
    refused(thresh(*asked), 2, "negative at [1, 1]")
    if rule == "firm":
        np.save(tmp_path / "m.npy", np.array([[1, 0, 2], [3, 1, 9.5]]))
        refused(thresh(*asked), 2, "--low is above --high at [1, 2]")
        refused(thresh(rule, tmp_path / "x.npy", "--low", "2", "--high", "1", "-n"), 2, "--low is above --high")
    assert not (tmp_path / "y.npy").exists()


@every_rule
def test_nan_is_treated_as_asked(rule: str, tmp_path: Path) -> None:
    """It passes with its bits, is replaced or refused; it is never selected."""
    bits = np.array([0x7FC01234, 0xFFC00001, 0x40A00000], np.uint32)
    x = bits.view(np.float32)
    assert done(rule, x, tmp_path, *words(rule, 1)).view(np.uint32)[:2].tolist() == bits[:2].tolist()
    assert done(rule, x, tmp_path, *words(rule, 1), "--nan", "fill=7")[:2].tolist() == [7, 7]
    refused(thresh(rule, tmp_path / "x.npy", *words(rule, 1), "--nan", "error", "-o", tmp_path / "z.npy"), 4, "NaN")
    ran = thresh(rule, tmp_path / "x.npy", *words(rule, 1), "-o", tmp_path / "z.npy", "--json")
    assert (ran.tensor["selected"], ran.tensor["nan"]) == (1, 2)


@pytest.mark.parametrize("largest", [3.0, 2.0**24, 2.0**25 - 2, 2.0**25, 1e30, math.inf])
def test_elements_too_large_to_be_moved_are_counted_as_unchanged(largest: float, tmp_path: Path) -> None:
    """Around the threshold from which on every element is sure to change, so that they need not be compared."""
    x = np.array([largest, -largest / 2, largest / 3, 1.5, -0.0, 0, 2.0**-149], np.float32)
    np.save(tmp_path / "x.npy", x)
    for cut in (0, 2.0**-149, 0.25, 0.5, 1, 2, 4, 1e30, math.inf):
        ran = thresh("soft", tmp_path / "x.npy", "-t", cut, "-o", tmp_path / "y.npy", "--overwrite", "--json")
        out = np.load(tmp_path / "y.npy")
        assert ran.tensor["changed"] == np.count_nonzero(x != out)
        assert ran.tensor["zeros_after"] == np.count_nonzero(out == 0)
        assert ran.tensor["selected"] == np.count_nonzero(np.abs(x) > np.float32(cut))


@every_rule
@pytest.mark.parametrize("name", ["float16", "bfloat16", "int16", "float8_e5m2", "uint8"])
def test_many_elements_of_few_codes_become_what_few_do(rule: str, name: str) -> None:
    """A table of all codes serves long blocks; short ones are calculated. One key, one table: others do not mix."""
    dtype, k = DTYPES[name], NumpyKernels()
    held = [*range(1 << dtype.bits), 1, 0]
    for to, cuts in ((FLOAT16, (0.3, 2.0)), (FLOAT32, (0.3, 2.0)), (FLOAT16, (1.0, 1.0))):
        slots = [Scalar(Fraction(cut)) for cut in cuts][: 2 if rule == "firm" else 1]

        def applied(codes: list[int], to: DType = to, slots: list[Scalar] = slots) -> tuple[list[int], list[bool]]:
            k.reset()
            with k.session():
                found = find(rule)().apply(k, k.load(pack(codes, dtype), dtype), to, *slots)
                known = k.invert(k.isnan(found.out))
                kept = unpack(k.store(k.select(known, found.out, 0, to)), to)
                return kept, list(map(bool, k.store(k.select(found.selected, 1, 0, BOOL))))

        pieces = [applied(held[first : first + 200]) for first in range(0, len(held), 200)]
        both = [[one for piece in pieces for one in piece[part]] for part in (0, 1)]
        assert list(applied(held)) == both


@every_rule
@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fnuz", "int8"])
@pytest.mark.parametrize("to", [FLOAT16, FLOAT64], ids=str)
def test_long_blocks_of_8_bits_become_what_short_ones_do(rule: str, name: str, to: DType) -> None:
    """They are looked up two elements at a time, and one may be left."""
    dtype, k = DTYPES[name], NumpyKernels()
    slots = [Scalar(Fraction(cut)) for cut in (0.3, 2.0)][: 2 if rule == "firm" else 1]

    def applied(codes: list[int]) -> list[int]:
        k.reset()
        with k.session():
            return unpack(k.store(find(rule)().apply(k, k.load(pack(codes, dtype), dtype), to, *slots).out), to)

    alone = [applied([code])[0] for code in range(256)]
    held = list(random.Random(5).randbytes((1 << 16) + 1))
    assert applied(held) == [alone[code] for code in held]
