"""Several steps in one pass are what the rules are one after the other, through files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.files import read_codes, write_codes
from tests.harness import Ran, refused, thresh
from tests.strategies import REAL, blocks
from threshcli.dtypes import DTYPES, DType
from threshcli.executors.local import Executor
from threshcli.kernels.numpy import NumpyKernels
from threshcli.kernels.torch import TorchKernels
from threshcli.plan.entries import entries_of
from threshcli.plan.names import Names
from threshcli.plan.request import Request

Options = Mapping[str, Any]

NUMBERS = st.sampled_from(["0", "0.5", "-1", "2", "3.25", "-0.75", "100", "1e-3", "inf", "-inf", "300"])
SIZES = st.sampled_from(["0", "0.5", "1", "2.5", "1e-3", "300", "inf"])
PAIRS = st.sampled_from([("0", "1"), ("-1", "0.5"), ("0.5", "0.5"), ("-inf", "2"), ("0", "300")])
COMPARES = st.sampled_from(["gt", "ge", "lt", "le"])
OUT = st.sampled_from([None, None, "float32", "float16", "bfloat16", "float64", "uint8", "int16", "bool"])
NAN = st.sampled_from([None, None, "keep", "fill=1", "error"])
NAN_OF_DECISIONS = st.sampled_from([None, "below", "above", "fill=1", "error"])
WORKED = st.sampled_from(["p50", "top3", "top40%", "zero60%", "mean", "otsu"])


@st.composite
def steps(draw: st.DrawFn, *, first: bool) -> Options:
    """One step that may be refused, as a recipe has it."""
    rule = draw(st.sampled_from(
        ["binary", "variable", "gradient", "hard", "soft", "garrote", "firm", "clamp", "band", "replace", "levels"]
    ))  # fmt: skip
    found: dict[str, Any] = {"rule": rule, "out_dtype": draw(OUT), "nan": draw(NAN)}
    if rule in ("firm", "clamp", "band"):
        found["low"], found["high"] = draw(PAIRS)
    elif rule == "levels":
        found["threshold"] = ",".join(sorted(draw(st.sets(st.sampled_from(["0", "1", "2"]), min_size=1))))
        found["nan"] = None
    else:
        sizes = rule in ("gradient", "hard", "soft", "garrote")
        found["threshold"] = draw(st.one_of(WORKED, SIZES if sizes or first else NUMBERS))
    if rule == "binary":
        found |= {"compare": draw(COMPARES), "above": draw(NUMBERS), "nan": draw(NAN_OF_DECISIONS)}
    if rule == "band" and draw(st.booleans()):
        found |= {"binary": True, "nan": draw(NAN_OF_DECISIONS)}
    if rule == "replace":
        found["value"] = draw(NUMBERS)
    return {name: value for name, value in found.items() if value is not None}


def written(options: Options) -> list[str]:
    """A step as a command line."""
    words = [str(options["rule"])]
    for name, value in options.items():
        if name != "rule":
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return words


def chained(folder: Path, chain: list[Options], source: Path, *more: object) -> Ran:
    """All steps at once."""
    (folder / "recipe.json").write_text(json.dumps({"steps": chain}))
    return thresh("run", folder / "recipe.json", source, "-o", folder / "chain.safetensors", "--overwrite", *more)


def blocks_of(dtype: DType) -> st.SearchStrategy[tuple[DType, list[int]]]:
    return st.tuples(st.just(dtype), blocks(dtype))


@st.composite
def cases(draw: st.DrawFn) -> tuple[DType, list[int], list[Options]]:
    """Elements of any dtype, and what is done with them."""
    dtype = draw(st.sampled_from([item for item in REAL if item.name != "float8_e8m0fnu"]))
    later = draw(st.lists(steps(first=False), min_size=1, max_size=2))
    return dtype, draw(blocks(dtype)), [draw(steps(first=True)), *later]


def assert_again(made: Path, source: Path) -> None:
    """What an output notes makes it again, and so does what is noted then."""
    again = made.parent / "again.safetensors"
    for recipe in (made, again):
        assert thresh("run", recipe, source, "-o", again, "--overwrite", "-q").status == 0
        assert again.read_bytes() == made.read_bytes()


@given(st.sampled_from([item for item in REAL if item.name != "float8_e8m0fnu"]).flatmap(blocks_of), steps(first=True))
@settings(max_examples=80)
def test_what_one_rule_has_made_is_made_again_by_what_is_noted(data: tuple[DType, list[int]], step: Options) -> None:
    """Of any dtype and with any options."""
    with TemporaryDirectory() as name:
        source, made = Path(name) / "x.safetensors", Path(name) / "y.safetensors"
        write_codes(source, {"x": data, "left": data})
        if thresh(*written(step), source, "-o", made, "-k", "x").status == 0:
            assert_again(made, source)


@given(cases())
@settings(max_examples=120)
def test_a_chain_writes_what_its_steps_write_one_after_the_other(case: tuple[DType, list[int], list[Options]]) -> None:
    """And refuses what one of them refuses."""
    dtype, codes, chain = case
    with TemporaryDirectory() as name:
        folder = Path(name)
        source = at = folder / "x.safetensors"
        write_codes(source, {"x": (dtype, codes)})
        for number, options in enumerate(chain):
            target = folder / f"{number}.safetensors"
            ran = thresh(*written(options), at, "-o", target, "--json")
            if ran.status:
                break
            at = target
        done = chained(folder, chain, source, "--json")
        assert (done.status == 0) == (ran.status == 0), (done.err, ran.err)
        if ran.status == 0:
            assert read_codes(folder / "chain.safetensors") == read_codes(at)
            assert_again(folder / "chain.safetensors", source)
            first, last = thresh(*written(chain[0]), source, "-n", "--json").tensor, ran.tensor
            assert done.tensor["zeros_after"] == last["zeros_after"]
            assert (done.tensor["dtype"], done.tensor["out_dtype"]) == (first["dtype"], last["out_dtype"])
            assert (done.tensor["kept"] is None) == (last["kept"] is None)
            if done.tensor["kept"] is None:
                assert done.tensor["selected"] == last["selected"]


LARGE = (300, 700)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A tensor of several tiles with NaN and ties, and a map for it."""
    chance = np.random.default_rng(7)
    x = chance.integers(-40, 40, LARGE).astype(np.float32) / 8
    x[0, :9] = np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "map.npy", np.abs(chance.normal(size=LARGE)))
    return tmp_path


