"""What must not change a threshold or a byte: workers, memory, memory order, container, shards, device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.files import read_codes, write_codes
from tests.harness import thresh
from tests.pt_files import bits
from tests.reference import decode, pack
from tests.strategies import REAL, blocks
from tests.worked import Nothing, samples, values_of, work
from threshcli.dtypes import DType
from threshcli.executors.local import Executor
from threshcli.kernels.torch import TorchKernels
from threshcli.plan.fit import Fit, Scope
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.rules import registered
from threshcli.thresholds import parse

SPECS = ["p99", "top1000", "zero90%", "energy80%", "3mad", "bayes", "otsu"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tensor of several leaves and tiles, with many ties, NaN and infinities."""
    data = np.random.default_rng(1).standard_normal((3, 70_000)).astype(np.float32).round(2)
    data[0, :50], data[1, 7], data[2, 9] = np.nan, np.inf, -np.inf
    path = tmp_path_factory.mktemp("large") / "x.npy"
    np.save(path, data)
    return path


def outcome(path: Path, out: Path, spec: str, *options: str, rule: str = "gradient") -> tuple[Any, bytes]:
    """The threshold as reported, and what was written."""
    ran = thresh(rule, path, "-t", spec, *options, "-o", out, "--overwrite", "--json")
    assert ran.status == 0, ran.err
    return ran.tensor["threshold"], out.read_bytes()


@pytest.mark.parametrize("spec", SPECS)
def test_workers_and_memory_change_nothing(spec: str, large: Path, tmp_path: Path) -> None:
    """Nor does the order in which a tile is done."""
    wanted = outcome(large, tmp_path / "y.npy", spec, "-j", "1")
    for options in (
        ("-j", "2", "--max-memory", "1MiB"),
        ("-j", "3", "--max-memory", "8MiB"),
        (
            "-j",
            "2",
        ),
    ):
        assert outcome(large, tmp_path / "y.npy", spec, *options) == wanted, options


@pytest.mark.parametrize(
    ("spec", "scope"),
    [("top7", "tensor"), ("top3", "axis:1"), ("p50", "axis:-1"), ("energy80%", "tensor"), ("otsu", "axis:0")],
)
def test_memory_order_and_byte_order_change_nothing(spec: str, scope: str, tmp_path: Path) -> None:
    """Of ties the first in C order stay, however they lie in the file."""
    for kind in ("f4", "f2", "i8", "i2", "u4", "?"):
        data = np.random.default_rng(3).integers(0 if kind in ("u4", "?") else -5, 6, (6, 8, 3)).astype(kind)
        layouts = [data, np.asfortranarray(data), data.astype(data.dtype.newbyteorder(">"))]
        layouts.append(np.asfortranarray(layouts[-1]))
        found = []
        for layout in layouts:
            np.save(tmp_path / "x.npy", layout)
            threshold, _ = outcome(tmp_path / "x.npy", tmp_path / "y.npy", spec, "--scope", scope)
            result = np.load(tmp_path / "y.npy")
            assert (result.dtype, result.flags.f_contiguous) == (layout.dtype, layout.flags.f_contiguous)
            found.append((threshold, result.astype(data.dtype).tobytes()))
        assert all(one == found[0] for one in found), kind


TORCH = {str(getattr(torch, dtype.name)): dtype for dtype in REAL if hasattr(torch, dtype.name)}


