"""Functions and command line agree, byte for byte, for every rule, kind of threshold and dtype."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import threshcli as t
from tests.agreement import (
    ANY,
    FLOATS,
    LEVELS,
    RANKED,
    RULES,
    SHRINKING,
    SPECS,
    WHOLE,
    agree,
    attempted,
    command,
    magnitude,
    numbers_for,
    same,
    tensor_of,
    tensors,
    watched,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree")


every_rule = pytest.mark.parametrize("name", RULES)


@every_rule
@settings(max_examples=20)
@given(data=st.data())
def test_numbers(name: str, folder: Path, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    values = data.draw(numbers_for(rule))
    written: list[object] = [word for slot, value in zip(rule[2], values, strict=True) for word in (f"--{slot}", value)]
    agree(folder, rule, x, list(values), written)


@every_rule
@settings(max_examples=15)
@given(data=st.data())
def test_maps_of_any_dtype(name: str, folder: Path, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    seeds = st.integers(0, 1 << 40).map(lambda seed: seed * 16)  # without NaN
    kinds = [getattr(torch, data.draw(st.sampled_from(FLOATS + WHOLE))) for _ in rule[2]]
    maps = [tensor_of(kind, tuple(x.shape), data.draw(seeds)) for kind in kinds]
    if rule[0] in ("gradient", "hard", *SHRINKING):
        maps = [magnitude(item) for item in maps]
    save_file({f"{slot}": item for slot, item in zip(rule[2], maps, strict=True)}, folder / "maps.safetensors")
    written: list[object] = []
    for slot in rule[2]:
        written += [f"--{slot}", f"@{folder / 'maps.safetensors'}::{slot}"]
    agree(folder, rule, x, maps, written)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule[2] == ("threshold",)])
@settings(max_examples=20)
@given(data=st.data())
def test_thresholds_that_are_worked_out(name: str, folder: Path, data: st.DataObject) -> None:
    rule = RULES[name]
    specs = SPECS if rule[3].get("compare") != "le" else [spec for spec in SPECS if not spec.startswith(RANKED)]
    spec = data.draw(st.sampled_from(specs))
    x = data.draw(ANY)
    agree(folder, rule, x, [spec], ["-t", spec])


@pytest.mark.parametrize("name", ["binary", "gradient", "soft"])
@settings(max_examples=15)
@given(data=st.data())
def test_thresholds_along_an_axis(name: str, folder: Path, data: st.DataObject) -> None:
    rule, x = RULES[name], data.draw(st.sampled_from(FLOATS).flatmap(tensors))
    spec, axis = data.draw(st.sampled_from(["p90", "top2", "mean", "median"])), data.draw(st.integers(0, x.dim() - 1))
    magnitude = name != "binary"
    status, told, wanted = command(folder, rule[0], x, ["-t", spec, "--scope", f"axis:{axis}"])
    found, code = attempted(lambda: rule[1](x, t.threshold(x, spec, axis=axis, magnitude=magnitude)))
    assert status == code, told
    if found is None or wanted is None:
        return
    same(found, wanted)
    same(rule[1](watched(x), t.threshold(x, spec, axis=axis, magnitude=magnitude)).detach(), wanted)


@pytest.mark.parametrize("name", LEVELS)
@settings(max_examples=20)
@given(data=st.data())
def test_levels_of_numbers_and_of_sources(name: str, folder: Path, data: st.DataObject) -> None:
    options, flags = LEVELS[name]
    x = data.draw(ANY)
    pairs = ["0.1,2.5", "p20,p80", "0,top2", "multiotsu:3"] + ["mean,1e9"] * (x.dtype != torch.bool)
    spec = data.draw(st.sampled_from(pairs))
    given = [spec if spec.startswith("multiotsu") else data.draw(st.sampled_from([spec, spec.split(",")]))]
    agree(folder, ("levels", t.levels, ("threshold",), options, flags), x, given, ["-t", spec])


@settings(max_examples=20)
@given(data=st.data())
def test_levels_of_maps(folder: Path, data: st.DataObject) -> None:
    x = data.draw(ANY)
    low = tensor_of(torch.float64, tuple(x.shape), data.draw(st.integers(0, 1 << 40)) * 16)
    save_file({"low": low, "high": low + 1}, folder / "maps.safetensors")
    written = [f"@{folder / 'maps.safetensors'}::{name}" for name in ("low", "high")]
    words: list[object] = ["-t", written[0], "-t", written[1]]
    agree(folder, ("levels", t.levels, ("threshold",), {}, []), x, [[low, low + 1]], words)


@pytest.mark.parametrize("options", [
    {"scale": 0.5}, {"offset": 1}, {"at_least": 1.5, "at_most": 2}, {"ignore_zero": True}, {"bins": 16},
    {"ties": "all"}, {"ties": "none"},
])  # fmt: skip
@pytest.mark.parametrize("spec", ["p75", "otsu", "top4"])
def test_options_of_thresholds_that_are_worked_out(spec: str, options: dict[str, Any], folder: Path) -> None:
    x = tensor_of(torch.float32, (6, 7), 3)
    flags: list[object] = [word for key, value in options.items() for word in _flag(key, value)]
    _, _, wanted = command(folder, "variable", x, ["-t", spec, *flags])
    assert wanted is not None
    same(t.variable_threshold(x, t.threshold(x, spec, **options)), wanted)


def _flag(key: str, value: object) -> list[object]:
    name = f"--{key.replace('_', '-')}"
    return [name] if value is True else [name, value]


def test_an_array_gives_what_a_tensor_gives() -> None:
    x = tensor_of(torch.float32, (5, 7), 7)
    for name, (_, function, slots, options, _) in RULES.items():
        values = [0.5, 2][: len(slots)]
        found = function(x.numpy(), *values, **options)
        assert isinstance(found, np.ndarray), name
        same(torch.from_numpy(found), function(x, *values, **options))


def test_a_large_tensor_is_worked_on_in_tiles() -> None:
    """Ties and maps know where in the tensor a tile lies."""
    x = torch.arange(1_000_003).remainder(977).float()
    kept = t.gradient_threshold(x, t.topk_threshold(x, 12345, magnitude=True))
    assert int((kept != 0).sum()) == 12345
    limits = x.flip(0)
    assert torch.equal(t.variable_threshold(x, limits), torch.where(x > limits, x, 0))
    assert np.array_equal(t.variable_threshold(x.numpy(), limits), torch.where(x > limits, x, 0).numpy())


def test_numbers_of_numpy_are_numbers() -> None:
    """Also where a source is written with them: their text is not that of Python's numbers."""
    x, half = torch.arange(9.0), np.float64(0.5)
    single: Any = np.float32(0.5)  # no float to a type checker
    three: Any = np.int64(3)
    pairs = [
        (t.quantile(x, half), t.quantile(x, 0.5)),
        (t.quantile(x, single), t.quantile(x, 0.5)),
        (t.topk_threshold(x, three), t.topk_threshold(x, 3)),
        (t.topk_threshold(x, half), t.topk_threshold(x, 0.5)),
        (t.sigma_threshold(x, half), t.sigma_threshold(x, 0.5)),
        (t.mad_threshold(x, single), t.mad_threshold(x, 0.5)),
    ]
    for found, wanted in pairs:
        assert float(found) == float(wanted)
    assert torch.equal(t.niblack(x, three, half), t.niblack(x, 3, 0.5))
    assert torch.equal(t.sauvola(x, three, half, single), t.sauvola(x, 3, 0.5, 0.5))
    assert t.sparsity_warmup(half, 3)(0) == t.sparsity_warmup(0.5, 3)(0)
    assert t.thresholded_loss(x, 0.5, weight=half).equal(t.thresholded_loss(x, 0.5, weight=0.5))


@pytest.mark.parametrize("to", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_nan_of_other_formats_where_gradients_are_recorded(kind: str, to: str) -> None:
    """Its sign and its leading bits go along, whichever kernels serve the tensor."""
    generator = torch.Generator().manual_seed(0)
    width = {2: torch.int16, 4: torch.int32, 8: torch.int64}[getattr(torch, kind).itemsize]
    x = torch.randint(-(1 << 62), 1 << 62, (1 << 15,), generator=generator).to(width).view(getattr(torch, kind))
    same(t.soft_threshold(watched(x), 1, out_dtype=to).detach(), t.soft_threshold(x, 1, out_dtype=to))


def test_options_that_are_equal_but_not_the_same_make_rules_of_their_own() -> None:
    """Rules are kept for the next call, and 0.0 is no -0.0."""
    x = torch.tensor([1.0, 5.0])
    for fill in (0.0, -0.0, 0, False):
        assert str(float(t.hard_threshold(x, 3, fill=fill)[0])) == ("-0.0" if str(fill).startswith("-") else "0.0")
