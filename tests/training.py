"""Models, gradients and steps that the tests of training share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Bag(Module):
    """Parameters with these gradients, and nothing to compute."""

    def __init__(self, grads: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, grad in grads.items():
            parameter = Parameter(torch.zeros_like(grad))
            parameter.grad = grad
            self.register_parameter(name, parameter)

    def grads(self) -> dict[str, Tensor]:
        return {name: item.grad for name, item in self.named_parameters() if item.grad is not None}


def step(module: Module, **options: Any) -> None:
    """A step of an optimizer that does nothing but call its hooks."""
    torch.optim.SGD(module.parameters(), lr=0.0, **options).step()


def gradients(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Gradients of several shapes, many of them equal in magnitude, with zeros of both signs, infinities and NaN."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in (("b", (11, 7)), ("a", (40,)), ("c", (2, 3, 4)), ("one", ()), ("none", (0, 3))):
        found[name] = torch.randn(shape, generator=generator, dtype=torch.float64).mul(4).round().div(4).to(dtype)
    flat = found["b"].view(-1)
    for place, special in enumerate((float("nan"), float("inf"), -float("inf"), -0.0, 0.0)):
        flat[place * 3] = special
    return found


def bits(tensor: Tensor) -> list[int]:
    """The elements as integers: equal only where all bits are."""
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    found: list[int] = tensor.detach().contiguous().reshape(-1).view(kinds[tensor.element_size()]).tolist()
    return found


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    """The same tensors, to the last bit."""
    assert list(a) == list(b)
    for name, tensor in a.items():
        assert (tensor.dtype, tensor.shape) == (b[name].dtype, b[name].shape), name
        assert bits(tensor) == bits(b[name]), name
