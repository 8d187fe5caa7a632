"""`thresh hist` against counts in plain Python, for every real dtype; and its cuts against what rules select."""

from __future__ import annotations

import itertools
import json
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests import reference
from tests.files import CODES, write_codes
from tests.harness import refused, thresh
from tests.test_fresh_process import heavy
from tests.test_report_machine import validator
from threshcli.dtypes import DTYPES, DType, Real

REAL = [dtype for name, dtype in DTYPES.items() if dtype.is_real and name in CODES]
SPECS = ("0", "-3", "1e30", "p40", "top20", "zero30%")


def codes_of(dtype: DType, count: int = 180) -> list[int]:
    """Codes of all kinds, many of them equal, with NaN and infinities where there are any."""
    chance = random.Random(dtype.name)
    if dtype.kind == "bool":
        return [chance.randint(0, 1) for _ in range(count)]
    if not dtype.is_float:
        near = [value % (1 << dtype.bits) for value in range(-9 if dtype.kind == "int" else 0, 9)]
        return [chance.choice((chance.getrandbits(dtype.bits), chance.choice(near))) for _ in range(count)]
    usual = [dtype.encode(Fraction(value, 4)) or 0 for value in range(-12 if dtype.signed else 0, 13)]
    return [chance.choice(usual) for _ in range(count - 3)] + [dtype.nan, dtype.code(dtype.top), dtype.code(1)]


def values_of(codes: list[int], dtype: DType, magnitude: bool = False) -> list[Real]:
    """What is not NaN."""
    found = [reference.decode(code, dtype) for code in codes]
    return [reference.size(value) if magnitude else value for value in found if value == value]


def shown(*arguments: object) -> Any:
    """The first tensor of a document that keeps to the schema."""
    ran = thresh("hist", *arguments, "--json")
    assert ran.status == 0, ran.err
    validator().validate(ran.json)
    return ran.tensor


def rows(found: list[Any], values: list[Real], *, whole: bool) -> list[list[Real]]:
    """The values in each row: from its edge on to the next; of floats the last one holds its end."""
    starts = [Fraction(edge) for edge in found]
    inside: list[list[Real]] = []
    for place, (first, second) in enumerate(itertools.pairwise(starts)):
        end = second if not whole and place == len(starts) - 2 else None
        inside.append([value for value in values if first <= value < second or value == end])
    return inside


@pytest.mark.parametrize("magnitude", [False, True], ids=["x", "|x|"])
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_counts_are_exact_in_every_dtype(dtype: DType, magnitude: bool, tmp_path: Path) -> None:
    """Each finite element is in the row that it lies in, compared as a real number; what is not finite is told."""
    codes = codes_of(dtype)
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, codes)})
    found = shown(tmp_path / "x.safetensors", "--rows", 7, *(["--magnitude"] if magnitude else []))
    values = values_of(codes, dtype, magnitude)
    finite = [value for value in values if math.isfinite(value)]
    assert (found["nan"], found["inf"]) == (len(codes) - len(values), len(values) - len(finite))
    whole = not dtype.is_float
    assert found["counts"] == [len(inside) for inside in rows(found["edges"], finite, whole=whole)]
    assert sum(found["counts"]) == len(finite)
    assert found["edges"][0] == min(finite)
    assert found["edges"][-1] > max(finite) if whole else found["edges"][-1] == max(finite)
    assert (found["threshold"], found["kept"], found["removed"]) == (None, None, None)


@pytest.mark.parametrize("rule", ["binary", "hard"])
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_what_a_cut_keeps_is_what_a_rule_selects(dtype: DType, rule: str, tmp_path: Path) -> None:
    """All thresholds, ties at a cut by rank among them; the removed of each row lie below the cut."""
    codes, path = codes_of(dtype), tmp_path / "x.safetensors"
    write_codes(path, {"x": (dtype, codes)})
    options = ["--magnitude", "--compare", "ge"] if rule == "hard" else []
    writing = ["--fill", 1] if rule == "hard" else ["--below", 1]  # not every dtype has a zero
    finite = [value for value in values_of(codes, dtype, rule == "hard") if math.isfinite(value)]
    for spec in SPECS:
        if rule == "hard" and spec.startswith("-"):
            continue
        selected = thresh(rule, path, "-t", spec, *writing, "-o", tmp_path / "y.safetensors", "--overwrite", "--json")
        if selected.status:  # a percentile between a finite and an infinite element
            assert thresh("hist", path, "-t", spec, *options).status == selected.status
            continue
        found = shown(path, "-t", spec, "--rows", 5, *options)
        assert found["kept"] == selected.tensor["selected"], spec
        assert found["kept"] + found["removed"] + found["nan"] == len(codes)
        assert found["threshold"]["value"] == selected.tensor["threshold"]["value"]
        for inside, gone in zip(
            rows(found["edges"], finite, whole=not dtype.is_float), found["removed_counts"], strict=True
        ):
            cut = found["threshold"]["value"]
            cut = math.inf if cut == "Infinity" else Fraction(cut)
            assert sum(value < cut for value in inside) <= gone <= sum(value <= cut for value in inside)


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_a_band_keeps_what_the_rule_of_that_name_does(dtype: DType, tmp_path: Path) -> None:
    """Both ends are kept; either may be absent."""
    codes, path = codes_of(dtype), tmp_path / "x.safetensors"
    write_codes(path, {"x": (dtype, codes)})
    band = thresh(
        "band", path, "--low", "0.5", "--high", "p90", "--fill", 1, "-o", tmp_path / "y.safetensors", "--json"
    )
    found = shown(path, "--low", "0.5", "--high", "p90")
    assert band.status == 0, band.err
    assert found["kept"] == band.tensor["selected"]
    assert [used["slot"] for used in found["threshold"]] == ["low", "high"]
    only = [
        shown(path, f"--{slot}", value) for slot, value in (("low", "0.5"), ("high", found["threshold"][1]["value"]))
    ]
    assert only[0]["kept"] + only[1]["kept"] - found["kept"] == len(codes) - found["nan"]