CHAINS: list[list[Options]] = [
    [{"rule": "clamp", "low": -2, "high": "@map.npy"}, {"rule": "soft", "threshold": 0.1}],
    [
        {"rule": "variable", "threshold": "p30"},
        {"rule": "hard", "threshold": "@map.npy"},
        {"rule": "binary", "threshold": 1},
    ],
    [{"rule": "hard", "threshold": "top1000"}, {"rule": "soft", "threshold": 0.5, "out_dtype": "float16"}],
    [{"rule": "gradient", "threshold": "zero50%", "scope": "axis:0"}, {"rule": "levels", "threshold": "-1,0,1"}],
    [{"rule": "nm", "threshold": "2:4", "nan": "fill=0"}, {"rule": "clamp", "low": "-1", "high": 1}],
    [{"rule": "hysteresis", "low": 1, "high": 2}, {"rule": "binary", "threshold": 0.5, "out_dtype": "bool"}],
    [{"rule": "variable", "threshold": "local-mean:3"}, {"rule": "hard", "threshold": 1, "nan": "fill=7"}],
    [
        {"rule": "clamp", "low": "p10", "nan": "fill=9"},
        {"rule": "hard", "threshold": "top10%"},
        {"rule": "soft", "threshold": "median"},
    ],
    [{"rule": "variable", "threshold": "@map.npy"}, {"rule": "gradient", "threshold": "top500", "ignore_zero": True}],
    [
        {"rule": "gradient", "threshold": "top7000"},
        {"rule": "variable", "threshold": "mean", "estimate_mask": "map.npy"},
    ],
    [{"rule": "clamp", "high": 2}, {"rule": "binary", "threshold": "p40", "scope": "axis:1", "out_dtype": "uint8"}],
    [{"rule": "soft", "threshold": 1, "out_dtype": "float16"}, {"rule": "variable", "threshold": "local-mean:3"}],
    [{"rule": "levels", "threshold": "-1,1"}, {"rule": "binary", "threshold": "otsu"}],
]  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: "-".join(step["rule"] for step in chain))
@pytest.mark.parametrize("more", [("-j", "1"), ("-j", "3", "--max-memory", "8MiB")], ids=["one", "three"])
def test_a_chain_over_many_tiles_is_its_steps(
    chain: list[Options], more: tuple[str, ...], large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With maps, ranks, thresholds along an axis, and a first step that looks at neighbours."""
    monkeypatch.chdir(large)
    at = large / "x.npy"
    for number, options in enumerate(chain):
        target = large / f"{number}.npy"
        ran = thresh(*written(options), at, "-o", target)
        assert ran.status == 0, ran.err
        at = target
    (large / "recipe.json").write_text(json.dumps({"steps": chain}))
    done = thresh("run", "recipe.json", large / "x.npy", "-o", large / "chain.npy", *more)
    assert done.status == 0, done.err
    assert (large / "chain.npy").read_bytes() == at.read_bytes()


@pytest.mark.parametrize("chain", [CHAINS[0], CHAINS[2], CHAINS[4]], ids=["maps", "ranks", "nm"])
def test_a_chain_is_the_same_with_the_kernels_of_an_accelerator(
    chain: list[Options], large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(large)
    entries = entries_of({"steps": chain}, {}, lambda text: text)
    for name, kernels in (("numpy", NumpyKernels), ("torch", lambda: TorchKernels("cpu"))):
        request = Request(entries=entries, command="run", names=Names(output=f"{name}.npy"))
        result = Executor(request, kernels=("test", kernels)).run(request.names.jobs(["x.npy"]))
        assert result.files[0].error is None, result.files[0].error
    assert Path("numpy.npy").read_bytes() == Path("torch.npy").read_bytes()


def test_complex_elements_go_through_a_chain(tmp_path: Path) -> None:
    x = np.array([3 + 4j, 0.1j, -2, np.nan], np.complex64)
    np.save(tmp_path / "x.npy", x)
    chain = [{"rule": "hard", "threshold": 1}, {"rule": "soft", "threshold": 1, "nan": "fill=0"}]
    (tmp_path / "recipe.json").write_text(json.dumps({"steps": chain}))
    ran = thresh("run", tmp_path / "recipe.json", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--json")
    assert ran.status == 0, ran.err
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), [(3 + 4j) * 0.8, 0, -1, 0], rtol=1e-6)
    assert ran.tensor["steps"] == ["hard", "soft"]
    assert [used["slot"] for used in ran.tensor["threshold"]] == ["1.threshold", "2.threshold"]


def test_what_is_kept_is_what_every_step_selects(tmp_path: Path) -> None:
    """NaN that a decision counts as above is selected by it."""
    np.save(tmp_path / "x.npy", np.array([-3, -1, 0.5, 1, 2, 5, np.nan]))
    keeping = [{"rule": "hard", "threshold": 1}, {"rule": "clamp", "low": -2, "high": 4}]
    deciding = [keeping[0], {"rule": "binary", "threshold": 0, "nan": "above"}]
    for chain, kept, selected in ((keeping, 3, 3), (deciding, None, 4)):
        (tmp_path / "recipe.json").write_text(json.dumps({"steps": chain}))
        ran = thresh(
            "run", tmp_path / "recipe.json", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--json", "--overwrite"
        )
        assert (ran.tensor["kept"], ran.tensor["selected"]) == (kept, selected)


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ({"rule": "hysteresis", "low": 1, "high": 2}, "step 2, hysteresis: looks at neighbours"),
        ({"rule": "nm", "threshold": "2:4"}, "step 2, nm: looks at neighbours"),
        ({"rule": "hard", "threshold": "p5", "scope": "file"}, "step 2, hard: a threshold over what steps before it"),
    ],
)
def test_what_needs_all_of_what_came_before_is_refused(later: Options, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((4, 4), np.float32))
    (tmp_path / "recipe.json").write_text(json.dumps({"steps": [{"rule": "clamp", "low": 0}, later]}))
    ran = thresh("run", tmp_path / "recipe.json", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    refused(ran, 2, "tensor 'x': " + said)
    assert not (tmp_path / "y.npy").exists()


def test_what_is_made_differently_here_and_there_cannot_be_looked_at_in_parts(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((4, 4), np.float32))
    for first, second, said in (
        (
            {"rule": "hard", "threshold": "top5"},
            {"rule": "hard", "threshold": "local-mean:3"},
            "not the same threshold",
        ),
        (
            {"rule": "clamp", "low": "p5", "scope": "axis:0"},
            {"rule": "hard", "threshold": "p5", "scope": "axis:0"},
            "not",
        ),
        ({"rule": "nm", "threshold": "2:4"}, {"rule": "hard", "threshold": "p5"}, "which looks at neighbours itself"),
    ):
        (tmp_path / "recipe.json").write_text(json.dumps({"steps": [first, second]}))
        ran = thresh("run", tmp_path / "recipe.json", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
        refused(ran, 2, "tensor 'x': step 2, hard: ", said)


def test_nan_is_refused_by_the_step_that_minds(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1, np.nan], np.float32))
    (tmp_path / "recipe.json").write_text(
        json.dumps({"steps": [{"rule": "clamp", "low": 0}, {"rule": "hard", "threshold": 1, "nan": "error"}]})
    )
    ran = thresh("run", tmp_path / "recipe.json", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    refused(ran, 4, "tensor 'x' holds NaN where step 2, hard, begins")
    (tmp_path / "recipe.json").write_text(
        json.dumps({"steps": [{"rule": "hard", "threshold": 1, "nan": "error"}, {"rule": "hard", "threshold": "p5"}]})
    )
    ran = thresh("run", tmp_path / "recipe.json", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    refused(ran, 4, "tensor 'x' holds NaN where step 1, hard, begins")


def test_a_tensor_that_one_step_cannot_take_is_left_as_it_is(tmp_path: Path) -> None:
    """All steps or none; with a warning, since others can."""
    write_codes(tmp_path / "x.safetensors", {"a": (DTYPES["int8"], [1, 2]), "b": (DTYPES["float32"], [0])})
    chain: list[Options] = [{"rule": "clamp", "low": 0, "high": 1}, {"rule": "soft", "threshold": 1}]
    ran = chained(tmp_path, chain, tmp_path / "x.safetensors", "--json")
    assert ran.status == 0, ran.err
    assert "tensor 'a' is copied unchanged: step 2, soft: " in ran.json["warnings"][0]
    assert read_codes(tmp_path / "chain.safetensors")["a"] == (DTYPES["int8"], [1, 2])
