"""The functions beside those of torch that they are said to be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import prune

import threshcli as t

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
SPECIAL = (0.0, -0.0, 0.1, -0.1, 0.3, 0.5, -0.5, 1.0, -1.0, 1e-45, float("inf"), float("-inf"), float("nan"))
NUMBERS = (0, 0.1, 0.3, 0.5, 1, 0.1 + 1e-9)


def numbers(dtype: torch.dtype) -> Tensor:
    return torch.cat((torch.tensor(SPECIAL), torch.randn(500))).to(dtype)


def same(found: Tensor, expected: Tensor) -> bool:
    return found.dtype is expected.dtype and torch.equal(found.nan_to_num(7), expected.nan_to_num(7))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("number", NUMBERS)
def test_shrinking_and_limiting_are_those_of_torch(dtype: torch.dtype, number: float) -> None:
    x = numbers(dtype)
    assert same(t.hard_threshold(x, number, compare="gt"), functional.hardshrink(x, number))
    assert same(t.soft_threshold(x, number), functional.softshrink(x, number))
    assert same(t.clamp(x, low=-number, high=number + 1), torch.clamp(x, -number, number + 1))
    assert same(t.clamp(x, low=-1), torch.clamp(x, min=-1))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("number", NUMBERS)
def test_replace_is_that_of_torch_but_rounds_the_number_as_torch_compares(dtype: torch.dtype, number: float) -> None:
    """torch.nn.functional.threshold keeps 0.3 in float16, which is 0.30005, above 0.3; x > 0.3 is false of it."""
    x = numbers(dtype)
    found = t.replace(x, number, -9)
    assert same(found, torch.where((x > number) | x.isnan(), x, -9))
    rounded = torch.tensor(number, dtype=dtype).item()
    assert same(found, functional.threshold(x, rounded, -9))


@pytest.mark.parametrize("amount", [0, 1, 37, 0.2, 0.5, 1.0])
def test_pruning_by_a_count_is_that_of_torch(amount: Any) -> None:
    module, weight = torch.nn.Linear(9, 13), torch.randn(13, 9)
    module.weight = torch.nn.Parameter(weight.clone())
    prune.l1_unstructured(module, "weight", amount)  # type: ignore[no-untyped-call]  # torch has no types here
    gone = amount if isinstance(amount, int) else round(amount * weight.numel())
    assert torch.equal(t.gradient_threshold(weight, f"top{weight.numel() - gone}"), module.weight)