def test_integers_have_rows_of_whole_numbers(tmp_path: Path) -> None:
    """None is narrower than 1, all are equally wide."""
    np.save(tmp_path / "x.npy", np.array([3, 3, 5, 9], np.int8))
    assert shown(tmp_path / "x.npy")["edges"] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert shown(tmp_path / "x.npy", "--rows", 3)["edges"] == [3, 6, 9, 12]
    np.save(tmp_path / "y.npy", np.array([-(2**63), 2**63 - 1]))
    found = shown(tmp_path / "y.npy", "--rows", 2, "-t", 2**63 - 2)
    assert (found["edges"], found["counts"]) == ([-(2**63), 0, 2**63], [1, 1])
    assert (found["kept"], found["removed_counts"]) == (1, [1, 0])


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (5e-324, 1e-323), (1.0, math.nextafter(1.0, 2.0))])
def test_the_farthest_and_the_nearest_have_rows(low: float, high: float, tmp_path: Path) -> None:
    """Ranges beyond float64 are no obstacle, and there are no more rows than numbers between two neighbours."""
    np.save(tmp_path / "x.npy", np.array([low, high]))
    found = shown(tmp_path / "x.npy", "-t", repr(low))
    assert all(first < second for first, second in itertools.pairwise(found["edges"]))
    assert (found["edges"][0], found["edges"][-1], sum(found["counts"]), found["kept"]) == (low, high, 2, 1)
    assert thresh("hist", tmp_path / "x.npy", "-t", repr(low)).status == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((0, 3)), "float64 0x3, no elements"),
        (np.full(12, np.nan, "f4"), "float32, all 12 elements are NaN"),
        (np.full(2, np.inf), "float64, all 2 elements are infinite"),
        (np.array([np.nan, -np.inf]), "float64, all 2 elements are NaN or infinite"),
        (np.array(np.nan), "float64 scalar, its one element is NaN"),
    ],
    ids=["empty", "NaN", "inf", "both", "scalar"],
)
@pytest.mark.parametrize("spec", [None, "0", "otsu"])
def test_what_has_no_rows_says_why(data: npt.NDArray[Any], said: str, spec: str | None, tmp_path: Path) -> None:
    """A threshold that has nothing to be worked out from is no error here: there is nothing to mark."""
    np.save(tmp_path / "x.npy", data)
    options = [] if spec is None else ["-t", spec]
    ran = thresh("hist", tmp_path / "x.npy", *options)
    assert (ran.status, ran.err) == (0, "")
    assert f"  {said}" in ran.out.splitlines()
    assert shown(tmp_path / "x.npy", *options)["counts"] == []


