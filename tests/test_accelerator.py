"""On an accelerator, where there is one: the bytes, the counts and the errors of the CPU, from functions, the command
line and in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    RULES,
    SPECS,
    WHOLE,
    attempted,
    maps_for,
    numbers_for,
    same,
    tensors,
)
from tests.harness import thresh
from tests.training import DTYPES, Bag, gradients, step
from tests.training import same as all_same
from threshcli.kernels.torch_devices import accelerators

DEVICE = (*accelerators(), "cpu")[0]
pytestmark = pytest.mark.skipif(DEVICE == "cpu", reason="there is no accelerator")
every_rule = pytest.mark.parametrize("name", RULES)


def there(value: Any) -> Any:
    """A tensor on the accelerator; other things as they are."""
    return value.to(DEVICE) if isinstance(value, torch.Tensor) else value


def agree(function: Any, x: torch.Tensor, given: list[Any], **options: Any) -> None:
    """The same bytes on both devices, or the same class of error; whether gradients are recorded or not, written to a
    new tensor or a given one."""
    wanted, code = attempted(lambda: function(x, *given, **options))
    places = [there(value) for value in given]
    found, status = attempted(lambda: function(there(x), *places, **options))
    assert status == code
    if wanted is None or found is None:
        return
    assert found.device.type == DEVICE
    same(found.cpu(), wanted)
    out = torch.empty_like(found)
    assert function(there(x), *places, **options, out=out) is out
    same(out.cpu(), wanted)
    turned = there(x).T.contiguous().T if x.dim() == 2 else there(x)
    same(function(turned, *places, **options).cpu(), wanted)
    if x.is_floating_point() and x.element_size() > 1:
        same(function(there(x).requires_grad_(), *places, **options).detach().cpu(), wanted)


@every_rule
@settings(max_examples=40)
@given(data=st.data())
def test_numbers(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    agree(rule[1], x, data.draw(numbers_for(rule)), **rule[3])


@every_rule
@settings(max_examples=30)
@given(data=st.data())
def test_maps_of_any_dtype(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    agree(rule[1], x, data.draw(maps_for(rule, x)), **rule[3])


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule[2] == ("threshold",)])
@settings(max_examples=20)
@given(data=st.data())
def test_thresholds_that_are_worked_out(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    agree(rule[1], x, [data.draw(st.sampled_from(SPECS))], **rule[3])


@pytest.mark.parametrize("name", LEVELS)
@settings(max_examples=20)
@given(data=st.data())
def test_levels(name: str, data: st.DataObject) -> None:
    x = data.draw(ANY)
    agree(t.levels, x, [[0, 2]], **LEVELS[name][0])


@settings(max_examples=20)
@given(x=st.sampled_from(("float64", "float32", "float16", "bfloat16")).flatmap(tensors))
def test_derivatives(x: torch.Tensor) -> None:
    """What flows back is what flows back on the CPU."""
    for function, values in ((t.gradient_threshold, [0.5]), (t.soft_threshold, [0.5]), (t.clamp, [-0.5, 0.5])):
        grads = []
        for place in ("cpu", DEVICE):
            input = x.to(place).detach().requires_grad_()
            function(input, *values).backward(torch.full_like(input, 2))  # type: ignore[no-untyped-call]
            assert input.grad is not None
            grads.append(input.grad.cpu())
        same(grads[1], grads[0])


def test_sideways_and_windows() -> None:
    """Rules that look sideways and local thresholds serve tensors of the accelerator, too."""
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    for function, values in ((t.nm_sparsify, [2, 4]), (t.hysteresis, [0.5, 1])):
        same(function(there(x), *values).cpu(), function(x, *values))
    same(t.niblack(there(x), 3).cpu(), t.niblack(x, 3))


COMMANDS = (
    "binary -t 0.5",
    "binary -t 0.5 --out-dtype bool",
    "binary -t p90",
    "gradient -t 0.5",
    "gradient -t zero60%",
    "hard -t @map.safetensors",
    "clamp --low -1 --high 1",
    "band --low -1 --high 1 --nan fill=1",
    "soft -t 0.5 --out-dtype float32",
    "firm --low 0.25 --high 1 --out-dtype float64",
    "levels -t -1 -t 1",
    "nm 2:4 --partial",
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE, "complex64"])
def test_commands(command: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and reports of the command line, but for times, are those of the CPU."""
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(50, 70, generator=generator, dtype=torch.float64).mul(3)
    x = values.abs().to(torch.int64) if dtype in WHOLE else values
    x = x.to(getattr(torch, dtype))
    if dtype in FLOATS:
        x.view(-1)[5] = float("nan")
    save_file({"x": x, "y": x[:3].clone()}, "x.safetensors")
    save_file({"x": torch.full((50, 70), 0.7), "y": torch.full((3, 70), 1.5)}, "map.safetensors")
    told = []
    for place in ("cpu", DEVICE):
        ran = thresh(
            *command.split(), "x.safetensors", "-o", f"{place}.safetensors", "--overwrite", "-d", place, "--json"
        )
        told.append((ran.status, ran.err.replace(DEVICE, "cpu"), _plain(ran.json) if ran.status == 0 else None))
    assert told[1] == told[0]
    if told[0][0] == 0:
        assert Path(f"{DEVICE}.safetensors").read_bytes() == Path("cpu.safetensors").read_bytes()


