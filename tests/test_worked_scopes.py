"""Over what a threshold is worked out, of which elements, and what is done to the number then."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.files import read_codes, write_codes
from tests.harness import thresh
from tests.reference import decode, is_finite
from tests.strategies import REAL
from tests.worked import ORDER, samples, values_of, work
from threshcli.dtypes import DType

SHAPE = (3, 4, 2)
FILL = ("--fill", "1")


def block(dtype: DType, seed: int = 3) -> list[int]:
    """The codes of a tensor of SHAPE with many ties, none of them NaN or infinite."""
    chance = Random(seed + len(dtype.name))
    pool = [code for code in samples(dtype, seed)["special"] if is_finite(decode(code, dtype))]
    few = chance.sample(pool, min(6, len(pool)))
    return [chance.choice(few if chance.random() < 0.8 else pool) for _ in range(24)]


@pytest.mark.parametrize(
    ("asked", "axis"),
    [
        *(("p50", 0), ("p12.5", -1), ("median", 1), ("top2", 0), ("top2", -1), ("top30%", 1), ("zero50%", 2)),
        *(
            ("energy60%", -3),
            ("2sigma", 1),
            ("mean", 2),
            ("otsu", 0),
            ("p50 --offset 1000", 1),
            ("p50 --at-most 1", -2),
        ),
        *(("p50 --offset -1000", 2), ("top3 --ties none", 0), ("top3 --ties all", 1), ("p100 --scale 2", -1)),
    ],
)
def test_a_threshold_for_each_index_is_that_of_the_slice(asked: str, axis: int, tmp_path: Path) -> None:
    """Slices cut out by hand, each a tensor of its own; in every dtype."""
    spec, *more = asked.split()
    whole, apart = tmp_path / "whole.safetensors", tmp_path / "apart.safetensors"
    tensors = {dtype.name: (dtype, block(dtype)) for dtype in REAL}
    indices = np.moveaxis(np.arange(24).reshape(SHAPE), axis, 0)
    slices = {
        f"{name}.{number}": (dtype, [codes[at] for at in index.ravel()])
        for name, (dtype, codes) in tensors.items()
        for number, index in enumerate(indices)
    }
    write_codes(whole, tensors, shapes=dict.fromkeys(tensors, SHAPE))
    write_codes(apart, slices)
    rule = "variable" if "-1000" in asked else "hard"
    scope = ("--scope", f"axis:{axis}")
    reports = [
        thresh(rule, path, "-t", spec, *more, *FILL, *scopes, "-O", tmp_path / "out", "--json")
        for path, scopes in ((whole, scope), (apart, ()))
    ]
    found, wanted = read_codes(tmp_path / "out" / whole.name), read_codes(tmp_path / "out" / apart.name)
    told = [{item["name"]: item["threshold"] for item in report.json["files"][0]["tensors"]} for report in reports]
    for name, (dtype, _) in tensors.items():
        for number, index in enumerate(indices):
            assert [found[name][1][at] for at in index.ravel()] == wanted[f"{name}.{number}"][1], (dtype, number)
            assert told[0][name]["values"][number] == told[1][f"{name}.{number}"]["value"], (dtype, number)


@pytest.mark.parametrize("rule", ["gradient", "hard"])
@pytest.mark.parametrize("spec", ["p50", "top7", "top40%", "zero60%", "energy80%", "3mad"])
def test_files_that_share_a_threshold_are_as_one(spec: str, rule: str, tmp_path: Path) -> None:
    """And so are the tensors of a file; ties at the cut go by file, tensor and place."""
    dtype = next(item for item in REAL if item.name == "float16")
    parts = {f"t{number}": (dtype, samples(dtype, number)["ties"]) for number in range(5)}
    joined = [code for _, codes in parts.values() for code in codes]
    write_codes(tmp_path / "joined.safetensors", {"all": (dtype, joined)})
    write_codes(tmp_path / "file.safetensors", parts)
    names = []
    for number, (name, part) in enumerate(parts.items()):
        names.append(tmp_path / f"{number}.safetensors")
        write_codes(names[-1], {name: part, "empty": (dtype, [])})
    out = tmp_path / "out"
    for arguments in (["joined.safetensors"], ["file.safetensors", "--scope", "file"]):
        assert thresh(rule, tmp_path / arguments[0], "-t", spec, *arguments[1:], "-O", out).status == 0
    assert thresh(rule, *names, "-t", spec, "--scope", "global", "-O", out).status == 0
    wanted = read_codes(out / "joined.safetensors")["all"][1]
    assert [code for _, codes in read_codes(out / "file.safetensors").values() for code in codes] == wanted
    shards = [read_codes(out / path.name) for path in names]
    assert [code for shard in shards for _, codes in shard.values() for code in codes] == wanted


def test_one_threshold_serves_files_of_several_dtypes(tmp_path: Path) -> None:
    """Exactly K elements stay in all of them together, compared as real numbers."""
    chance = np.random.default_rng(5)
    data = [chance.integers(-9, 9, 40), chance.integers(0, 9, 30).astype("u1"), chance.integers(-9, 9, 20).astype("i2")]
    paths = [tmp_path / f"{number}.npy" for number in range(3)]
    for kinds in (("i8", "u1", "i2"), ("f4", "f2", "f8"), ("f4", "i4", "u2"), ("i8", "b1", "u4"), ("u8", "b1", "u1")):
        for path, part, kind in zip(paths, data, kinds, strict=True):
            np.save(path, (abs(part) if kind[0] == "u" else part).astype(kind))
        values = [Fraction(float(value)) for path in paths for value in np.load(path).ravel()]
        for spec in ("top13", "zero70%", "top50%"):
            ran = thresh("gradient", *paths, "-t", spec, "--scope", "global", "-O", tmp_path / "out", "--overwrite")
            assert ran.status == 0, ran.err
            cut = work(spec, values, magnitude=True)
            stays = [abs(value) > cut.value or at in (cut.above or ()) for at, value in enumerate(values)]
            wanted = [value if stay else 0 for value, stay in zip(values, stays, strict=True)]
            assert [float(value) for path in paths for value in np.load(tmp_path / "out" / path.name)] == wanted


@pytest.mark.parametrize("spec", ORDER)
def test_elements_outside_of_the_population_are_judged_and_not_looked_at(spec: str, tmp_path: Path) -> None:
    """Zeros left out, a mask by tensor name, one for all, one that is broadcast."""
    chance = np.random.default_rng(8)
    data = chance.integers(-4, 5, (4, 6)).astype("f4")
    mask = chance.integers(0, 2, (4, 6))
    row = np.array([0, 1, 1, 0, 1, np.nan])  # NaN is not zero
    np.save(tmp_path / "x.npy", data)
    np.save(tmp_path / "mask.npy", mask.astype("i2"))
    np.save(tmp_path / "row.npy", row)
    float32 = next(item for item in REAL if item.name == "float32")
    one = float32.encode(Fraction(1)) or 0
    named = {"other": (float32, [0]), "x": (float32, [one * int(value) for value in mask.ravel()])}
    write_codes(tmp_path / "masks.safetensors", named, shapes={"x": (4, 6)})
    masks = [f"{tmp_path}/mask.npy", f"{tmp_path}/masks.safetensors", f"{tmp_path}/masks.safetensors::x"]
    cases: list[tuple[list[str], Any]] = [(["--estimate-mask", path], mask != 0) for path in masks]
    cases.append((["--ignore-zero"], data != 0))
    cases.append((["--estimate-mask", f"{tmp_path}/row.npy", "--broadcast"], np.broadcast_to(row != 0, (4, 6))))
    cases.append((["--estimate-mask", masks[0], "--ignore-zero"], (mask != 0) & (data != 0)))
    for options, members in cases:
        ran = thresh("gradient", tmp_path / "x.npy", "-t", spec, *options, "-o", tmp_path / "y.npy", "--overwrite")
        assert ran.status == 0, ran.err
        places = np.flatnonzero(members)
        cut = work(spec, [Fraction(float(data.flat[at])) for at in places], magnitude=True)
        own = abs(data.ravel()[places]) == float(cut.value)
        last = max((int(places[at]) for at in cut.above or ()), default=-1)
        last = 24 if len(cut.above or ()) == own.sum() else last  # all of the population's ties stay: others, too
        tied = (abs(data) == float(cut.value)) & (np.arange(24).reshape(4, 6) <= last)
        stays = (abs(data) > np.float32(float(cut.value))) | (tied if cut.above is not None else False)
        assert np.array_equal(np.load(tmp_path / "y.npy"), np.where(stays, data, 0)), options


@pytest.mark.parametrize("scope", ["tensor", "axis:0", "file", "global"])
@pytest.mark.parametrize(
    "options",
    [
        "--scale 0.5",
        "--offset -0.25",
        "--scale 0.3 --offset 0.1",
        "--scale -1 --offset 9",
        "--scale 0",
        "--at-least 2.5",
        "--at-most 0.1",
        "--scale 3 --at-most 1.5 --at-least 1.25",
        "--at-least 1e400",
    ],
)
def test_a_number_is_changed_by_the_formula(options: str, scope: str, tmp_path: Path) -> None:
    """t * scale + offset in float64, then not under --at-least, not over --at-most; ranks become numbers."""
    data = np.random.default_rng(2).integers(-9, 10, (1, 50)) / 4
    np.save(tmp_path / "x.npy", data)
    words = options.split()
    given = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    for spec in ("p75", "top5"):
        plain = thresh("solve", tmp_path / "x.npy", "-t", spec, "--magnitude", "--json").tensor["threshold"]["value"]
        cut = plain * given.get("--scale", 1.0) + given.get("--offset", 0.0)
        cut = min(max(cut, given.get("--at-least", -np.inf)), given.get("--at-most", np.inf))
        arguments = ("gradient", tmp_path / "x.npy", "-t", spec, *words, "--scope", scope, "-o", tmp_path / "y.npy")
        ran = thresh(*arguments, "--overwrite", "--json")
        used = ran.tensor["threshold"]
        told = used["values"][0] if scope == "axis:0" else used["value"]
        assert (json.dumps("Infinity") if told == "Infinity" else told) == (cut if np.isfinite(cut) else '"Infinity"')
        if cut != plain:
            assert used["above"] is None
            assert np.array_equal(np.load(tmp_path / "y.npy"), np.where(abs(data) > cut, data, 0))


def test_values_of_every_code_are_what_tests_take_them_for() -> None:
    """The reference's own ground: NaN is left out of populations, infinities are not."""
    dtype = next(item for item in REAL if item.name == "float16")
    values = values_of([dtype.nan, dtype.top, 0, 1], dtype)
    assert work("top1", values).usable == 3
    assert work("p100", values).value == float("inf")