@pytest.mark.parametrize("spec", ["p50", "top7", "zero60%", "energy80%", "median"])
def test_containers_change_nothing(spec: str, tmp_path: Path) -> None:
    """Tensors of every dtype that torch has, as views, transposed and 0-d among them."""
    tensors, stored = {}, {}
    for kind, dtype in TORCH.items():
        codes = samples(dtype, 6)["ties"][:24]
        if dtype.encode(0) is None or any(isinstance(decode(code, dtype), float) for code in codes):
            continue
        raw = torch.frombuffer(bytearray(pack(codes, dtype)), dtype=getattr(torch, dtype.name))
        stored[kind] = raw.reshape(4, 6).t()
        stored[kind + " view"] = raw[3:17:2]
        stored[kind + " point"] = raw[5]
        where = np.arange(24).reshape(4, 6).T.ravel()
        tensors[kind] = dtype, [codes[at] for at in where]
        tensors[kind + " view"] = dtype, codes[3:17:2]
        tensors[kind + " point"] = dtype, [codes[5]]
    assert len(tensors) >= 3 * 12
    torch.save(stored, tmp_path / "x.pt")
    shapes = {name: list(stored[name].shape) for name in tensors}
    write_codes(tmp_path / "x.safetensors", tensors, shapes=shapes)
    for name in ("x.pt", "x.safetensors"):
        ran = thresh("gradient", tmp_path / name, "-t", spec, "-O", tmp_path / "out")
        assert ran.status == 0, ran.err
    found = torch.load(tmp_path / "out/x.pt", weights_only=True)
    for name, (dtype, codes) in read_codes(tmp_path / "out/x.safetensors").items():
        assert bits(found[name]) == bytes(pack(codes, dtype)), name


@settings(max_examples=40)
@given(data=st.data(), dtype=st.sampled_from(REAL), spec=st.sampled_from(["p50", "p33.3", "top3", "top50%", "zero70%"]))
def test_any_shards_of_any_data_share_one_threshold(
    data: st.DataObject, dtype: DType, spec: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is that of the reference, with the first ties; whatever lies where."""
    shards = data.draw(st.lists(blocks(dtype, most=6), min_size=1, max_size=4))
    codes = [code for shard in shards for code in shard]
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"{number}.safetensors" for number in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        write_codes(path, {"x": (dtype, shard)})
    options = ("-t", spec, "--scope", "global", "--value", "1", "-O", folder / "out")
    ran = thresh("replace", *paths, *options)
    if not codes:
        assert ran.status == 0
        return
    try:
        cut = work(spec, values_of(codes, dtype))
    except Nothing:
        assert ran.status == 4
        return
    assert ran.status == 0, ran.err
    one = dtype.encode(1)
    nan = [isinstance(value, float) and value != value for value in values_of(codes, dtype)]
    stays = [nan[at] or cut.holds(code, dtype, at, "gt", False) for at, code in enumerate(codes)]
    written = [code for path in paths for code in read_codes(folder / "out" / path.name)["x"][1]]
    assert written == [code if stay else one for code, stay in zip(codes, stays, strict=True)]


def on_torch(rule: str, spec: str, scope: str, ties: Any, path: Path, out: Path) -> bytes:
    """What the kernels of an accelerator write."""
    request = Request.of(
        rule=registered()[rule](),
        command=rule,
        thresholds={"threshold": parse(spec)},
        specs={"threshold": spec},
        fit=Fit(scope=Scope.parse(scope), ties=ties),
        names=Names(output=str(out), rule=rule),
        jobs=2,
    )
    result = Executor(request, kernels=("test", lambda: TorchKernels("cpu"))).run(request.names.jobs([str(path)]))
    assert result.files[0].error is None, result.files[0].error
    return out.read_bytes()


@pytest.mark.parametrize(("spec", "rule"), [("p50", "hard"), ("top7", "gradient"), ("zero60%", "binary")])
def test_torch_writes_what_numpy_writes(spec: str, rule: str, tmp_path: Path) -> None:
    """Ties, axes and ranks, in every dtype that torch stores."""
    tensors = {}
    for dtype in REAL:
        codes = [code for code in samples(dtype, 9)["ties"] if not isinstance(decode(code, dtype), float)]
        if dtype.encode(0) is not None:
            tensors[dtype.name] = dtype, (codes * 3)[:24]
    path = tmp_path / "x.safetensors"
    write_codes(path, tensors, shapes=dict.fromkeys(tensors, (4, 6)), metadata={"format": "pt"})
    for scope in ("tensor", "axis:0", "axis:1"):
        for ties in ("first", "all", "none") if spec == "top7" else ("first",):
            options = ("--scope", scope, *(("--ties", ties) if ties != "first" else ()))
            _, wanted = outcome(path, tmp_path / "y.safetensors", spec, *options, rule=rule)
            assert on_torch(rule, spec, scope, ties, path, tmp_path / "z.safetensors") == wanted
            (tmp_path / "z.safetensors").unlink()