def _plain(report: Any) -> Any:
    """A report without what differs from run to run; sums are taken in another order."""
    if isinstance(report, dict):
        left = {"seconds", "device", "output", "command", "created", "jobs"}
        return {key: _plain(value) for key, value in report.items() if key not in left}
    if isinstance(report, float):
        return float(f"{report:.9g}")
    return [_plain(value) for value in report] if isinstance(report, list) else report


@pytest.mark.parametrize("kind", ["npy", "pt"])
@pytest.mark.parametrize("jobs", [1, 4])
def test_many_tiles(kind: str, jobs: int, tmp_path: Path) -> None:
    """Several tiles and workers, in each container."""
    import numpy as np

    x = torch.randn(3_000_001, generator=torch.Generator().manual_seed(2))
    path = tmp_path / f"x.{kind}"
    np.save(path, x.numpy()) if kind == "npy" else torch.save({"x": x}, path)
    for place in ("cpu", DEVICE):
        out = tmp_path / f"{place}.{kind}"
        ran = thresh(
            "soft", path, "-t", "1", "-o", out, "-d", place, "-j", jobs, "--overwrite", "--max-memory", "64M", "-q"
        )
        assert ran.status == 0, ran.err
    assert (tmp_path / f"{DEVICE}.{kind}").read_bytes() == (tmp_path / f"cpu.{kind}").read_bytes()


@pytest.mark.parametrize("scope", ["tensor", "global"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", [0, 0.5, 0.3, "zero60%", "top13", "p75", "1sigma"])
def test_gradients(spec: Any, dtype: torch.dtype, scope: Any) -> None:
    """Gradients and remainders, over several steps, to the last bit; and what is told of them."""
    found = []
    for place in ("cpu", DEVICE):
        model = Bag({name: grad.to(place) for name, grad in gradients(3, dtype).items()})
        with t.GradientThreshold(model, spec, scope=scope, error_feedback=True) as thresholded:
            for seed in range(3):
                for name, grad in gradients(seed, dtype).items():
                    model.get_parameter(name).grad = grad.to(place)
                step(model)
        state = thresholded.state_dict()["residuals"]
        found.append((model.grads(), state, thresholded.stats.parameters))
    (wanted, rests, stats), (grads, others, told) = found
    all_same(_with_one_nan(grads), _with_one_nan(wanted))
    all_same(_with_one_nan(others), _with_one_nan(rests))
    for name, known in stats.items():
        seen = told[name]
        assert (seen.elements, seen.kept, seen.nan, seen.threshold) == (
            known.elements,
            known.kept,
            known.nan,
            known.threshold,
        )
        assert seen.norm_before == pytest.approx(known.norm_before, rel=1e-5)
        assert seen.norm_after == pytest.approx(known.norm_after, rel=1e-5)


def _with_one_nan(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors whose NaN are alike: a remainder is added, and NaN + 0 is another NaN on some devices."""
    return {name: tensor.cpu().masked_fill(tensor.cpu().isnan(), torch.nan) for name, tensor in tensors.items()}


@pytest.mark.parametrize("kind", [t.SoftThreshold, t.HardThreshold])
def test_learnable_thresholds(kind: Any) -> None:
    """They threshold, and learn, where they are moved to."""
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    found = []
    for place in ("cpu", DEVICE):
        layer = kind(0.5).to(place)
        made = layer(x.to(place))
        made.square().sum().backward()
        found.append((made.detach().cpu(), layer.raw.grad.cpu()))
    for here, away in zip(*found, strict=True):
        torch.testing.assert_close(away, here)


def test_losses() -> None:
    loss = torch.rand(100, generator=torch.Generator().manual_seed(3))
    for threshold in (0.5, "top25%"):
        torch.testing.assert_close(
            t.thresholded_loss(there(loss), threshold).cpu(), t.thresholded_loss(loss, threshold)
        )


@pytest.mark.parametrize("spec", [*SPECS, "isodata", "bayes", "multiotsu3"])
@pytest.mark.parametrize("axis", [None, 0])
def test_thresholds_are_worked_out_of_tensors_there(spec: str, axis: int | None) -> None:
    x = torch.randn(7, 20_000, generator=torch.Generator().manual_seed(4))
    wanted, code = attempted(lambda: t.threshold(x, spec, axis=axis))  # type: ignore[arg-type, return-value]
    found, status = attempted(lambda: t.threshold(there(x), spec, axis=axis))  # type: ignore[arg-type, return-value]
    assert (found, status) == (wanted, code)


@pytest.mark.filterwarnings("ignore")
def test_graphs() -> None:
    """Inside of torch.compile a call is part of the graph."""
    x = torch.randn(1000, generator=torch.Generator().manual_seed(5))
    compiled = torch.compile(lambda x: t.gradient_threshold(x * 2, 0.5) + 1)
    torch.testing.assert_close(compiled(there(x)).cpu(), t.gradient_threshold(x * 2, 0.5) + 1)


@pytest.mark.skipif(DEVICE != "cuda" or torch.cuda.mem_get_info()[0] < 16 << 30, reason="there is not enough memory")
def test_more_elements_than_32_bits_count() -> None:
    x = torch.zeros((1 << 31) + 1000, dtype=torch.int8, device=DEVICE)
    x[0], x[-1] = 3, -3
    made = t.gradient_threshold(x, 2)
    assert (int(made[0]), int(made[-1]), int(made.count_nonzero())) == (3, -3, 2)
