"""`thresh sweep` against brute force, and against what the rules do with the same thresholds."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests import reference
from tests.harness import refused, thresh
from tests.studying import Runner, stored
from threshcli.cli.sweep import METHODS, RANKS, SHRINKING, specs_of
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, DType, Real
from threshcli.studies.base import MAGNITUDE, VALUE, Lens
from threshcli.studies.sweep import Cut, Tie, sweep
from threshcli.thresholds import parse
from threshcli.thresholds.base import Worked

REAL = [dtype for dtype in DTYPES.values() if dtype.is_real]
RNG = np.random.default_rng(77)
LENSES = pytest.mark.parametrize("lens", [VALUE, MAGNITUDE], ids=["x", "|x|"])


def rows(*arguments: object) -> dict[str, Any]:
    """The rows of the first tensor, by threshold."""
    ran = thresh("sweep", *arguments, "--json")
    assert (ran.status, ran.err) == (0, "")
    return {row["spec"]: row for row in ran.tensor["rows"]}


def values_of(codes: list[int], dtype: DType, lens: Lens) -> list[Real]:
    values = [reference.decode(code, dtype) for code in codes]
    return [reference.size(value) for value in values] if lens.magnitude else values


def codes_of(dtype: DType, count: int = 300) -> list[int]:
    """Codes of all kinds, many of them equal."""
    if dtype.kind == "bool":
        return [int(bit) for bit in RNG.integers(0, 2, count)]
    special = [dtype.nan] if dtype.is_float else []
    special += [dtype.code(key) for key in (dtype.keys.low, dtype.keys.high, 0, 1, 2)]
    special += [dtype.sign] if dtype.negative_zero else []
    return special * 3 + [int(code) for code in RNG.integers(0, 1 << dtype.bits, count, dtype=np.uint64)]


@LENSES
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_every_cut_keeps_what_brute_force_keeps(dtype: DType, lens: Lens) -> None:
    """Elements, zeros and energy of every key that occurs, and of those beside it, in every dtype."""
    codes, seen = codes_of(dtype), lens.dtype(dtype)
    values = [value for value in values_of(codes, dtype, lens) if value == value]
    keys = {seen.key(value) if seen.is_float else int(value) for value in values[:40]}
    asked = sorted({key + step for key in keys for step in (-1, 0, 1)} | {seen.keys.low - 1, seen.keys.high + 1})
    found = Runner(37)(sweep(lens, dtype, [Cut(key) for key in asked]), stored(codes, dtype), dtype)
    assert found.usable.elements == len(values)
    assert found.usable.zeros == values.count(0)
    for key, part in zip(asked, found.kept, strict=True):
        kept = [value for value in values if (seen.key(value) if seen.is_float else value) >= key]
        assert (part.elements, part.zeros) == (len(kept), kept.count(0))
        energy = sum(value * value for value in kept if isinstance(value, Fraction))
        assert abs(part.energy - energy) <= energy * Fraction(1, 10**14)


@LENSES
@given(
    data=st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, math.nan, math.inf, -math.inf]), max_size=30),
    key=st.sampled_from([0.0, 1.0, 2.0, -1.0, math.inf]),
    above=st.integers(1, 30),
)
def test_ties_before_a_position_are_kept(lens: Lens, data: list[float], key: float, above: int) -> None:
    """Whatever the stretches: positions count NaN as well."""
    seen = [abs(value) if lens.magnitude else value for value in data]
    place = FLOAT32.key(key if math.isinf(key) else Fraction(key))
    cuts = [Cut(place + 1, Tie(place, above)), Cut(place + 1)]
    found = Runner(7)(sweep(lens, FLOAT32, cuts), np.array(data, "f4"), FLOAT32)
    tied = seen[:above].count(key)
    assert found.kept[0].elements - found.kept[1].elements == tied
    assert found.kept[0].zeros - found.kept[1].zeros == (tied if key == 0 else 0)
    assert found.kept[0].energy - found.kept[1].energy == (0 if math.isinf(key) else tied * Fraction(key) ** 2)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_energies_neither_overflow_nor_vanish(scale: float) -> None:
    """Squares beyond float64 are summed in another unit."""
    data = np.array([3.0, 4.0, -12.0]) * scale
    cuts = [Cut(FLOAT64.key(Fraction(value))) for value in (0.0, data[1])]
    found = Runner()(sweep(VALUE, FLOAT64, cuts), data, FLOAT64)
    assert float(found.usable.energy / Fraction(scale) ** 2) == pytest.approx(169)
    assert [float(part.energy / found.usable.energy) for part in found.kept] == pytest.approx([25 / 169, 16 / 169])


@given(st.lists(st.floats(width=32), max_size=60), st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=50)
def test_neither_stretches_nor_their_order_change_a_bit(data: list[float], longest: int, seed: int) -> None:
    """The sums of leaves are added without rounding."""
    array = np.array(data, "f4")
    cuts = [Cut(0), Cut(FLOAT32.key(Fraction(1)))]
    one, other = (Runner(longest, seed + more)(sweep(VALUE, FLOAT32, cuts), array, FLOAT32) for more in (0, 1))
    assert one == other


@pytest.mark.parametrize(("rule", "magnitude"), [("gradient", True), ("variable", False)])
@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "u8"])
def test_a_rule_keeps_what_was_foretold(rule: str, magnitude: bool, dtype: str, folder: Path) -> None:
    """The same counts, thresholds and zeros as the report of the rule, ties and all."""
    data = np.round(RNG.standard_normal((40, 50)) * 20)
    np.save("x.npy", (np.abs(data) if dtype[0] == "u" else data).astype(dtype))
    specs = ("0", "7", "7.5", "p50", "p99.9", "top100", "top10%", "zero30%", "energy60%", "median", "2sigma", "otsu")
    found = rows("x.npy", "-t", ",".join(specs), *(["--magnitude"] if magnitude else []))
    assert tuple(found) == specs
    for spec, row in found.items():
        done = thresh(rule, "x.npy", "-t", spec, "-o", "y.npy", "--overwrite", "--json").tensor
        assert (row["kept"], row["zeros_after"]) == (done["kept"], done["zeros_after"]), spec
        assert row["value"] == done["threshold"]["value"]
        assert row["asked"] == done["threshold"].get("asked")
        share = (done["norm_after"] / done["norm_before"]) ** 2
        assert row["energy_share"] == pytest.approx(share, rel=1e-9)


def test_infinities_and_nan_have_their_places(tmp_path: Path) -> None:
    """Infinite elements may be kept and have no energy; NaN is neither kept nor zero."""
    np.save(tmp_path / "x.npy", np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 2.0, 1.0]))
    found = rows(tmp_path / "x.npy", "-t", "0,-inf,inf,1", "--compare", "ge")
    assert [found[spec]["kept"] for spec in ("0", "-inf", "inf", "1")] == [5, 6, 1, 3]
    assert [found[spec]["zeros_after"] for spec in ("0", "-inf", "inf", "1")] == [3, 2, 5, 3]
    assert [found[spec]["energy_share"] for spec in ("0", "-inf", "inf", "1")] == [1.0, 1.0, 0.0, 1.0]
    assert found["-inf"]["value"] == "-Infinity"


def test_shares_of_energy_are_exact_where_sums_overflow(tmp_path: Path) -> None:
    """And neither all nor nothing where something is on the other side."""
    np.save(tmp_path / "x.npy", np.array([3e300, 4e300, 1.0]))
    ran = thresh("sweep", tmp_path / "x.npy", "-t", "3e300,1,4e300", "--json")
    assert ran.tensor["energy"] == "Infinity"
    shares = [row["energy_share"] for row in ran.tensor["rows"]]
    assert shares == [pytest.approx(0.64), math.nextafter(1, 0), 0.0]
    table = thresh("sweep", tmp_path / "x.npy", "-t", "3e300,1,4e300").out
    assert [line.split()[4] for line in table.splitlines()[3:6]] == ["64.0%", ">99.9%", "0%"]
    np.save(tmp_path / "x.npy", np.array([-3e300, 1e-300]))
    assert rows(tmp_path / "x.npy", "-t", "0")["0"]["energy_share"] == math.ulp(0.0)


def test_thresholds_are_rounded_as_everywhere(tmp_path: Path) -> None:
    """A float32 0.1 is not above 0.1; integers are compared as real numbers."""
    np.save(tmp_path / "x.npy", np.array([0.1, 0.2], "f4"))
    found = rows(tmp_path / "x.npy", "-t", "0.1")["0.1"]
    assert (found["kept"], found["value"]) == (1, float(np.float32(0.1)))
    np.save(tmp_path / "x.npy", np.array([2**53, 2**53 + 1]))
    assert rows(tmp_path / "x.npy", "-t", f"{2**53}")[f"{2**53}"]["kept"] == 1


def test_a_method_that_fails_says_why_in_its_row(tmp_path: Path) -> None:
    """The others go on; what no rule would take fails too."""
    np.save(tmp_path / "x.npy", np.arange(10.0))
    found = rows(tmp_path / "x.npy", "-t", "minimum,-1,p50,1", "--magnitude")
    assert "two peaks" in found["minimum"]["reason"]
    assert found["-1"]["reason"] == "is negative, and magnitudes never are"
    assert [found[spec]["kept"] for spec in ("minimum", "-1", "p50", "1")] == [None, None, 5, 8]
    assert (found["p50"]["value"], found["p50"]["reason"]) == (4.5, None)


@pytest.mark.parametrize("data", [np.zeros((0, 3)), np.full(3, np.nan)], ids=["empty", "NaN"])
def test_what_has_no_numbers_is_no_error(data: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", data)
    found = rows(tmp_path / "x.npy", "-t", "0,p50")
    assert (found["0"]["kept"], found["0"]["energy_share"], found["0"]["reason"]) == (0, None, None)
    assert (found["p50"]["kept"], found["p50"]["value"]) == (None, None)
    assert found["p50"]["reason"]


def test_without_thresholds_all_methods_are_tried(tmp_path: Path) -> None:
    """Those for magnitudes with --magnitude; each of them can be tried."""
    np.save(tmp_path / "x.npy", RNG.standard_normal(500))
    assert tuple(rows(tmp_path / "x.npy")) == (*METHODS, *RANKS)
    assert tuple(rows(tmp_path / "x.npy", "--magnitude")) == (*METHODS, *SHRINKING, *RANKS)
    for spec in (*METHODS, *SHRINKING, *RANKS):
        source = parse(spec)
        assert isinstance(source, Worked)
        assert not source.several


def test_a_threshold_over_all_tensors_is_the_same_for_each(folder: Path) -> None:
    """As the rule has it with --scope global, ties in the order of files and tensors, other dtypes among them."""
    data = {"a": np.round(RNG.standard_normal(300) * 9).astype("f4"), "b": np.round(RNG.standard_normal(200) * 9)}
    save_file(data, "m.safetensors")
    np.save("n.npy", np.round(RNG.standard_normal(100) * 9).astype("f4"))
    files, specs = ("m.safetensors", "n.npy"), ("top77", "zero40%", "p90", "otsu")
    swept = thresh("sweep", *files, "-t", ",".join(specs), "--magnitude", "--scope", "global", "--json").json
    for place, spec in enumerate(specs):
        done = thresh("gradient", *files, "-t", spec, "--scope", "global", "-O", spec, "--json").json
        for file, other in zip(swept["files"], done["files"], strict=True):
            for tensor, written in zip(file["tensors"], other["tensors"], strict=True):
                assert tensor["rows"][place]["kept"] == written["kept"], (spec, tensor["name"])
                assert tensor["rows"][place]["value"] == written["threshold"]["value"]
        assert swept["totals"]["rows"][place]["kept"] == done["totals"]["selected"]
    assert swept["totals"]["rows"][0]["kept"] == 77


def test_over_all_tensors_a_bad_file_ends_the_call(folder: Path) -> None:
    """Its elements would be missing in every threshold."""
    refused(thresh("sweep", "v.npy", "missing.npy", "-t", "p50", "--scope", "global"), 4, "missing.npy")
    ran = thresh("sweep", "v.npy", "missing.npy", "-t", "p50")
    assert (ran.status, ran.lines[0]) == (3, "thresh: error: missing.npy: no such file")
    assert thresh("sweep", "z.npy", "-t", "p50", "--scope", "global").status == 0


def test_workers_and_memory_change_no_bit(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RNG.standard_normal((900, 500)).astype("f4"))
    every = [("-j", 1), ("-j", 3), ("-j", 2, "--max-memory", "1MiB")]
    first, *others = [rows(tmp_path / "x.npy", "-t", "0:1:0.25,top1000,otsu", *more) for more in every]
    assert others == [first, first]


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("0:1:0.25", ["0", "0.25", "0.5", "0.75", "1"]),
        ("0:1:0.3", ["0", "0.3", "0.6", "0.9"]),
        ("0:0.3:0.1", ["0", "0.1", "0.2", "0.3"]),
        ("1:-1:-1", ["1", "0", "-1"]),
        ("5:5:1", ["5"]),
        ("1e-3:3e-3:1e-3", ["0.001", "0.002", "0.003"]),
        ("p90, otsu,p90", ["p90", "otsu"]),
        ("=-0.5", ["-0.5"]),
    ],
)
def test_ranges_are_spelled_out_exactly(text: str, spelled: list[str]) -> None:
    assert specs_of([text], magnitude=False) == spelled


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nonsense", "is not a threshold"),
        ("0.1,,0.2", "is not a threshold"),
        ("0:1:0", "never gets to its end"),
        ("0:1:-0.1", "never gets to its end"),
        ("0:inf:1", "is not a range of plain numbers"),
        ("0:1e40:1", "is not a range of plain numbers"),
        ("0:x:1", "is not a number"),
        ("0:1:0.0001", "more than 1,000 thresholds"),
        ("multiotsu:3", "gives several cuts"),
        ("@map.npy", "sweep cannot try @map.npy"),
        ("nan", "cannot be NaN"),
    ],
)
def test_what_cannot_be_tried_is_refused(spec: str, said: str, folder: Path) -> None:
    refused(thresh("sweep", "v.npy", "-t", spec), 2, said)
