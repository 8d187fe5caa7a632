"""Functions and command line side by side: random tensors of every dtype, and whether both give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
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
    return st.builds(lambda shape, seed: tensor_of(kind, shape, seed), shapes, whole)


def tensor_of(kind: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
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


ANY = st.sampled_from(FLOATS + WHOLE).flatmap(tensors)
"""Tensors of any dtype that has an order."""


def numbers_for(rule: Rule) -> st.SearchStrategy[list[Any]]:
    """A number for each threshold of a rule, in ascending order."""
    return st.lists(st.sampled_from(NUMBERS), min_size=len(rule[2]), max_size=len(rule[2])).map(sorted)


def maps_for(rule: Rule, x: torch.Tensor) -> st.SearchStrategy[list[Any]]:
    """A map of any dtype for each threshold of a rule, perhaps with NaN; of magnitudes where these are compared."""
    kinds, seeds = st.sampled_from(FLOATS + WHOLE), st.integers(0, 1 << 40)
    maps = st.builds(lambda kind, seed: tensor_of(getattr(torch, kind), tuple(x.shape), seed), kinds, seeds)
    if rule[0] in ("gradient", "hard", *SHRINKING):
        maps = maps.map(magnitude)
    return st.lists(maps, min_size=len(rule[2]), max_size=len(rule[2]))


def magnitude(item: torch.Tensor) -> torch.Tensor:
    """abs(item), of dtypes too that torch has none of."""
    return (item.double() if item.is_floating_point() else item.long()).abs().to(item.dtype)


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
    for other in (watched(x), x.T.contiguous().T if x.dim() == 2 else x):
        again = function(other, *values, **options, **more)
        same(again.detach(), wanted)


def watched(x: torch.Tensor) -> torch.Tensor:
    """The same tensor where gradients are recorded: other kernels serve it."""
    return x.detach().requires_grad_() if x.is_floating_point() and x.element_size() > 1 else x
