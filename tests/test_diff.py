"""`thresh diff` against NumPy and exact fractions: what is equal, what is not, by how much and where."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import reference
from tests.files import write_codes
from tests.harness import Ran, thresh
from tests.reference import pack, special
from tests.strategies import codes, real_dtypes
from tests.test_report_machine import parsed
from threshcli.dtypes import DTYPES, DType
from threshcli.kernels._numpy_convert import storage
from threshcli.kernels._numpy_distance import distance

RNG = np.random.default_rng(7)
Arrays = npt.NDArray[Any]


def document(*arguments: object, status: int) -> Any:
    """The report for programs, which keeps to the schema."""
    ran = thresh("diff", *arguments, "--json")
    assert (ran.status, ran.err) == (status, "")
    found = parsed(ran.out)
    assert found["totals"]["same"] is (status == 0)
    return found


def compared(a: Arrays, b: Arrays, *options: object, status: int) -> Any:
    """Two arrays, as files in the working folder."""
    np.save("a.npy", a)
    np.save("b.npy", b)
    (tensor,) = document("a.npy", "b.npy", *options, status=status)["files"][0]["tensors"]
    return tensor


def test_a_file_is_the_same_as_itself(folder: Path) -> None:
    """With NaN in it, too, and whatever its elements are."""
    for name in ("m.npy", "nan.npy", "z.npy", "i.npy"):
        ran = thresh("diff", name, name)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.startswith("the same: 1 tensor, none differs, ")


def test_what_differs_is_counted_and_found(folder: Path) -> None:
    """How many, the first, the largest distance and where, also in relation to b."""
    a = np.arange(24.0).reshape(2, 3, 4)
    b = a.copy()
    b[0, 2, 1], b[1, 0, 0], b[1, 2, 3], b[0, 0, 0] = 10, 8, 23.5, 0.5
    tensor = compared(a, b, status=1)
    assert tensor["differs"] == ["values"]
    assert (tensor["differing"], tensor["first"], tensor["one_nan"]) == (4, [0, 0, 0], 0)
    assert (tensor["max_abs"], tensor["max_abs_at"]) == (4.0, [1, 0, 0])
    assert (tensor["max_rel"], tensor["max_rel_at"]) == (1.0, [0, 0, 0])
    row = thresh("diff", "a.npy", "b.npy").out.splitlines()[2]
    assert row.split()[:6] == ["a", "2x3x4", "float64", "values", "4", "(16.7%)"]
    assert " ".join(row.split()[6:]) == "[0, 0, 0] 4 [1, 0, 0] 1 0"


@pytest.mark.parametrize("order_a", "CF")
@pytest.mark.parametrize("order_b", "CF")
def test_order_in_memory_byte_order_tiles_and_workers_change_nothing(order_a: str, order_b: str, folder: Path) -> None:
    """More than a tile of elements; several places share the largest distance: the first of them is told."""
    a = RNG.integers(-100, 100, (700, 900, 2)).astype("f4")
    b = a.copy()
    for place in ((699, 1, 0), (20, 899, 1), (350, 20, 0), (20, 899, 0)):
        b[place] += 1000
    b[3, 800, 1] += 1
    made = np.array(a, "<f4", order=order_a), np.array(b, ">f4", order=order_b)  # type: ignore[call-overload]
    found = [compared(*made, "-j", jobs, "--max-memory", size, status=1) for jobs, size in ((1, "64MiB"), (3, "1MiB"))]
    assert found[0] == found[1]
    assert (found[0]["differing"], found[0]["first"]) == (5, [3, 800, 1])
    assert (found[0]["max_abs"], found[0]["max_abs_at"]) == (1000, [20, 899, 0])


def exact(code: int, dtype: DType) -> Any:
    """A value as a Fraction where it is finite; NaN equals NaN."""
    value = reference.decode(code, dtype)
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


@given(real_dtypes, real_dtypes, st.data())
def test_values_of_any_two_dtypes_are_compared_exactly(first: DType, second: DType, data: st.DataObject) -> None:
    """As fractions, and so is the largest distance, to the rounding of its float64."""
    pairs = data.draw(st.lists(st.tuples(codes(first), codes(second)), min_size=1, max_size=12))
    found = in_memory([a for a, _ in pairs], first, [b for _, b in pairs], second)
    values = [(exact(a, first), exact(b, second)) for a, b in pairs]
    unequal = [index for index, (a, b) in enumerate(values) if a != b]
    assert found.count == len(unequal)
    assert found.first == (unequal[0] if unequal else None)
    apart = [abs(a - b) for a, b in values if not isinstance(a, str) and not isinstance(b, str) and a != b]
    infinite = any("inf" in (str(a) + str(b)) and "nan" not in (str(a), str(b)) and a != b for a, b in values)
    if infinite:
        assert found.largest.value == math.inf
    elif apart:
        assert found.largest.value is not None
        assert found.largest.value == math.inf or Fraction(found.largest.value) == pytest.approx(max(apart), rel=1e-12)
        assert found.largest.value > 0


def in_memory(a: list[int], first: DType, b: list[int], second: DType, **tolerance: Any) -> Any:
    """What the engine finds in two lists of codes."""
    from threshcli.engine.crew import Crew
    from threshcli.engine.differing import Side, Tolerance, differences
    from threshcli.kernels.numpy import NumpyKernels
    from threshcli.tiles import View

    class Held:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def read_into(self, offset: int, buffer: memoryview) -> None:
            buffer[:] = self.data[offset : offset + len(buffer)]

    sides = [
        Side(Held(bytes(pack(values, dtype))), View(0, (len(values),), (1,), dtype.itemsize), dtype)
        for values, dtype in ((a, first), (b, second))
    ]
    return differences(sides[0], sides[1], Tolerance(**tolerance), Crew(1, NumpyKernels), 1 << 20)


@given(real_dtypes, real_dtypes, st.data())
def test_a_distance_is_that_of_the_exact_values(first: DType, second: DType, data: st.DataObject) -> None:
    """Both ways round; zero of equal values alone."""
    a, b = data.draw(codes(first)), data.draw(codes(second))
    arrays = [np.frombuffer(bytes(pack([code], dtype)), storage(dtype)) for code, dtype in ((a, first), (b, second))]
    found = distance(arrays[0], first, arrays[1], second)
    assert found == distance(arrays[1], second, arrays[0], first) or np.isnan(found)
    x, y = reference.decode(a, first), reference.decode(b, second)
    if any(isinstance(value, float) for value in (x, y)):
        return
    expected = abs(Fraction(x) - Fraction(y))
    (value,) = found.tolist()
    assert (value == 0) is (expected == 0)
    assert math.isinf(value) or Fraction(value) == pytest.approx(expected, rel=3e-16, abs=0)
    if found.dtype == np.uint64:
        assert value == expected


def test_integers_beyond_float64_are_not_rounded(folder: Path) -> None:
    """2^53 + 1 is no float64, and has its distance of 1 from the next."""
    whole = np.array([2**53 + 1, 2**63 - 1, -(2**63)])
    tensor = compared(whole, whole.astype("f8"), "--ignore-dtype", status=1)
    assert (tensor["differing"], tensor["first"], tensor["max_abs"], tensor["max_abs_at"]) == (2, [0], 1.0, [0])
    tensor = compared(whole, whole - np.array([1, 0, -(2**63)]), status=1)
    assert (tensor["max_abs"], tensor["max_abs_at"]) == (2**63, [2])
    assert compared(np.array([2**64 - 1], "u8"), np.array([0], "u8"), status=1)["max_abs"] == 2**64 - 1
    assert compared(np.array([2**64 - 1], "u8"), np.array([-1]), "--ignore-dtype", status=1)["max_abs"] == 2.0**64


def test_another_dtype_is_a_difference_of_its_own(folder: Path) -> None:
    write_codes(Path("h.safetensors"), {"h": (DTYPES["bfloat16"], [0x3F80, 0x4000])})
    np.save("f.npy", np.array([1, 2], "f4"))
    (tensor,) = document("h.safetensors", "f.npy", status=1)["files"][0]["tensors"]
    assert (tensor["differs"], tensor["dtype"], tensor["other_dtype"]) == (["dtype"], "bfloat16", "float32")
    assert tensor["differing"] == 0
    assert thresh("diff", "h.safetensors", "f.npy", "--ignore-dtype").status == 0
    tensor = compared(np.array([1, 2]), np.array([1, 2.5]), status=1)
    assert tensor["differs"] == ["dtype", "values"]


def test_values_of_another_shape_are_not_compared(folder: Path) -> None:
    tensor = compared(np.zeros((2, 3)), np.zeros((3, 2)), status=1)
    assert (tensor["differs"], tensor["shape"], tensor["other_shape"]) == (["shape"], [2, 3], [3, 2])
    assert tensor["differing"] is None
    assert compared(np.zeros(3), np.zeros((3, 1), "f4"), status=1)["differs"] == ["shape", "dtype"]
    np.save("a.npy", np.zeros((2, 3)))
    assert thresh("diff", "a.npy", "b.npy").out.splitlines()[2].split()[:4] == ["a", "2x3", "|", "3x1"]


def test_nan_equals_nan_unless_it_may_not(folder: Path) -> None:
    """Whatever its payload; one NaN alone is a difference without a distance."""
    a = np.array([np.nan, 1, np.nan, 4], "f4")
    b = a.copy()
    b.view("u4")[0] |= 0x80000001
    assert compared(a, b, status=0)["differing"] == 0
    tensor = compared(a, a, "--nan-differs", status=1)
    assert (tensor["differing"], tensor["first"], tensor["one_nan"], tensor["max_abs"]) == (2, [0], 2, None)
    b[1], b[3] = np.nan, 5
    tensor = compared(a, b, status=1)
    assert (tensor["differing"], tensor["one_nan"], tensor["max_abs"], tensor["max_abs_at"]) == (2, 1, 1.0, [3])


def test_zeros_have_one_value_and_two_bits(folder: Path) -> None:
    a, b = np.array([0.0, 1]), np.array([-0.0, 1])
    assert compared(a, b, status=0)["differing"] == 0
    tensor = compared(a, b, "--bits", status=1)
    assert (tensor["differing"], tensor["first"], tensor["max_abs"]) == (1, [0], 0.0)
    nan = np.array([np.nan])
    assert compared(nan, nan, "--bits", status=0)["differing"] == 0
    assert compared(nan, -nan, "--bits", status=1)["differing"] == 1
    assert compared(np.array([1.0]), np.array([1]), "--bits", status=1)["reason"] is not None


def test_bytes_of_bool_are_values_unless_bits_count(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 7)):
        write_codes(tmp_path / f"{name}.safetensors", {"x": (DTYPES["bool"], [1, 0, value])})
    both = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert thresh("diff", *both).status == 0
    assert thresh("diff", *both, "--bits").status == 1


FLOATS = ("f2", "f4", "f8")


@pytest.mark.parametrize("kind", [*FLOATS, "i4", "c8", "c16"])
@pytest.mark.parametrize(("rtol", "atol"), [(0, 0), (1e-3, 0), (0, 0.01), (1e-2, 1e-3), (0, math.inf), (1, 5)])
def test_tolerances_are_those_of_numpy(kind: str, rtol: float, atol: float, folder: Path) -> None:
    """isclose, infinities and NaN among the elements; the distances are of all that is unequal."""
    a = RNG.normal(size=400) * 10
    b = a + RNG.normal(size=400) * 10.0 ** RNG.integers(-6, 1, 400)
    if kind in FLOATS:
        a[:4], b[:4] = [np.inf, -np.inf, np.nan, 1], [np.inf, np.inf, 2, np.inf]
    x, y = a.astype(kind), b.astype(kind)
    if kind.startswith("c"):
        x.imag, y.imag = b[::-1], a[::-1]
    with np.errstate(all="ignore"):
        wide = "c16" if kind.startswith("c") else "f8"
        close = np.isclose(x.astype(wide), y.astype(wide), rtol=rtol, atol=atol, equal_nan=True)
        apart = np.abs(x.astype(wide) - y.astype(wide))[~((x == y) | (np.isnan(x) & np.isnan(y)))]
    tensor = compared(x, y, "--rtol", rtol, "--atol", atol, status=int(not close.all()))
    assert tensor["differing"] == int((~close).sum())
    assert tensor["first"] == (None if close.all() else [int((~close).argmax())])
    assert float(tensor["max_abs"]) == pytest.approx(np.nanmax(apart))


@pytest.mark.parametrize("kind", ["c8", "c16"])
def test_complex_elements_differ_in_either_part(kind: str, folder: Path) -> None:
    """By abs(a - b); NaN in one part is no NaN in the other."""
    a = np.array([[1 + 1j, 2], [3, 4j]], kind)
    b = np.array([[1 + 1j, 2 - 4j], [6, 4j]], kind)
    tensor = compared(a, b, status=1)
    assert (tensor["differing"], tensor["first"], tensor["max_abs"], tensor["max_abs_at"]) == (2, [0, 1], 4.0, [0, 1])
    assert compared(np.array([complex(math.nan, 1)]), np.array([complex(1, math.nan)]), status=1)["one_nan"] == 1
    assert compared(a, a.astype("c16"), "--ignore-dtype", status=0)["differing"] == 0
    tensor = compared(a, a.real, "--ignore-dtype", status=1)
    assert (tensor["differs"], tensor["reason"]) == (
        ["dtype"],
        f"complex{8 * a.itemsize} and float{4 * a.itemsize} cannot be compared",
    )


@given(st.sampled_from([dtype for dtype in DTYPES.values() if dtype.is_real]), st.data())
def test_tolerances_of_every_dtype_are_those_of_its_values(dtype: DType, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(special(dtype)), codes(dtype)), min_size=1, max_size=8))
    rtol, atol = data.draw(st.tuples(st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, 3.0])))
    found = in_memory([a for a, _ in pairs], dtype, [b for _, b in pairs], dtype, rtol=rtol, atol=atol)
    x, y = (np.array([float(reference.decode(pair[side], dtype)) for pair in pairs]) for side in (0, 1))
    if dtype.bits == 64:  # the float64 copy of an integer says nothing of those near it
        return
    with np.errstate(all="ignore"):
        close = np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=True)
    assert found.count == int((~close).sum())


def test_quiet_says_nothing_but_the_status(folder: Path) -> None:
    assert thresh("diff", "v.npy", "i.npy", "-q") == Ran(1, "", "")
    assert thresh("diff", "v.npy", "v.npy", "-q") == Ran(0, "", "")
    ran = thresh("diff", "v.npy", "missing.npy", "-q")
    assert (ran.status, ran.lines[0]) == (4, "thresh: error: missing.npy: no such file")
