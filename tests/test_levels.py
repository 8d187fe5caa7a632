"""`levels`: several cuts, of any kind, and what is written for each number of them."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.files import read_codes, write_codes
from tests.harness import Ran, listed, refused, thresh
from tests.reference import decode, holds, is_nan, nearest
from tests.strategies import REAL, codes
from threshcli import thresholds
from threshcli.dtypes import FLOAT32, INT64
from threshcli.thresholds.map import MapThreshold

Array = npt.NDArray[Any]
NOISE = np.random.default_rng(12).standard_normal((6, 500)).astype(np.float32)


def levelled(x: Array, folder: Path, *options: object) -> tuple[Array, Ran]:
    """What `levels` makes of an array, and what it says."""
    np.save(folder / "x.npy", x)
    ran = thresh("levels", folder / "x.npy", *options, "-o", folder / "y.npy", "--overwrite", "--json")
    assert ran.status == 0, ran.err
    return np.load(folder / "y.npy"), ran


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_levels_are_counted_exactly_in_every_dtype(data: st.DataObject, tmp_path: Path) -> None:
    """Any bits by numbers and by maps of float64 among them, strictly or not."""
    dtype = data.draw(st.sampled_from(REAL))
    held = data.draw(st.lists(codes(dtype), min_size=1, max_size=10))
    near = [float(value) for value in (decode(code, dtype) for code in held) if not is_nan(value)]
    some = st.one_of(st.sampled_from(near or [0.0]), st.floats(allow_nan=False), st.integers(-3, 300).map(float))
    count, strict = data.draw(st.integers(1, 4)), data.draw(st.booleans())
    compare: Literal["gt", "ge"] = "gt" if strict else "ge"
    rows = [sorted(data.draw(st.lists(some, min_size=count, max_size=count))) for _ in held]
    mapped = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    words = []
    for place, is_map in enumerate(mapped):
        if is_map:
            np.save(tmp_path / f"m{place}.npy", np.array([row[place] for row in rows]))
            words.append(f"@{tmp_path}/m{place}.npy")
        else:  # the same for all, within what the maps leave room for
            low = max(row[place - 1] if place else -math.inf for row in rows)
            same = max(low, min(row[place] for row in rows))
            for row in rows:
                row[place:] = [max(same, value) for value in row[place:]]
                row[place] = same
            words.append("inf" if same == math.inf else "-inf" if same == -math.inf else plain(same))
    for place, is_map in enumerate(mapped):
        if is_map:  # what was raised
            np.save(tmp_path / f"m{place}.npy", np.array([row[place] for row in rows]))
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, held)})
    ran = thresh("levels", tmp_path / "x.safetensors", "-t", ",".join(words), "--compare", compare, "-o",
                 tmp_path / "y.safetensors", "--overwrite", "--json")  # fmt: skip
    assert ran.status == 0, ran.err
    kind, found = read_codes(tmp_path / "y.safetensors")["x"]
    wanted, selected = [], 0
    for code, row in zip(held, rows, strict=True):
        x, cuts = decode(code, dtype), [Fraction(value) if math.isfinite(value) else value for value in row]
        if dtype.is_float:  # numbers are rounded, and may fall below the map before them: the highest cut counts
            cuts = [cut if is_map else nearest(cut, dtype) for cut, is_map in zip(cuts, mapped, strict=True)]
        above = [holds(x, compare, cut) for cut in cuts]
        wanted.append(next((level for level in range(count, 0, -1) if above[level - 1]), 0))
        selected += above[0]
    assert kind is INT64
    assert found == wanted
    assert ran.tensor["selected"] == selected
    assert ran.tensor["zeros_after"] == wanted.count(0)
    same_value = [decode(code, dtype) == level for code, level in zip(held, wanted, strict=True)]
    assert ran.tensor["changed"] == same_value.count(False)
    assert ran.tensor["kept"] is None


def plain(value: float) -> str:
    """A float64 as a decimal number without rounding."""
    exact = Fraction(value)
    scale = exact.denominator.bit_length() - 1
    return f"{exact.numerator * 5**scale}e-{scale}"


@pytest.mark.parametrize("right", [True, False])
def test_levels_are_those_of_numpy(right: bool, tmp_path: Path) -> None:
    """`numpy.digitize`, whose `right` is our strict comparison; cuts come in one text or in several."""
    edges = [-1, -0.25, 0, 0.5, 2]
    compare = "gt" if right else "ge"
    x = np.concatenate([NOISE.ravel(), np.array(edges, np.float32)])
    wanted = np.digitize(x, edges, right=right)
    found, ran = levelled(x, tmp_path, "-t", "-1,-0.25,0,0.5,2", "--compare", compare)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, wanted)
    assert [used["value"] for used in ran.tensor["threshold"]] == edges
    assert ran.json["params"]["threshold"] == "-1,-0.25,0,0.5,2"
    again, _ = levelled(
        x, tmp_path, "-t", "-1, -0.25", "-t", "0", "-t=0.5,2", "--compare", compare, "--out-dtype", "uint8"
    )
    assert again.dtype == np.uint8
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_classes_are_those_of_scikit_image(classes: int, tmp_path: Path) -> None:
    """One source gives all cuts; along an axis each index has its own."""
    filters = pytest.importorskip("skimage.filters")
    noise = np.random.default_rng(13).standard_normal((2, 40_000))
    image = np.clip(noise * 40 + 120, 0, 255).astype(np.uint8)
    cuts = filters.threshold_multiotsu(image, classes)
    found, ran = levelled(image, tmp_path, "-t", f"multiotsu:{classes}", "--out-dtype", "uint8")
    np.testing.assert_array_equal(found, np.digitize(image, cuts, right=True))
    assert ran.tensor["selected"] == np.count_nonzero(image > cuts[0])
    found, ran = levelled(image, tmp_path, "-t", f"multiotsu:{classes}", "--scope", "axis:0")
    for row, own in zip(image, found, strict=True):
        np.testing.assert_array_equal(own, np.digitize(row, filters.threshold_multiotsu(row, classes), right=True))


def test_percentiles_automatic_thresholds_and_maps_may_be_cuts_together(tmp_path: Path) -> None:
    """Each as it would be alone."""
    limits = np.quantile(NOISE, 0.7) + np.abs(NOISE[::-1])
    np.save(tmp_path / "m.npy", limits)
    found, ran = levelled(NOISE, tmp_path, "-t", f"-1,p25,median,@{tmp_path}/m.npy,inf")
    wide = NOISE.astype(np.float64)
    cuts = np.array([-1, np.percentile(wide, 25), np.median(wide)], np.float32)
    wanted = np.sum([cut < NOISE for cut in cuts], axis=0) + (limits < wide)
    np.testing.assert_array_equal(found, wanted)
    assert [used["spec"] for used in ran.tensor["threshold"]] == ["-1", "p25", "median", f"@{tmp_path}/m.npy", "inf"]


def test_values_stand_for_levels_in_the_dtype_of_the_input(tmp_path: Path) -> None:
    """They need not ascend; NaN is above no cut unless it is told otherwise."""
    x = np.array([-1, 0.25, 0.75, 2, np.nan], np.float16)
    found, _ = levelled(x, tmp_path, "-t", "0,0.5,1", "--values", "-1,0,inf,0.5")
    assert (found.dtype.name, found.tolist()) == ("float16", [-1, 0, math.inf, 0.5, -1])
    found, _ = levelled(x, tmp_path, "-t", "0,0.5,1", "--values", "7,0,9,5", "--nan", "fill=8", "--out-dtype", "uint8")
    assert (found.dtype.name, found.tolist()) == ("uint8", [7, 0, 9, 5, 8])
    found, _ = levelled(x, tmp_path, "-t", "0,0.5,1", "--out-dtype", "float32", "--nan", "keep")
    assert found[:4].tolist() == [0, 1, 2, 3]
    assert np.isnan(found[4])
    found, ran = levelled(x, tmp_path, "-t", "0")
    assert (found.tolist(), ran.tensor["nan"], ran.tensor["selected"]) == ([0, 1, 1, 1, 0], 1, 3)


@pytest.mark.parametrize("ties", ["first", "all", "none"])
def test_cuts_by_rank_keep_their_ties(ties: str, tmp_path: Path) -> None:
    """Of equal elements the first are above; the counts are those that were asked for."""
    x = np.array([3, 1, 3, 3, 2, 1, 2, 2, 0, 1], np.int16)
    found, ran = levelled(x, tmp_path, "-t", "top5,top2", "--ties", ties)
    above = {"first": [[0, 2, 3, 4, 6], [0, 2]], "all": [[0, 2, 3, 4, 6, 7], [0, 2, 3]], "none": [[0, 2, 3], []]}[ties]
    assert found.tolist() == [sum(place in chosen for chosen in above) for place in range(10)]
    assert [used["asked"] for used in ran.tensor["threshold"]] == [5, 2]


def test_equal_cuts_by_rank_are_in_order_if_the_first_keeps_more(tmp_path: Path) -> None:
    """Seven elements of one value: the cut of top2 is that of top5, with fewer above it."""
    found, _ = levelled(np.ones(7, np.float32), tmp_path, "-t", "top5,top2,1")
    assert found.tolist() == [2, 2, 1, 1, 1, 0, 0]
    found, _ = levelled(np.ones(7, np.float32), tmp_path, "-t", "1,top5,top2", "--compare", "ge")
    assert found.tolist() == [3, 3, 2, 2, 2, 1, 1]
    for cuts in ("top2,top5", "1,top2", "top2,top7", "top2,top5 --scope axis:0", "1,top2 --scope axis:0"):
        np.save(tmp_path / "x.npy", np.ones((2, 7)))
        ran = thresh("levels", tmp_path / "x.npy", "-t", *cuts.split(), "-o", tmp_path / "z.npy")
        refused(ran, 2, "threshold 1 is above threshold 2")
    for scope, all_of_them in (("tensor", "top14"), ("axis:0", "top7")):
        found, _ = levelled(np.ones((2, 7)), tmp_path, "-t", f"{all_of_them},1", "--compare", "ge", "--scope", scope)
        assert found.tolist() == [[2] * 7] * 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-t 1,0", "threshold 1 is above threshold 2"),
        ("-t 0 -t 1,0.5", "threshold 2 is above threshold 3"),
        ("-t p90,p10", "threshold 1 is above threshold 2"),
        ("-t p90,p10 --scope axis:0", "threshold 1 is above threshold 2"),
        ("-t top1,top2", "threshold 1 is above threshold 2"),
        ("-t 0,nan", "cannot be NaN"),
        ("-t 0,1, ", "'' is not a threshold"),
        ("-t 0,wrong", "'wrong' is not a threshold"),
        ("-t 0,1 --values 0,1", "--values needs 3 values"),
        ("-t multiotsu:4 --values 0,1,2", "--values needs 4 values"),
        ("-t 0 --values 0,x", "'x' is not a number"),
        ("-t 0,1 --out-dtype bool", "bool has no 2"),
        ("-t 0 --values 0,300 --out-dtype int8", "--values 300 is not representable in int8"),
        ("-t 0 --nan above", "--nan above"),
        ("-t 0 --nan keep", "cannot keep NaN in int64"),
        ("-t 0 --compare lt", "lt"),
        ("--values 0,1", "--threshold is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: str, said: str, tmp_path: Path) -> None:
    """One line, and nothing is written."""
    np.save(tmp_path / "x.npy", np.arange(8, dtype=np.float32).reshape(2, 4))
    ran = thresh("levels", tmp_path / "x.npy", *words.split(" "), "-o", tmp_path / "y.npy")
    assert ran.status == 2
    assert said in ran.err
    assert listed(tmp_path) == ["x.npy"]


def test_more_levels_than_a_dtype_holds_are_refused(tmp_path: Path) -> None:
    """300 cuts make 301 levels; whole numbers that a float rounds are none of its."""
    x = np.arange(-5, 305, dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    cuts = ",".join(map(str, range(300)))
    refused(thresh("levels", tmp_path / "x.npy", "-t", cuts, "--out-dtype", "uint8", "-n"), 2, "uint8 has no 256")
    refused(thresh("levels", tmp_path / "x.npy", "-t", cuts, "--out-dtype", "bfloat16", "-n"), 2, "bfloat16 has no 257")
    for to in ("uint16", "float16"):
        found, ran = levelled(x, tmp_path, "-t", cuts, "--out-dtype", to)
        np.testing.assert_array_equal(found, np.digitize(x, range(300), right=True))
        assert len(ran.tensor["threshold"]) == 300


def test_the_table_shows_the_comparison_and_the_cuts(tmp_path: Path) -> None:
    """All of a few, the ends of many."""
    np.save(tmp_path / "x.npy", np.arange(8.0))
    for cuts, shown in (("0.5,2", "> 0.5, 2 "), ("1 --compare ge", ">= 1 "), ("1,2,3,4,5,6", "> 1, ... 6 (6 cuts) ")):
        ran = thresh("levels", tmp_path / "x.npy", "-t", *cuts.split(), "-o", tmp_path / "y.npy", "--overwrite")
        assert f" {shown}" in ran.out
        assert "SELECTED" in ran.out


def test_crossing_maps_are_refused_with_the_first_position(tmp_path: Path) -> None:
    """Against each other and against numbers."""
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    np.save(tmp_path / "low.npy", np.array([[1, 2, 3], [4, 5, 9.0]]))
    np.save(tmp_path / "high.npy", np.array([[1, 2, 3], [5, 5, 8.0]]))
    low, high = f"@{tmp_path}/low.npy", f"@{tmp_path}/high.npy"
    for cuts, said in ((f"{low},{high}", "threshold 1 is above threshold 2 at [1, 2]"),
                       (f"0,{low},6", "threshold 2 is above threshold 3 at [1, 2]"),
                       (f"2,{high}", "threshold 1 is above threshold 2 at [0, 0]")):  # fmt: skip
        refused(thresh("levels", tmp_path / "x.npy", "-t", cuts, "-o", tmp_path / "y.npy"), 2, said)
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize("spec", ["multiotsu:4", "p25,top100,9"])
@pytest.mark.parametrize("scope", ["tensor", "axis:0", "file", "global"])
def test_a_report_gives_the_same_levels_again(spec: str, scope: str, tmp_path: Path) -> None:
    """Of `levels` itself, and of `solve` where that takes what was asked; ties and axes included."""
    asked = ["-t", spec, "--scope", scope]
    found, ran = levelled(np.round(NOISE, 1), tmp_path, *asked, "--out-dtype", "uint8")
    (tmp_path / "levels.json").write_text(ran.out)
    reports = ["levels.json"]
    if "," not in spec:
        (tmp_path / "solve.json").write_text(thresh("solve", tmp_path / "x.npy", *asked, "--json").out)
        reports.append("solve.json")
    for report in reports:
        again, told = levelled(np.round(NOISE, 1), tmp_path, "-t", f"@{tmp_path / report}", "--out-dtype", "uint8")
        np.testing.assert_array_equal(again, found)
        assert len(told.tensor["threshold"]) == 3
        refused(thresh("binary", tmp_path / "x.npy", "-t", f"@{tmp_path / report}", "-n"), 2, "3 thresholds")
    with_more, told = levelled(np.round(NOISE, 1), tmp_path, "-t", f"@{tmp_path / reports[-1]},99")
    np.testing.assert_array_equal(with_more, found)
    assert len(told.tensor["threshold"]) == 4


def test_the_provenance_names_the_cuts_and_no_folder(tmp_path: Path) -> None:
    """Texts as given, maps without their folders, the numbers that were worked out."""
    write_codes(
        tmp_path / "x.safetensors", {"x": (FLOAT32, [FLOAT32.code(FLOAT32.key(Fraction(i))) for i in range(9)])}
    )
    np.save(tmp_path / "m.npy", np.full(9, 6.0))
    ran = thresh("levels", tmp_path / "x.safetensors", "-t", f"1,p50,@{tmp_path}/m.npy", "--values", "0,0.5,1,2",
                 "-o", tmp_path / "y.safetensors", "--report", "tsv")  # fmt: skip
    assert ran.status == 0
    raw = (tmp_path / "y.safetensors").read_bytes()
    note = json.loads(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["thresh"])
    assert (note["rule"], note["threshold"], note["values"]) == ("levels", "1,p50,@m.npy", "0,0.5,1,2")
    assert note["thresholds"] == {"x": {"threshold": [4]}}


def test_a_tensor_without_elements_has_no_levels(tmp_path: Path) -> None:
    """It needs no thresholds, however they are worked out."""
    for shape, scope in (((0,), "tensor"), ((0, 3), "axis:0"), ((3, 0), "axis:0")):
        found, _ = levelled(
            np.zeros(shape, np.float32), tmp_path, "-t", "multiotsu:3", "--values", "0,1,2", "--scope", scope
        )
        assert found.shape == shape
    assert thresh("levels", tmp_path / "x.npy", "-t", "multiotsu:3", "--values", "0,1,2", "-n").status == 0


def test_a_source_with_commas_takes_the_longest_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources without commas of their own never see any."""
    text = "0.1,@m.npy , p50"
    assert [text for text, _ in thresholds.parse_list(text)] == ["0.1", "@m.npy", "p50"]
    monkeypatch.setattr(MapThreshold, "commas", True)  # as if its paths could have them
    assert [text for text, _ in thresholds.parse_list(text)] == ["0.1", "@m.npy,p50"]
