"""DistributedDataParallel: gradients are thresholded on each rank before they are averaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

import threshcli as t
from tests.training import same
from threshcli.errors import UsageError

RANKS, STEPS, RATE, THRESHOLD = 2, 5, 0.5, 0.02
ROOT = Path(__file__).parent.parent

needs_gloo = pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(), reason="torch.distributed has no gloo here"
)


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2)).double()


def loss_of(model: nn.Module, rank: int, number: int) -> Tensor:
    """What a rank computes at a step: of its own data."""
    generator = torch.Generator().manual_seed(100 * number + rank)
    inputs = torch.randn(16, 6, generator=generator, dtype=torch.float64)
    found: Tensor = model(inputs).square().mean()
    return found


def train(rank: int, folder: Path) -> None:
    """One rank of several; saves its parameters, its state and its statistics, without and with error feedback."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS)
    torch.save([_trained(rank, error_feedback) for error_feedback in (False, True)], folder / f"{rank}.pt")
    dist.destroy_process_group()


def _trained(rank: int, error_feedback: bool) -> dict[str, Any]:
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(network(), bucket_cap_mb=0.0005)  # several buckets
    state = t.GradientThresholdState(model, THRESHOLD, error_feedback=error_feedback)
    model.register_comm_hook(state, t.gradient_threshold_hook)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for number in range(STEPS):
        optimizer.zero_grad()
        loss_of(model, rank, number).backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()
    told = {name: (item.elements, item.kept) for name, item in state.stats.parameters.items()}
    return {"model": dict(model.module.state_dict()), "state": state.state_dict(), "told": told}


def reference(error_feedback: bool) -> tuple[dict[str, Tensor], list[dict[str, Tensor]], dict[str, tuple[int, int]]]:
    """All ranks in one process, written down: parameters, remainders of each rank, what was kept by rank 0."""
    model = network()
    rests = [{name: torch.zeros_like(item) for name, item in model.named_parameters()} for _ in range(RANKS)]
    told = {}
    for number in range(STEPS):
        sums = {name: torch.zeros_like(item) for name, item in model.named_parameters()}
        for rank in range(RANKS):
            model.zero_grad()
            loss_of(model, rank, number).backward()  # type: ignore[no-untyped-call]  # torch has no types here
            for name, item in model.named_parameters():
                assert item.grad is not None
                whole = item.grad + rests[rank][name] if error_feedback else item.grad
                kept = torch.where(whole.abs() > THRESHOLD, whole, 0)
                rests[rank][name] = whole - kept
                sums[name] += kept / RANKS
                if rank == 0:
                    told[name] = (kept.numel(), int(kept.count_nonzero()))
        with torch.no_grad():
            for name, item in model.named_parameters():
                item.sub_(sums[name], alpha=RATE)
    return dict(model.state_dict()), rests, told


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """What each of two processes ended with, without and with error feedback."""
    folder = tmp_path_factory.mktemp("ranks")
    code = (
        "import sys; from pathlib import Path; from tests.test_training_distributed import train; "
        "train(int(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code]
    started = [
        subprocess.Popen([*command, str(rank), str(folder)], cwd=ROOT, stderr=subprocess.PIPE) for rank in range(RANKS)
    ]
    try:
        for process in started:
            _, said = process.communicate(timeout=240)
            assert process.returncode == 0, said.decode()
    finally:
        for process in started:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


@needs_gloo
@pytest.mark.parametrize("error_feedback", [False, True])
def test_two_processes_end_with_the_same_parameters_which_are_those_of_the_formula(
    error_feedback: bool, ended: list[list[dict[str, Any]]]
) -> None:
    first, second = (found[error_feedback] for found in ended)
    same(first["model"], second["model"])
    model, rests, told = reference(error_feedback)
    for name, item in model.items():
        assert torch.allclose(first["model"][name], item, rtol=0, atol=1e-12)
    assert first["told"] == told
    assert 0 < sum(kept for _, kept in told.values()) < sum(count for count, _ in told.values())
    for rank, found in enumerate((first, second)):
        assert found["state"]["step"] == STEPS
        assert found["state"]["residuals"].keys() == (rests[rank].keys() if error_feedback else set())
        for name, rest in found["state"]["residuals"].items():
            assert torch.allclose(rest, rests[rank][name], rtol=0, atol=1e-12)


def test_buckets_of_a_step_share_its_number_and_resume() -> None:
    """Whatever is in which bucket: DistributedDataParallel forms them anew after the first step."""
    model = network()
    state = t.GradientThresholdState(model, "zero75%", scope="bucket", warmup_steps=1, warmup="linear")
    parameters = list(model.parameters())
    for number in range(2):
        grads = [torch.ones_like(item).cumsum(0) for item in parameters]
        split = 2 - number
        state.apply(list(parameters[split:]), grads[split:], is_last=False)
        assert state.step == number
        state.apply(list(parameters[:split]), grads[:split], is_last=True)
    assert state.step == 2
    assert state.stats.sparsity >= 0.75
    assert state.stats.total.elements == sum(item.numel() for item in parameters)
    again = t.GradientThresholdState(network(), "zero75%")
    again.load_state_dict(state.state_dict())
    same(again.state_dict()["residuals"], state.state_dict()["residuals"])
    assert again.step == 2


def test_what_a_state_cannot_serve_is_refused() -> None:
    cases: list[tuple[Any, Any, dict[str, Any], str]] = [
        (network(), 0.5, {"scope": "global"}, "scope is 'global'"),
        (0.5, network(), {}, "is no module"),
        (network(), {"3.weight": 1}, {}, "matches no parameter"),
    ]
    for module, threshold, options, said in cases:
        with pytest.raises(UsageError, match=said):
            t.GradientThresholdState(module, threshold, **options)
    state = t.GradientThresholdState(network(), 0.5)
    with pytest.raises(UsageError, match="of a parameter that the module lacks"):
        state.apply([torch.zeros(1)], [torch.zeros(1)], is_last=True)
    with pytest.raises(UsageError, match="has no residuals"):
        state.load_state_dict({"step": 1})
