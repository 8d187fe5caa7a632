"""GradientThreshold among optimizers, closures, scalers, compiled models: it acts once, in time, on what it should."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_pre_hooks

import threshcli as t
from tests.training import Bag, same, step
from threshcli.errors import UsageError


def linear(**options: Any) -> nn.Linear:
    layer = nn.Linear(4, 1, bias=False, **options)
    nn.init.zeros_(layer.weight)
    return layer


def back(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here


X = torch.tensor([[1.0, 0.4, -3.0, 0.4]])


def test_accumulated_gradients_are_thresholded_once_before_the_step() -> None:
    """0.4 twice is above 0.5; each alone is not."""
    model = linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with t.GradientThreshold(optimizer, 0.5):
        for x in (X, torch.tensor([[0.0, 0.4, 0.0, 0.0]])):
            back(model(x).sum())
            assert model.weight.grad is not None
            assert (model.weight.grad != 0).sum() == 4
        optimizer.step()
    assert torch.equal(model.weight.detach(), -torch.tensor([[1.0, 0.8, -3.0, 0.0]]))


def test_all_groups_of_an_optimizer_and_those_added_later() -> None:
    parts = [Bag({"weight": torch.tensor([0.3, 0.7])}) for _ in range(3)]
    optimizer = torch.optim.SGD([{"params": part.parameters()} for part in parts[:2]], lr=0.0)
    with t.GradientThreshold(optimizer, "top1", scope="global") as thresholded:
        optimizer.step()
        assert list(thresholded.stats.parameters) == ["0", "1"]
        optimizer.add_param_group({"params": parts[2].parameters()})
        for part in parts:
            part.get_parameter("weight").grad = torch.tensor([0.3, 0.7])
        optimizer.step()
    assert [part.grads()["weight"].count_nonzero().item() for part in parts] == [1, 0, 0]
    assert thresholded.stats.total.elements == 6


def test_a_module_is_served_by_every_optimizer_that_holds_its_parameters_and_no_other() -> None:
    first, second, stranger = linear(), linear(), linear()
    model = nn.ModuleDict({"a": first, "b": second})
    optimizers = [torch.optim.SGD(part.parameters(), lr=1.0) for part in (first, second, stranger)]
    shared = torch.optim.SGD([*first.parameters(), *stranger.parameters()], lr=0.0)
    with t.GradientThreshold(model, lambda number: 0.5 if number else 2) as thresholded:
        for part in (first, second, stranger):
            back(part(X).sum())
        for optimizer in optimizers:
            optimizer.step()
        assert [int((part.weight.detach() != 0).sum()) for part in (first, second, stranger)] == [1, 1, 4]
        assert list(thresholded.stats.parameters) == ["a.weight", "b.weight"]
        shared.step()
    assert stranger.weight.grad is not None
    assert stranger.weight.grad.count_nonzero() == 4


@pytest.mark.parametrize("keyword", [True, False])
def test_with_a_closure_the_gradients_that_it_makes_are_thresholded(keyword: bool) -> None:
    model = linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = model(X).sum()
        back(loss)
        return loss

    with t.GradientThreshold(model, 0.5), t.GradientThreshold(optimizer, "top1") as second:
        loss: Any = optimizer.step(closure=closure) if keyword else optimizer.step(closure)
    assert loss.item() == 0
    assert model.weight.detach().tolist() == [[0, 0, 3, 0]]
    assert second.stats.parameters["0"].norm_before == pytest.approx(10**0.5), "the other was first"


def test_lbfgs_minimizes_with_what_is_left() -> None:
    """Elements whose gradients are small from the start never move."""
    weight = nn.Parameter(torch.tensor([3.0, 0.01]))
    optimizer: Any = torch.optim.LBFGS([weight], lr=0.5, max_iter=5)

    def closure() -> float:
        optimizer.zero_grad()
        loss = weight.square().sum()
        back(loss)
        return loss.item()

    with t.GradientThreshold(optimizer, 0.1):
        optimizer.step(closure)
    assert weight[1].item() == pytest.approx(0.01)
    assert abs(weight[0].item()) < 1


def scaled_steps(fused: bool, dtype: torch.dtype, *, before: bool) -> tuple[list[Tensor], t.GradientThreshold]:
    """Four steps under a GradScaler, of which the second overflows; the weights after each."""
    model = linear(dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=100)
    thresholded = t.GradientThreshold(model, 0.5, error_feedback=True)
    seen = []
    for number in range(4):
        optimizer.zero_grad()
        x = X.clone().to(dtype)
        x[0, 1] = float("inf") if number == 1 else x[0, 1]
        back(scaler.scale(model(x).sum() if number != 1 else (model.weight * x).sum()))
        if before:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        seen.append(model.weight.detach().clone())
    return seen, thresholded


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_under_a_scaler_gradients_are_thresholded_unscaled(dtype: torch.dtype, fused: bool, before: bool) -> None:
    """A step that is skipped touches neither weights nor remainders."""
    seen, thresholded = scaled_steps(fused, dtype, before=before)
    x = X.to(dtype)
    weight, rest = torch.zeros_like(x), torch.zeros_like(x)
    for number, found in enumerate(seen):
        if number != 1:
            whole = x + rest
            kept = torch.where(whole.abs() > 0.5, whole, 0)
            weight, rest = weight - kept, whole - kept
        assert torch.equal(found, weight)
    state = thresholded.state_dict()
    assert torch.equal(state["residuals"]["weight"], rest)
    assert state["steps"] == {"weight": 3}


def test_an_optimizer_that_takes_the_scaler_itself_is_refused() -> None:
    class Own(torch.optim.SGD):
        def step(self, closure: Any = None, *, grad_scaler: Any = None) -> Any:
            return super().step(closure)

    model = Bag({"weight": torch.ones(1)})
    optimizer = Own(model.parameters(), lr=0.0)
    with t.GradientThreshold(model, 0.5), pytest.raises(UsageError, match="divides its gradients by their scale"):
        optimizer.step(grad_scaler=object())


def test_a_compiled_model_has_the_names_of_the_model() -> None:
    layer = linear()
    model = nn.Sequential(layer, nn.Tanh())
    compiled: Any = torch.compile(model, backend="eager")
    optimizer = torch.optim.SGD(compiled.parameters(), lr=1.0)
    with t.GradientThreshold(compiled, {"0.weight": 0.5}) as thresholded:
        back(compiled(X).sum())
        optimizer.step()
    assert layer.weight.detach().count_nonzero() == 2
    assert list(thresholded.stats.parameters) == ["0.weight"]


def test_a_hook_that_is_removed_acts_no_more() -> None:
    for target in (lambda model: model, lambda model: torch.optim.SGD(model.parameters(), lr=0.0)):
        model = Bag({"weight": torch.tensor([0.3])})
        thresholded = t.GradientThreshold(target(model), 0.5)
        thresholded.remove()
        thresholded.remove()
        step(model)
        assert model.grads()["weight"].item() == pytest.approx(0.3)


def test_it_works_though_nobody_keeps_it_and_keeps_no_model_alive() -> None:
    model = Bag({"weight": torch.tensor([0.3])})
    t.GradientThreshold(model, 0.5)
    gc.collect()
    step(model)
    assert model.grads()["weight"].item() == 0
    hooks = _global_optimizer_pre_hooks
    count, gone = len(hooks), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert len(hooks) == count - 1, "nor is a hook left behind"


def test_several_act_in_the_order_in_which_they_were_made() -> None:
    model = Bag({"weight": torch.tensor([0.1, 0.3, 0.6, 0.9])})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    first = t.GradientThreshold(optimizer, "zero50%", error_feedback=True)
    second = t.GradientThreshold(optimizer, 0.7, error_feedback=True)
    optimizer.step()
    assert [part.stats.total.kept for part in (first, second)] == [2, 1]
    same(first.state_dict()["residuals"], {"0": torch.tensor([0.1, 0.3, 0.0, 0.0])})
    same(second.state_dict()["residuals"], {"0": torch.tensor([0.0, 0.0, 0.6, 0.0])})
