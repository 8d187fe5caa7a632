"""The thresholding of one training step, each way in a process of its own: `python -m tests.bench.steps NAME ELEMENTS`.

The model is that of a small language model: an embedding of a third of all elements, and layers of four matrices and a
few vectors. The last line of output is the seconds that the quickest of some steps took, without what backward() and
the optimizer need.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from threshcli import GradientThreshold

_STEPS = 3
_CUT = 1.6449  # of normally distributed gradients a tenth is above
_LAYERS = 22
SPEC = "zero90%"


def shapes(elements: int) -> list[tuple[int, ...]]:
    """The parameters of a model of about so many elements, the largest first: 25 million make it 256 wide."""
    width = max(8, round(math.sqrt(elements / 25e6) * 256 / 8) * 8)
    layer = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width), *[(width,)] * 4]
    return [(30_000 * width // 256, width), *layer * _LAYERS]


def model_of(elements: int) -> torch.nn.Module:
    """Parameters with gradients."""
    torch.manual_seed(0)
    model = torch.nn.Module()
    for number, shape in enumerate(shapes(elements)):
        parameter = torch.nn.Parameter(torch.zeros(shape))
        parameter.grad = torch.randn(shape)
        model.register_parameter(f"p{number}", parameter)
    return model


def idle(grads: list[Tensor]) -> None:
    """Nothing: what a process takes that holds the model, its gradients, its optimizer, and the package."""


def foreach(grads: list[Tensor]) -> None:
    """The pass over all gradients by hand."""
    _drop(grads, [torch.tensor(_CUT)] * len(grads))


def foreach_kthvalue(grads: list[Tensor]) -> None:
    """The same at a worked-out threshold."""
    _drop(grads, [grad.abs().flatten().kthvalue(math.ceil(0.9 * grad.numel())).values for grad in grads])


def _drop(grads: list[Tensor], cuts: list[Tensor]) -> None:
    magnitudes = torch._foreach_abs(grads)
    masks = [magnitude > cut for magnitude, cut in zip(magnitudes, cuts, strict=True)]
    torch._foreach_mul_(grads, masks)


def hardshrink(grads: list[Tensor]) -> None:
    """One operation of torch for each gradient, without statistics."""
    for grad in grads:
        grad.copy_(torch.nn.functional.hardshrink(grad, _CUT))


BY_HAND: dict[str, Callable[[list[Tensor]], None]] = {
    way.__name__: way for way in (idle, foreach, foreach_kthvalue, hardshrink)
}
OURS: dict[str, tuple[float | str, bool]] = {
    "number": (_CUT, False),
    "number_feedback": (_CUT, True),
    "zero": (SPEC, False),
}
"""Thresholds, and whether there is error feedback."""


def hook(optimizer: torch.optim.Optimizer, name: str) -> Callable[[], None]:
    """What a step does, of ours: the hook itself, before a step."""
    threshold, feedback = OURS[name]
    GradientThreshold(optimizer, threshold, error_feedback=feedback)
    (before,) = optimizer._optimizer_step_pre_hooks.values()

    def step() -> None:
        before(optimizer, (optimizer,), {})

    return step


def seconds(model: torch.nn.Module, name: str) -> float:
    """What the quickest of some steps took."""
    grads = [item.grad for item in model.parameters() if item.grad is not None]
    again = [grad.clone() for grad in grads]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    way = partial(BY_HAND[name], grads) if name in BY_HAND else hook(optimizer, name)
    best = math.inf
    for _ in range(_STEPS):
        for grad, old in zip(grads, again, strict=True):
            grad.copy_(old)
        began = time.perf_counter()
        way()
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    sys.stdout.write(f"{seconds(model_of(int(sys.argv[2])), sys.argv[1])}\n")
