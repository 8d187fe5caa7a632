"""Which threshold is for which parameter, and when."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch

import threshcli as t
from tests.training import Bag, step
from threshcli.errors import UsageError


class Nested(torch.nn.Module):
    """The same with dots in its names."""

    def __init__(self) -> None:
        super().__init__()
        for part, names in (("conv", ("weight", "bias")), ("head", ("weight",))):
            self.add_module(part, Bag({name: torch.tensor([0.1, 0.3, 0.6, -0.9]) for name in names}))

    def zeros(self) -> dict[str, int]:
        return {name: int((item.grad == 0).sum()) for name, item in self.named_parameters() if item.grad is not None}


def test_the_first_pattern_that_matches_counts_and_others_are_left_alone() -> None:
    model = Nested()
    with t.GradientThreshold(model, {"conv.bias": None, "conv.*": 0.5, "*.bias": 100}):
        step(model)
    assert model.zeros() == {"conv.weight": 2, "conv.bias": 0, "head.weight": 0}


def test_parameters_of_a_pattern_share_a_threshold_where_that_is_global() -> None:
    model = Nested()
    model.get_parameter("conv.bias").grad = torch.tensor([10.0, 20, 30, 40])
    with t.GradientThreshold(model, {"conv.*": "top4", "head.*": "top1"}, scope="global"):
        step(model)
    assert model.zeros() == {"conv.weight": 4, "conv.bias": 0, "head.weight": 3}


def test_an_optimizer_with_named_parameters_has_patterns_too() -> None:
    model = Nested()
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.0)
    t.GradientThreshold(optimizer, {"head.*": 0.5})
    optimizer.step()
    assert model.zeros() == {"conv.weight": 0, "conv.bias": 0, "head.weight": 2}


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        (-1, "the threshold is -1"),
        (float("nan"), "the threshold is nan"),
        ("-0.5", "the threshold is -0.5"),
        (True, "is a bool"),
        (torch.tensor(0.5), "is a Tensor"),
        ("nonsense", "'nonsense' is not a threshold"),
        ("multiotsu:3", "no threshold for gradients"),
        ("@map.npy", "no threshold for gradients"),
        ({}, "there is no pattern"),
        ({"cnov.*": 1}, "'cnov.\\*' matches no parameter"),
        ({"conv.*": "zero101%"}, "more than all"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(threshold: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        t.GradientThreshold(Nested(), threshold)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scope": "file"}, "scope is 'file'"),
        ({"ties": "last"}, "ties is 'last'"),
        ({"warmup_steps": 3}, "warmup_steps is for a sparsity"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"warmup_steps": 0.5}, "warmup_steps is 0.5"),
    ],
)
def test_options_that_there_are_not_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        t.GradientThreshold(Nested(), 0.5, **options)
    with pytest.raises(UsageError, match="neither a module nor an optimizer"):
        t.GradientThreshold(0.5, Nested())  # type: ignore[arg-type]  # that is what is tried


def test_patterns_need_names() -> None:
    optimizer = torch.optim.SGD(Nested().parameters(), lr=0.1)
    with pytest.raises(UsageError, match="need parameters that have names") as caught:
        t.GradientThreshold(optimizer, {"conv.*": 1})
    assert "named_parameters" in (caught.value.hint or "")
    t.GradientThreshold(optimizer, lambda step: {"conv.*": 1})
    with pytest.raises(UsageError, match="need parameters that have names"):
        optimizer.step()


def test_a_schedule_is_asked_at_each_step() -> None:
    model, asked = Nested(), []

    def schedule(number: int) -> Any:
        asked.append(number)
        return [None, 0.2, {"head.*": lambda number: 0.25 * number}, Fraction(1, 2)][number]

    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    zeros = []
    with t.GradientThreshold(optimizer, schedule) as thresholded:
        for number in range(2):
            optimizer.step()
            zeros.append(model.zeros()["head.weight"])
            assert bool(thresholded.stats.parameters) is bool(number)
    assert (asked, zeros) == ([0, 1], [0, 1])
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.0)
    with t.GradientThreshold(optimizer, schedule) as thresholded:
        thresholded.load_state_dict({"steps": {"conv.weight": 2}, "residuals": {}})
        optimizer.step()
        assert model.zeros() == {"conv.weight": 1, "conv.bias": 1, "head.weight": 2}
        optimizer.step()
        assert model.zeros() == {"conv.weight": 2, "conv.bias": 2, "head.weight": 2}


def test_warm_up_divides_what_is_kept_stage_by_stage() -> None:
    """The sparsities of Lin et al. 2018, section 3.3, whose last is 99.9 %."""
    ours = t.sparsity_warmup(0.999, 4, every=10)
    assert [ours(10 * stage) for stage in range(6)] == [ours(10 * stage + 9) for stage in range(6)]
    shares = [float(ours(10 * stage).removeprefix("zero").removesuffix("%")) for stage in range(5)]
    assert shares == pytest.approx([75, 93.75, 98.4375, 99.6, 99.9], abs=0.15)
    linear = t.sparsity_warmup(0.8, 3, ramp="linear")
    assert [linear(stage) for stage in range(5)] == ["zero20%", "zero40%", "zero60%", "zero80%", "zero80%"]


@pytest.mark.parametrize("arguments", [(1.5, 3), (True, 3), (0.5, -1), (0.5, 2.0), (0.5, 3, 0)])
def test_a_warm_up_that_cannot_be_meant_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError):
        t.sparsity_warmup(*arguments[:2], every=arguments[2] if len(arguments) > 2 else 1)
    with pytest.raises(UsageError, match="ramp is 'quick'"):
        t.sparsity_warmup(0.5, 3, ramp="quick")  # type: ignore[arg-type]  # that is what is tried


def test_warm_up_of_some_patterns() -> None:
    weight = {"weight": torch.arange(1, 257.0), "bias": torch.arange(1.0, 5)}
    model = Bag({})
    counts = []
    for name, grad in weight.items():
        model.register_parameter(name, torch.nn.Parameter(torch.zeros_like(grad)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with t.GradientThreshold(model, {"weight": "zero99.609375%", "bias": 2}, warmup_steps=3):
        for _ in range(5):
            for name, grad in weight.items():
                model.get_parameter(name).grad = grad.clone()
            optimizer.step()
            counts.append([int((grad != 0).sum()) for grad in model.grads().values()])
    assert counts == [[64, 2], [16, 2], [4, 2], [1, 2], [1, 2]]
