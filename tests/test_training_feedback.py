"""Error feedback: what is dropped comes back, and outlives the process."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import threshcli as t
from tests.training import DTYPES, Bag, bits, same, step
from threshcli.errors import InputError, UsageError


def test_what_is_dropped_is_added_to_the_next_gradient() -> None:
    """Against the formula, written down: g' = g + r, kept where abs(g') > T."""
    generator = torch.Generator().manual_seed(3)
    model, rest = Bag({"weight": torch.zeros(50)}), torch.zeros(50)
    with t.GradientThreshold(model, 1.0, error_feedback=True) as thresholded:
        for _ in range(6):
            grad = torch.randn(50, generator=generator)
            model.get_parameter("weight").grad = grad.clone()
            step(model)
            whole = grad + rest
            kept = torch.where(whole.abs() > 1, whole, 0)
            rest = whole - kept
            assert torch.equal(model.grads()["weight"], kept)
            assert torch.equal(thresholded.state_dict()["residuals"]["weight"], rest)
            assert thresholded.stats.total.norm_before == pytest.approx(float(whole.norm()))
            assert thresholded.stats.norm_kept == pytest.approx(float(kept.norm() / whole.norm()))


def test_nan_and_infinities_pass_and_leave_no_remainder() -> None:
    model = Bag({"weight": torch.tensor([float("nan"), float("inf"), 0.25, 2.0])})
    with t.GradientThreshold(model, 1, error_feedback=True) as thresholded:
        step(model)
        assert thresholded.state_dict()["residuals"]["weight"].tolist() == [0, 0, 0.25, 0]
        model.get_parameter("weight").grad = torch.zeros(4)
        step(model)
        assert model.grads()["weight"].tolist() == [0, 0, 0, 0]


def test_a_parameter_without_a_gradient_keeps_its_remainder() -> None:
    model = Bag({"weight": torch.tensor([0.7])})
    with t.GradientThreshold(model, 1, error_feedback=True) as thresholded:
        step(model)
        model.get_parameter("weight").grad = None
        step(model)
        assert thresholded.stats.parameters == {}
        model.get_parameter("weight").grad = torch.tensor([0.7])
        step(model)
    assert model.grads()["weight"].tolist() == pytest.approx([1.4])


def test_a_step_that_fails_loses_no_remainder_and_adds_none_twice() -> None:
    """Nor is anything a remainder before there was a step."""
    model = Bag({"weight": torch.tensor([0.5, 3.0])})
    specs: list[Any] = ["minimum", 1, "minimum", 1]
    with t.GradientThreshold(model, lambda number: specs[number], error_feedback=True) as thresholded:
        with pytest.raises(InputError, match="the gradient of weight"):
            step(model)
        assert thresholded.state_dict()["residuals"]["weight"].tolist() == [0, 0]
        step(model)
        model.get_parameter("weight").grad = torch.zeros(2)
        with pytest.raises(InputError, match="the gradient of weight"):
            step(model)
        step(model)
        whole = model.grads()["weight"] + thresholded.state_dict()["residuals"]["weight"]
    assert whole.tolist() == [0.5, 0]


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).to(dtype)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Some steps, each with its own data."""
    dtype = next(model.parameters()).dtype
    for number in steps:
        generator = torch.Generator().manual_seed(number)
        inputs = torch.randn(32, 8, generator=generator).to(dtype)
        loss: Tensor = model(inputs).square().mean() + model(inputs[:, :]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("named", [True, False])
def test_training_resumes_with_the_same_bits(named: bool, dtype: torch.dtype) -> None:
    """Ten steps are as five, saved, loaded elsewhere, and five more."""

    def start() -> tuple[nn.Module, torch.optim.Optimizer, t.GradientThreshold]:
        model = network(dtype)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        options: Any = {"error_feedback": True, "warmup_steps": 7, "scope": "global"}
        return model, optimizer, t.GradientThreshold(model if named else optimizer, "zero95%", **options)

    model, optimizer, _ = start()
    train(model, optimizer, range(10))
    first, first_optimizer, thresholded = start()
    train(first, first_optimizer, range(5))
    file = io.BytesIO()
    parts: tuple[Any, ...] = (first, first_optimizer, thresholded)
    torch.save([part.state_dict() for part in parts], file)
    train(first, first_optimizer, range(50, 53))  # what happens then is not what was saved
    file.seek(0)
    second, second_optimizer, again = start()
    into: tuple[Any, ...] = (second, second_optimizer, again)
    for part, state in zip(into, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    train(second, second_optimizer, range(5, 10))
    same(dict(model.named_parameters()), dict(second.named_parameters()))
    assert again.stats.sparsity >= 0.95


def test_a_state_that_is_loaded_is_a_copy() -> None:
    model = Bag({"weight": torch.tensor([0.5])})
    with t.GradientThreshold(model, 1, error_feedback=True) as thresholded:
        step(model)
        state = copy.deepcopy(thresholded.state_dict())
        thresholded.load_state_dict(state)
        step(model)
    assert state["residuals"]["weight"].item() == 0.5


def test_remainders_move_to_the_dtype_of_their_gradients() -> None:
    model = Bag({"weight": torch.tensor([0.5], dtype=torch.float64)})
    with t.GradientThreshold(model, 1, error_feedback=True) as thresholded:
        thresholded.load_state_dict({"steps": {}, "residuals": {"weight": torch.tensor([0.75], dtype=torch.bfloat16)}})
        step(model)
    assert bits(model.grads()["weight"]) == bits(torch.tensor([1.25], dtype=torch.float64))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"residuals": {}}, "has no steps"),
        ({"steps": {}, "residuals": {"wieght": torch.zeros(1)}}, "there is no parameter wieght"),
        ({"steps": {}, "residuals": {"weight": [0.0]}}, "is no tensor"),
    ],
)
def test_a_state_of_something_else_is_refused(state: dict[str, Any], said: str) -> None:
    model = Bag({"weight": torch.zeros(1)})
    with t.GradientThreshold(model, 1, error_feedback=True) as thresholded, pytest.raises(UsageError, match=said):
        thresholded.load_state_dict(state)


def test_remainders_of_another_shape_are_refused_and_without_feedback_they_are_not_lost_in_silence() -> None:
    model = Bag({"weight": torch.zeros(1)})
    state: dict[str, Any] = {"steps": {}, "residuals": {"weight": torch.zeros(2)}}
    with t.GradientThreshold(model, 1, error_feedback=True) as thresholded:
        thresholded.load_state_dict(state)
        with pytest.raises(UsageError, match=r"remainder of weight has shape \[2\]"):
            step(model)
    with t.GradientThreshold(model, 1) as without, pytest.raises(UsageError, match="has remainders"):
        without.load_state_dict(state)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_not_copied_and_copies_of_its_optimizer_are_without_it(duplicate: Any) -> None:
    model = Bag({"weight": torch.tensor([0.5])})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    thresholded = t.GradientThreshold(optimizer, 1)
    with pytest.raises(UsageError, match="cannot be copied or pickled") as caught:
        duplicate(thresholded)
    assert "state_dict" in (caught.value.hint or "")
    copy.deepcopy(optimizer).step()
    assert model.grads()["weight"].item() == 0.5
