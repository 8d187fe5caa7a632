"""Functions and command line agree, byte for byte, for every rule, kind of threshold and dtype."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import threshcli as t
from tests.harness import thresh
from threshcli.functional.held import hold

FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
NUMBERS = (0, 0.1, 1, 2.5, 1e-9, 3e38, 16777217)
SPECS = ("p90", "p33.3", "top3", "top50%", "zero40%", "energy90%", "mean", "median", "otsu", "2mad", "0.5sigma")

Rule = tuple[str, Callable[..., Any], tuple[str, ...], dict[str, Any], list[str]]
RULES: dict[str, Rule] = {
    "binary": ("binary", t.binary_threshold, ("threshold",), {}, []),
    "binary le": (
        "binary",
        t.binary_threshold,
        ("threshold",),
        {"compare": "le", "above_value": 0, "below_value": 1, "nan": "above"},
        ["--compare", "le", "--above", "0", "--below", "1", "--nan", "above"],
    ),
    "binary bool": ("binary", t.binary_threshold, ("threshold",), {"out_dtype": "bool"}, ["--out-dtype", "bool"]),
    "variable": ("variable", t.variable_threshold, ("threshold",), {"fill": 1}, ["--fill", "1"]),
    "gradient": ("gradient", t.gradient_threshold, ("threshold",), {}, []),
    "gradient ge": ("gradient", t.gradient_threshold, ("threshold",), {"compare": "ge"}, ["--compare", "ge"]),
    "hard": ("hard", t.hard_threshold, ("threshold",), {"nan": "fill=0"}, ["--nan", "fill=0"]),
    "replace": ("replace", lambda x, v, **o: t.replace(x, v, 1, **o), ("threshold",), {}, ["--value", "1"]),
    "clamp": ("clamp", t.clamp, ("low", "high"), {}, []),
    "band": ("band", t.band, ("low", "high"), {"closed": "left", "outside": True}, ["--closed", "left", "--outside"]),
    "soft": ("soft", t.soft_threshold, ("threshold",), {}, []),
    "garrote": ("garrote", t.garrote, ("threshold",), {}, []),
    "firm": ("firm", t.firm, ("low", "high"), {}, []),
}  # fmt: skip
LEVELS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "counted": ({}, []),
    "at or above": ({"compare": "ge", "out_dtype": "uint8"}, ["--compare", "ge", "--out-dtype", "uint8"]),
    "valued": ({"values": [0, 1, 0], "nan": "fill=1"}, ["--values", "0,1,0", "--nan", "fill=1"]),
}
SHRINKING = ("soft", "garrote", "firm")
RANKED = ("top", "zero", "energy")


def tensors(dtype: str) -> st.SearchStrategy[torch.Tensor]:
    """Small tensors with all that is special about a dtype: NaN, infinities, zeros of both signs, ties."""
    kind = getattr(torch, dtype)
    shapes = st.sampled_from([(7,), (1,), (3, 5), (2, 3, 4)])
    whole = st.integers(0, 1 << 62)
    return st.builds(lambda shape, seed: _tensor(kind, shape, seed), shapes, whole)


def _tensor(kind: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator, dtype=torch.float64).mul(3)
    values = values.round() if seed % 3 == 0 else values
    if kind == torch.bool:
        return values > 0
    if not kind.is_floating_point:
        if not kind.is_signed:
            values = values.abs()
        return values.to(torch.int64).to(kind)
    flat = values.reshape(-1)
    for place, special in enumerate((float("nan"), float("inf"), -0.0, 0.0)):
        if seed >> place & 1 and flat.numel() > place + 2:
            flat[place] = special
    return values.to(kind)


def same(a: torch.Tensor, b: torch.Tensor) -> None:
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert bytes(hold(a, "a").data) == bytes(hold(b, "b").data)


def command(folder: Path, name: str, x: torch.Tensor, arguments: list[object]) -> tuple[int, str, torch.Tensor | None]:
    save_file({"x": x}, folder / "x.safetensors")
    out = folder / "y.safetensors"
    ran = thresh(name, folder / "x.safetensors", *arguments, "-o", out, "--overwrite", "-q")
    return ran.status, ran.err, load_file(out)["x"] if ran.status == 0 else None


def attempted(work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor | None, int]:
    """What comes of it, and the exit status that the command line would have ended with."""
    try:
        return work(), 0
    except t.errors.ThreshError as error:
        return None, error.exit_code


def agree(folder: Path, rule: Rule, x: torch.Tensor, values: list[Any], arguments: list[object], **more: Any) -> None:
    """Both give the same bytes, or both refuse with the same class of error."""
    name, function, _, options, flags = rule
    status, told, wanted = command(folder, name, x, [*arguments, *flags])
    found, code = attempted(lambda: function(x, *values, **options, **more))
    assert status == code, told
    if found is None or wanted is None:
        return
    same(found, wanted)
    for other in (_watched(x), x.T.contiguous().T if x.dim() == 2 else x):
        again = function(other, *values, **options, **more)
        same(again.detach(), wanted)


def _watched(x: torch.Tensor) -> torch.Tensor:
    """The same tensor where gradients are recorded: other kernels serve it."""
    return x.detach().requires_grad_() if x.is_floating_point() and x.element_size() > 1 else x


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree")


every_rule = pytest.mark.parametrize("name", RULES)


@every_rule
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_numbers(name: str, folder: Path, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    values = sorted(data.draw(st.lists(st.sampled_from(NUMBERS), min_size=len(rule[2]), max_size=len(rule[2]))))
    written: list[object] = [word for slot, value in zip(rule[2], values, strict=True) for word in (f"--{slot}", value)]
    agree(folder, rule, x, list(values), written)


@every_rule
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_maps_of_any_dtype(name: str, folder: Path, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    seeds = st.integers(0, 1 << 40).map(lambda seed: seed * 16)  # without NaN
    kinds = [getattr(torch, data.draw(st.sampled_from(FLOATS + WHOLE))) for _ in rule[2]]
    maps = [_tensor(kind, tuple(x.shape), data.draw(seeds)) for kind in kinds]
    if rule[0] in ("gradient", "hard", *SHRINKING):
        maps = [_magnitude(item) for item in maps]
    save_file({f"{slot}": item for slot, item in zip(rule[2], maps, strict=True)}, folder / "maps.safetensors")
    written: list[object] = []
    for slot in rule[2]:
        written += [f"--{slot}", f"@{folder / 'maps.safetensors'}::{slot}"]
    agree(folder, rule, x, maps, written)


def _magnitude(item: torch.Tensor) -> torch.Tensor:
    return item.double().abs().to(item.dtype) if item.is_floating_point() else item.long().abs().to(item.dtype)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule[2] == ("threshold",)])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_thresholds_that_are_worked_out(name: str, folder: Path, data: st.DataObject) -> None:
    rule = RULES[name]
    specs = SPECS if rule[3].get("compare") != "le" else [spec for spec in SPECS if not spec.startswith(RANKED)]
    spec = data.draw(st.sampled_from(specs))
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    agree(folder, rule, x, [spec], ["-t", spec])


@pytest.mark.parametrize("name", ["binary", "gradient", "soft"])
@settings(max_examples=15, deadline=None)
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
    same(rule[1](_watched(x), t.threshold(x, spec, axis=axis, magnitude=magnitude)).detach(), wanted)


@pytest.mark.parametrize("name", LEVELS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_levels_of_numbers_and_of_sources(name: str, folder: Path, data: st.DataObject) -> None:
    options, flags = LEVELS[name]
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    pairs = ["0.1,2.5", "p20,p80", "0,top2", "multiotsu:3"] + ["mean,1e9"] * (x.dtype != torch.bool)
    spec = data.draw(st.sampled_from(pairs))
    given = [spec if spec.startswith("multiotsu") else data.draw(st.sampled_from([spec, spec.split(",")]))]
    agree(folder, ("levels", t.levels, ("threshold",), options, flags), x, given, ["-t", spec])


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_levels_of_maps(folder: Path, data: st.DataObject) -> None:
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    low = _tensor(torch.float64, tuple(x.shape), data.draw(st.integers(0, 1 << 40)) * 16)
    save_file({"low": low, "high": low + 1}, folder / "maps.safetensors")
    written = [f"@{folder / 'maps.safetensors'}::{name}" for name in ("low", "high")]
    words: list[object] = ["-t", written[0], "-t", written[1]]
    agree(folder, ("levels", t.levels, ("threshold",), {}, []), x, [[low, low + 1]], words)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_largest_of_neighbours(folder: Path, data: st.DataObject) -> None:
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    m = data.draw(st.integers(1, 5))
    n, axis = data.draw(st.integers(1, m)), data.draw(st.integers(-x.dim(), x.dim() - 1))
    partial, nan = data.draw(st.booleans()), data.draw(st.sampled_from(["keep", "fill=1", "error"]))
    options: dict[str, Any] = {"axis": axis, "partial": partial, "nan": nan}
    flags = ["-t", f"{n}:{m}", "--axis", axis, "--nan", nan, *["--partial"] * partial]
    agree(folder, ("nm", lambda x: t.nm_sparsify(x, n, m, **options), (), {}, []), x, [], list(flags))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_connected(folder: Path, data: st.DataObject) -> None:
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    axes = data.draw(st.sampled_from([None, *range(x.dim())]))
    low, high = data.draw(st.sampled_from([(0, 2.5), ("p40", "p90"), (0.1, "top2"), ("local-mean:3", 1e9)]))
    full = data.draw(st.booleans())
    options: dict[str, Any] = {"connectivity": "full" if full else "faces", "out_dtype": "uint8", "above_value": 7}
    flags: list[object] = ["--low", low, "--high", high, "--out-dtype", "uint8", "--above", 7]
    flags += ["--connectivity", "full"] * full + ([] if axes is None else ["--axes", axes])
    options["axes"] = None if axes is None else (axes,)
    agree(folder, ("hysteresis", t.hysteresis, (), options, []), x, [low, high], flags)


@pytest.mark.parametrize("name", ["binary", "variable", "gradient", "soft"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_thresholds_from_windows(name: str, folder: Path, data: st.DataObject) -> None:
    rule, x = RULES[name], data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    windows = ["local-mean:3", "local-gaussian:5", "local-median:3", "niblack:3,-0.5", "sauvola:5,0.2,R=auto"]
    spec = data.draw(st.sampled_from(windows))
    agree(folder, rule, x, [spec], ["-t", spec])


WINDOWS: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], list[str]]] = {
    "mean": ("local-mean:3", lambda x: t.local_threshold(x, 3), []),
    "gaussian": ("local-gaussian:3x5", lambda x: t.local_threshold(x, (3, 5), "gaussian"), []),
    "median": ("local-median:3", lambda x: t.local_threshold(x, 3, "median", axes=[1]), ["--axes", "1"]),
    "niblack": ("niblack:3,0.1", lambda x: t.niblack(x, 3, 0.1, scale=2), ["--scale", "2"]),
    "sauvola": ("sauvola:3,0.3,R=2", lambda x: t.sauvola(x, 3, 0.3, 2), []),
    "sauvola, auto": ("sauvola:3,0.2,R=auto", lambda x: t.sauvola(x, 3, r="auto"), []),
    "magnitude": ("niblack:3,-0.2", lambda x: t.niblack(x, 3, -0.2, magnitude=True), ["--magnitude"]),
    "not zero": ("local-mean:3", lambda x: t.local_threshold(x, 3, ignore_zero=True), ["--ignore-zero"]),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_maps_of_windows(name: str, folder: Path) -> None:
    """The map that solve writes."""
    spec, function, flags = WINDOWS[name]
    x = _tensor(torch.float32, (6, 7), 15)
    save_file({"x": x}, folder / "x.safetensors")
    out = folder / "map.safetensors"
    ran = thresh("solve", folder / "x.safetensors", "-t", spec, *flags, "-o", out, "--overwrite", "-q")
    assert ran.status == 0, ran.err
    same(function(x), load_file(out)["x"])
    assert np.array_equal(function(x.numpy()), function(x).numpy(), equal_nan=True)  # type: ignore[arg-type]


def test_a_mask_says_what_windows_look_at() -> None:
    x, mask = np.array([0.0, 9.0, 3.0, 6.0]), np.array([1, 0, 1, 1])
    assert t.local_threshold(x, 3, mask=mask).tolist() == [0, 1.5, 4.5, 5]


@pytest.mark.parametrize("options", [
    {"scale": 0.5}, {"offset": 1}, {"at_least": 1.5, "at_most": 2}, {"ignore_zero": True}, {"bins": 16},
    {"ties": "all"}, {"ties": "none"},
])  # fmt: skip
@pytest.mark.parametrize("spec", ["p75", "otsu", "top4"])
def test_options_of_thresholds_that_are_worked_out(spec: str, options: dict[str, Any], folder: Path) -> None:
    x = _tensor(torch.float32, (6, 7), 3)
    flags: list[object] = [word for key, value in options.items() for word in _flag(key, value)]
    _, _, wanted = command(folder, "variable", x, ["-t", spec, *flags])
    assert wanted is not None
    same(t.variable_threshold(x, t.threshold(x, spec, **options)), wanted)


def _flag(key: str, value: object) -> list[object]:
    name = f"--{key.replace('_', '-')}"
    return [name] if value is True else [name, value]


def test_an_array_gives_what_a_tensor_gives() -> None:
    x = _tensor(torch.float32, (5, 7), 7)
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
