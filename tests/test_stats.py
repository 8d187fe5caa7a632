"""`thresh stats` against NumPy on float64 copies, for every real dtype."""

from __future__ import annotations

import json
import math
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests import reference
from tests.files import CODES, write_codes
from tests.harness import Ran, refused, thresh
from tests.studying import Runner
from threshcli.cli.stats import parse_percentiles
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, DType
from threshcli.studies.base import VALUE
from threshcli.studies.percentiles import percentiles
from threshcli.studies.ranks import percentile

REAL = [dtype for dtype in DTYPES.values() if dtype.is_real]
RNG = np.random.default_rng(2024)
WANTED = ("0", "1", "37.5", "50", "99.9", "100")

Numbers = npt.NDArray[np.float64]


def shown(*arguments: object) -> Any:
    """The first tensor of a report that must have no fault."""
    ran = thresh("stats", *arguments, "--json")
    assert (ran.status, ran.err) == (0, "")
    return ran.tensor


def plain(value: object) -> float | None:
    """A number of a report, read back."""
    return None if value is None else float(str(value))


def codes_of(dtype: DType) -> list[int]:
    """Codes of all kinds: the extremes, zeros, NaN and infinities where there are any."""
    if dtype.kind == "bool":
        return [0, 1, 1, 0, 1]
    special = [dtype.nan] if dtype.is_float else []
    special += [dtype.code(key) for key in (dtype.keys.low, dtype.keys.high, 0, 1, 2)]
    return special * 2 + [int(code) for code in RNG.integers(0, 1 << dtype.bits, 300, dtype=np.uint64)]


@pytest.mark.parametrize("magnitude", [False, True], ids=["x", "|x|"])
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_the_numbers_are_those_of_numpy(dtype: DType, magnitude: bool, tmp_path: Path) -> None:
    """Counts and extremes exactly; sums to within rounding of float64."""
    codes = codes_of(dtype)
    values = [reference.decode(code, dtype) for code in codes]
    if magnitude:
        values = [reference.size(value) for value in values]
    usable = [value for value in values if value == value]
    finite = [value for value in usable if math.isfinite(value)]
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, codes)})
    found = shown(tmp_path / "x.safetensors", *(["--magnitude"] if magnitude else []))
    assert found["elements"] == len(codes)
    assert found["zeros"] == sum(value == 0 for value in values)
    assert found["density"] == (len(codes) - found["zeros"]) / len(codes)
    assert (found["nan"], found["inf"]) == (len(values) - len(usable), len(usable) - len(finite))
    assert (plain(found["min"]), plain(found["max"])) == (float(min(usable)), float(max(usable)))
    assert Fraction(found["norm_max"]) == max(reference.size(value) for value in finite)
    check_moments(found, np.array([float(value) for value in finite]))


def check_moments(found: Any, data: Numbers) -> None:
    """Mean, spread and norms; where squares overflow float64, so do ours."""
    with np.errstate(over="ignore"):
        scale = np.abs(data).max()
        small = data / scale
        expected = {
            "mean": float(small.mean()) * scale,
            "std": float(small.std()) * scale,
            "norm1": float(np.abs(small).sum()) * scale,
            "norm2": float(np.linalg.norm(small)) * scale,
        }
    for name in ("mean", "norm1", "norm2"):
        assert plain(found[name]) == pytest.approx(expected[name], rel=1e-12, abs=1e-12 * scale), name
    assert plain(found["std"]) == pytest.approx(expected["std"], rel=1e-12) or expected["std"] > 1e154


@pytest.mark.parametrize("dtype", [dtype for dtype in REAL if dtype.name != "float64"], ids=str)
def test_percentiles_are_those_of_numpy_bit_for_bit(dtype: DType, tmp_path: Path) -> None:
    """Linear, of the float64 copy without NaN."""
    codes = [code for code in codes_of(dtype) if math.isfinite(reference.decode(code, dtype))]
    data = np.array([float(reference.decode(code, dtype)) for code in codes])
    codes += [dtype.nan] if dtype.is_float else []
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, codes)})
    found = shown(tmp_path / "x.safetensors", "--percentiles", ",".join(WANTED))["percentiles"]
    assert list(found) == list(WANTED)
    assert [found[word] for word in WANTED] == [np.percentile(data, float(word)) for word in WANTED]