def test_several_cuts_are_marked_and_remove_nothing(tmp_path: Path) -> None:
    """As `multiotsu:3` gives them."""
    np.save(tmp_path / "x.npy", np.repeat(np.array([1, 50, 200], np.uint8), 30))
    found = shown(tmp_path / "x.npy", "-t", "multiotsu:3")
    assert [used["spec"] for used in found["threshold"]] == ["multiotsu:3"] * 2
    assert found["kept"] is None
    assert thresh("hist", tmp_path / "x.npy", "-t", "multiotsu:3").out.count("T = ") == 2


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A file of ten tensors, one of them complex."""
    tensors = {f"t{number}": (DTYPES["uint8"], [number, 200]) for number in range(9)}
    write_codes(tmp_path / "m.safetensors", {**tensors, "z": (DTYPES["complex64"], [0])})
    return tmp_path / "m.safetensors"


def test_the_first_tensors_are_drawn_and_the_others_counted(many: Path) -> None:
    """All with -v, all for programs, and those that match with --tensor; what has no order says so."""
    out = thresh("hist", many).out
    assert [f"::t{number}\n" in out for number in range(9)] == [True] * 8 + [False]
    assert "1 more tensor: -v shows each, --tensor GLOB chooses" in out
    assert "complex64 has no order" in out
    assert "::t8\n" in thresh("hist", many, "-v").out
    assert "more tensor" not in thresh("hist", many, "-v").out
    found = thresh("hist", many, "--json").json["files"][0]["tensors"]
    assert [len(item["counts"]) > 0 for item in found] == [True] * 9 + [False]
    chosen = thresh("hist", many, "-k", "t[3-5]", "-x", "t4").out
    assert [line for line in chosen.splitlines() if "::" in line] == [f"{many}::t3", f"{many}::t5"]


def test_a_bad_file_costs_that_file(many: Path, tmp_path: Path) -> None:
    """It is told among the others and at the end."""
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    ran = thresh("hist", tmp_path / "bad.npy", many, "-k", "t0")
    assert ran.status == 3
    assert ran.out.splitlines()[0].startswith(f"{tmp_path}/bad.npy: failed: ")
    assert "::t0" in ran.out
    assert ran.lines[0].startswith(f"thresh: error: {tmp_path}/bad.npy")
    assert thresh("hist", tmp_path / "bad.npy").out == ""


def test_a_warning_of_a_threshold_is_passed_on(many: Path) -> None:
    """As that there are fewer elements than asked for."""
    ran = thresh("hist", many, "-k", "t0", "-t", "top5", "--json")
    assert "tensor 't0': top5 asks for more than there are: all 2 stay" in ran.json["warnings"][0]
    assert (ran.tensor["kept"], ran.tensor["threshold"]["tied"]) == (2, 1)
    assert "warning: " in thresh("hist", many, "-k", "t0", "-t", "top5").out


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["-t", "1", "--low", "0"], 2, "--threshold excludes"),
        (["--compare", "ge"], 2, "--compare is for --threshold"),
        (["-t", "@m.npy"], 2, "has a threshold for each element"),
        (["-t", "much"], 2, "'much' is not a threshold"),
        (["-t=-1", "--magnitude"], 2, "tensor 't0': --threshold is negative"),
        (["--low", "2", "--high", "1"], 2, "tensor 't0': --low is above --high"),
        (["--low", "top1"], 2, "--low top1 is a cut by rank"),
        (["--high", "multiotsu:3"], 2, "--high multiotsu:3"),
        (["-k", "none"], 2, "no tensor matches 'none'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused(options: list[str], status: int, said: str, tmp_path: Path) -> None:
    write_codes(tmp_path / "x.safetensors", {"t0": (DTYPES["uint8"], [1, 2, 3, 4])})
    refused(thresh("hist", tmp_path / "x.safetensors", *options), status, said)


def test_a_threshold_that_fails_names_the_tensor(tmp_path: Path) -> None:
    """There are elements, but not as many different ones as it takes."""
    np.save(tmp_path / "x.npy", np.ones(5))
    refused(thresh("hist", tmp_path / "x.npy", "-t", "multiotsu:3"), 4, "tensor 'x'", "multiotsu:3")


def test_thresholds_of_a_report_are_marked(tmp_path: Path) -> None:
    """With their ties; one for each index of an axis cannot be."""
    np.save(tmp_path / "x.npy", np.array([[1, 5, 5], [5, 5, 9]], np.uint8))
    report = tmp_path / "r.json"
    report.write_text(thresh("solve", tmp_path / "x.npy", "-t", "top3", "--json").out)
    found = shown(tmp_path / "x.npy", "-t", f"@{report}")
    assert (found["kept"], found["removed_counts"]) == (3, [1, 0, 0, 0, 2, 0, 0, 0, 0])
    values = json.loads(report.read_text())
    values["files"][0]["tensors"][0]["threshold"]["value"] = 5.5  # stands between the elements: there are no ties
    report.write_text(json.dumps(values))
    assert shown(tmp_path / "x.npy", "-t", f"@{report}")["kept"] == 1
    report.write_text(thresh("solve", tmp_path / "x.npy", "-t", "top1", "--scope", "axis:0", "--json").out)
    refused(thresh("hist", tmp_path / "x.npy", "-t", f"@{report}"), 2, "many thresholds")


@pytest.mark.parametrize(
    ("arguments", "status"), [(("--help",), 0), (("x.npy", "-t", "much"), 2), (("x.npy", "-t", "@m.npy"), 2)]
)
def test_help_and_mistakes_need_no_numpy(arguments: tuple[str, ...], status: int, tmp_path: Path) -> None:
    assert heavy("hist", *arguments, cwd=tmp_path, status=status) <= {"rich"}
