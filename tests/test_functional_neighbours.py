"""Functions and command line agree where elements are looked at beside their neighbours."""

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
from tests.agreement import (
    FLOATS,
    RULES,
    WHOLE,
    agree,
    same,
    tensor_of,
    tensors,
)
from tests.harness import thresh


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree")


@settings(max_examples=25)
@given(data=st.data())
def test_the_largest_of_neighbours(folder: Path, data: st.DataObject) -> None:
    x = data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    m = data.draw(st.integers(1, 5))
    n, axis = data.draw(st.integers(1, m)), data.draw(st.integers(-x.dim(), x.dim() - 1))
    partial, nan = data.draw(st.booleans()), data.draw(st.sampled_from(["keep", "fill=1", "error"]))
    options: dict[str, Any] = {"axis": axis, "partial": partial, "nan": nan}
    flags = ["-t", f"{n}:{m}", "--axis", axis, "--nan", nan, *["--partial"] * partial]
    agree(folder, ("nm", lambda x: t.nm_sparsify(x, n, m, **options), (), {}, []), x, [], list(flags))


@settings(max_examples=25)
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
@settings(max_examples=15)
@given(data=st.data())
def test_thresholds_from_windows(name: str, folder: Path, data: st.DataObject) -> None:
    rule, x = RULES[name], data.draw(st.sampled_from(FLOATS + WHOLE).flatmap(tensors))
    windows = ["local-mean:3", "local-gaussian:5", "local-median:3", "niblack:3,-0.5", "sauvola:5,0.2,R=auto"]
    spec = data.draw(st.sampled_from(windows))
    agree(folder, rule, x, [spec], ["-t", spec])


WINDOWS: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], list[str]]] = {
    "mean": ("local-mean:3", lambda x: t.local_threshold(x, 3), []),
    "gaussian": ("local-gaussian:3x5", lambda x: t.local_threshold(x, (3, 5), "gaussian"), []),
    "median": ("local-median:3", lambda x: t.local_threshold(x, [3], "median", axes=[1]), ["--axes", "1"]),
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
    x = tensor_of(torch.float32, (6, 7), 15)
    save_file({"x": x}, folder / "x.safetensors")
    out = folder / "map.safetensors"
    ran = thresh("solve", folder / "x.safetensors", "-t", spec, *flags, "-o", out, "--overwrite", "-q")
    assert ran.status == 0, ran.err
    same(function(x), load_file(out)["x"])
    assert np.array_equal(function(x.numpy()), function(x).numpy(), equal_nan=True)  # type: ignore[arg-type]


def test_a_mask_says_what_windows_look_at() -> None:
    x, mask = np.array([0.0, 9.0, 3.0, 6.0]), np.array([1, 0, 1, 1])
    assert t.local_threshold(x, 3, mask=mask).tolist() == [0, 1.5, 4.5, 5]