@given(
    st.lists(st.floats(width=32), max_size=40),
    st.lists(st.fractions(0, 100, max_denominator=40), min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_several_percentiles_are_those_that_each_would_be(
    values: list[float], ps: list[Fraction], longest: int
) -> None:
    """In the passes of one."""
    data = np.array(values, "f4")
    found = Runner(longest)(percentiles(VALUE, ps), data, FLOAT32)
    for p, value in zip(ps, found, strict=True):
        try:
            alone = Runner()(percentile(VALUE, float(p)), data, FLOAT32).value
        except ValueError:  # between a finite and an infinite one
            assert value is None
        else:
            assert value == alone or (value is None and math.isnan(alone))


def test_percentiles_of_many_elements_share_their_passes() -> None:
    data = RNG.standard_normal(400_000)
    one, several = Runner(1 << 16), Runner(1 << 16)
    one(percentiles(VALUE, [Fraction(50)]), data, FLOAT64)
    found = several(percentiles(VALUE, [Fraction(p) for p in (1, 5, 50, 99)]), data, FLOAT64)
    assert found == tuple(np.percentile(data, [1, 5, 50, 99]))
    assert len(several.passes) <= len(one.passes) + 1


@pytest.mark.parametrize("data", [np.zeros((0, 3)), np.full(3, np.nan)], ids=["empty", "NaN"])
def test_what_has_no_numbers_is_no_error(data: Numbers, tmp_path: Path) -> None:
    """Null for programs, - for people, percentiles too."""
    np.save(tmp_path / "x.npy", data)
    found = shown(tmp_path / "x.npy", "--percentiles", "50")
    assert [found[name] for name in ("min", "max", "mean", "std", "norm_max")] == [None] * 5
    assert (found["norm1"], found["norm2"], found["percentiles"]) == (0.0, 0.0, {"50": None})
    ran = thresh("stats", tmp_path / "x.npy", "--percentiles", "50")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[2].split()[-7:] == ["-"] * 7


def test_infinities_are_extremes_and_in_no_sum(tmp_path: Path) -> None:
    """Of a percentile between a finite and an infinite element there is nothing."""
    np.save(tmp_path / "x.npy", np.array([1.0, 3.0, -np.inf, np.nan]))
    found = shown(tmp_path / "x.npy", "--percentiles", "0,25,50,100")
    assert (found["min"], found["max"], found["mean"], found["norm_max"]) == ("-Infinity", 3.0, 2.0, 3.0)
    assert found["percentiles"] == {"0": "-Infinity", "25": None, "50": 1.0, "100": 3.0}
    np.save(tmp_path / "x.npy", np.array([np.inf, np.inf]))
    found = shown(tmp_path / "x.npy")
    assert (found["min"], found["max"], found["mean"], found["inf"]) == ("Infinity", "Infinity", None, 2)


def test_integers_are_exact(tmp_path: Path) -> None:
    """Beyond what float64 holds, and as magnitudes."""
    np.save(tmp_path / "x.npy", np.array([-(2**63), 2**63 - 1]))
    assert (shown(tmp_path / "x.npy")["min"], shown(tmp_path / "x.npy")["max"]) == (-(2**63), 2**63 - 1)
    found = shown(tmp_path / "x.npy", "--magnitude")
    assert (found["min"], found["max"], found["norm_max"]) == (2**63 - 1, 2**63, 2**63)


def totals(ran: Ran) -> Any:
    return json.loads(ran.out)["totals"]


def test_totals_are_those_of_all_tensors_as_one(folder: Path) -> None:
    """Norms combine; complex tensors and others that are not looked at are in no sum."""
    found = totals(thresh("stats", "v.npy", "m.npy", "z.npy", "--json"))
    both = np.concatenate([np.load("v.npy"), np.load("m.npy").ravel()])
    assert (found["files"], found["tensors"], found["elements"], found["zeros"]) == (3, 2, 14, 1)
    assert (found["min"], found["max"], found["norm1"], found["norm_max"]) == (-1, 9, np.abs(both).sum(), 9)
    assert found["norm2"] == pytest.approx(np.linalg.norm(both), rel=1e-15)


def test_workers_and_memory_change_no_bit(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RNG.standard_normal((1100, 700)).astype("f4"))
    every = [("-j", 1), ("-j", 3), ("-j", 2, "--max-memory", "1MiB")]
    first, *others = [shown(tmp_path / "x.npy", "--percentiles", "1,99", *more) for more in every]
    assert others == [first, first]


def test_the_order_in_memory_changes_no_bit(tmp_path: Path) -> None:
    data = RNG.standard_normal((300, 400))
    np.save(tmp_path / "x.npy", data)
    first = shown(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.asfortranarray(data))
    assert shown(tmp_path / "x.npy") == first


@pytest.mark.parametrize("text", ["", "x", "1,,2", "-1", "100.1", "nan", "1;2"])
def test_a_percentile_that_is_none_is_refused(text: str, folder: Path) -> None:
    refused(thresh("stats", "v.npy", f"--percentiles={text}"), 2, "--percentiles")


def test_percentiles_come_once_and_as_written() -> None:
    assert parse_percentiles(" 1, 99.9,1") == (("1", Fraction(1)), ("99.9", Fraction("99.9")))
    assert parse_percentiles(None) == ()


def test_small_tensors_of_a_large_file_need_no_second_worker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To start a thread for each takes ten times as long as to look at its elements; for a large one it is worth it."""
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def counted(thread: threading.Thread) -> None:
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", counted)
    small = {f"t{number}": np.arange(300_000.0) for number in range(0, 50)}
    save_file({name: x[:4] if name > "t0" else x for name, x in small.items()}, "s.safetensors")
    for words in (["stats"], ["check"], ["solve", "-t", "p50"]):
        begun.clear()
        assert thresh(*words, "s.safetensors", "-j", "3").status == 0
        assert len(begun) in (2, 4), words  # the other two workers, once or twice, of the large one


def test_a_file_that_fails_is_told_last(folder: Path) -> None:
    ran = thresh("stats", "v.npy", "missing.npy")
    assert (ran.status, ran.lines[0]) == (3, "thresh: error: missing.npy: no such file")
    refused(thresh("stats", "missing.npy"), 4, "missing.npy")
    refused(thresh("stats", "v.npy", "-k", "w"), 2, "no tensor matches 'w'")
    refused(thresh("stats", "v.npy", "-j", "many"), 2, "--jobs")


def test_every_code_of_a_format_is_written_by_the_tests() -> None:
    """So that no real dtype is left out above."""
    assert {dtype.name for dtype in REAL} <= set(CODES)
