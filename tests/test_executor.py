"""The local executor: devices, memory, and what it tells while it works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from threshcli.dtypes import FLOAT32
from threshcli.errors import DeviceError
from threshcli.executors.devices import kernels_for
from threshcli.executors.local import Executor
from threshcli.kernels.base import Kernels
from threshcli.kernels.numpy import NumpyKernels
from threshcli.kernels.torch import TorchKernels
from threshcli.plan.files import read_header
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.results import FileResult, RunResult
from threshcli.rules import registered
from threshcli.rules.base import Rule
from threshcli.rules.nm import Nm
from threshcli.rules.replace import Replace
from threshcli.spec import ONE, NofM
from threshcli.thresholds import parse

RNG = np.random.default_rng(11)


def made(rule: type[Rule]) -> Rule:
    if rule is Nm:
        return Nm(threshold=NofM.parse("2:4"))
    return Replace(value=ONE) if rule is Replace else rule()


def run(
    rule: Rule,
    name: str,
    cut: str,
    source: Path,
    output: Path,
    kernels: Callable[[], Kernels],
    done: Callable[[FileResult], None] | None = None,
) -> RunResult:
    """One file through an executor with kernels of our choice; shrunk integers become float32."""
    dtype = read_header(str(source))[0].tensors[0].dtype
    slots = [key for slot in rule.slots for key in slot.keys(1)]
    specs = dict(zip(slots, ("0" if len(slots) == 2 else cut, cut), strict=False))
    request = Request.of(
        rule=rule,
        command=name,
        thresholds={slot: parse(text) for slot, text in specs.items()},
        specs=specs,
        names=Names(output=str(output), rule=name),
        out_dtype=None if rule.refusal(dtype, dtype) is None else FLOAT32,
        moments=True,
        jobs=2,
    )
    return Executor(request, kernels=("test", kernels), done=done).run(request.names.jobs([str(source)]))


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "u8"])
@pytest.mark.parametrize("name", sorted(registered()))
def test_torch_kernels_give_the_bytes_of_numpy(name: str, dtype: str, tmp_path: Path) -> None:
    """The path of an accelerator, on device cpu: numbers and maps, several tiles, NaN among them."""
    data = RNG.standard_normal(70_000) * 2
    if dtype[0] == "f":
        data[[3, 69_999]] = np.nan, -0.0
    np.save(tmp_path / "x.npy", np.abs(data).astype(dtype) if dtype[0] == "u" else data.astype(dtype))
    np.save(tmp_path / "m.npy", np.abs(RNG.standard_normal(70_000)))
    for number, cut in enumerate(("1", f"@{tmp_path}/m.npy")):
        written, counts = [], []
        for kind, kernels in (("numpy", NumpyKernels), ("torch", lambda: TorchKernels("cpu"))):
            out = tmp_path / f"{kind}-{number}.npy"
            result = run(made(registered()[name]), name, cut, tmp_path / "x.npy", out, kernels)
            (file,) = result.files
            assert file.error is None
            tensor = file.tensors[0]
            written.append(out.read_bytes())
            counts.append((tensor.selected, tensor.changed, tensor.zeros_after, tensor.nan, tensor.min, tensor.max))
            assert tensor.norm_after is not None
        assert written[0] == written[1]
        assert counts[0] == counts[1]


def test_each_file_is_told_of_as_it_ends(tmp_path: Path) -> None:
    """What ndjson is made of."""
    np.save(tmp_path / "x.npy", np.ones(3))
    told: list[FileResult] = []
    result = run(
        made(registered()["binary"]), "binary", "0", tmp_path / "x.npy", tmp_path / "y.npy", NumpyKernels, told.append
    )
    assert tuple(told) == result.files
    assert result.status == "ok"


def test_too_little_memory_costs_a_file_and_is_told(tmp_path: Path) -> None:
    """Python's MemoryError and torch's OutOfMemoryError alike: status 6; other faults are ours and are not hidden."""

    class OutOfMemoryError(RuntimeError):
        """As an accelerator's library has it."""

    class Full(NumpyKernels):
        error: type[Exception] = MemoryError

        def buffer(self, nbytes: int) -> memoryview:
            raise self.error

    class FullDevice(Full):
        error = OutOfMemoryError

    class Broken(Full):
        error = RuntimeError

    np.save(tmp_path / "x.npy", np.ones(3))
    rule = made(registered()["binary"])
    for kernels in (Full, FullDevice):
        (file,) = run(rule, "binary", "0", tmp_path / "x.npy", tmp_path / "y.npy", kernels).files
        assert file.error is not None
        assert file.error.exit_code == DeviceError.exit_code
    with pytest.raises(RuntimeError):
        run(rule, "binary", "0", tmp_path / "x.npy", tmp_path / "y.npy", Broken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy"]


def test_auto_is_the_cpu() -> None:
    """With NumPy's kernels: on files no accelerator is quicker, so torch is not even asked for one."""
    assert kernels_for("auto") == ("cpu", NumpyKernels)
    program = (
        "import sys; from threshcli.executors.devices import *; kernels_for('auto'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
