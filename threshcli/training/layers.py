"""Gradients without their small elements when the program says so, right after backward()."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.nn import Linear, Module

from threshcli.errors import UsageError
from threshcli.thresholds.base import Ties
from threshcli.training.choosing import Thresholds, check
from threshcli.training.statistics import GradientStats, told
from threshcli.training.targets import unwrapped
from threshcli.training.thresholding import Entry, Scope, Thresholder

__all__ = ["ThresholdedLinear", "backward_threshold"]


def backward_threshold(
    module_or_parameters: Module | Tensor | Iterable[Any],
    threshold: Thresholds,
    *,
    scope: Scope = "tensor",
    ties: Ties = "first",
) -> GradientStats:
    """Zero the small elements of gradients, in place, after backward(): g = g if abs(g) > T else 0.

    Args:
        module_or_parameters: A module, a parameter, or some parameters, perhaps with their names (as
            `model.named_parameters()` gives them). Those without a gradient are left alone.
        threshold: As for `GradientThreshold`: a number of 0 or more in the units of the gradients, a spec such as
            "zero90%", or, where parameters have names, a mapping from globs of names to these.
        scope: "tensor" works a spec out for each gradient, "global" for all together.
        ties: Which of the elements equal to a cut by rank stay: "first", "all" or "none".

    Returns:
        What became of the gradients: shares kept, norms, sparsity, in sum and by parameter.

    Raises:
        UsageError: (a ValueError) of what holds no parameters, of thresholds that cannot be meant, of sparse or complex
            gradients.
        InputError: (a ValueError) where a gradient has nothing to work a threshold out from.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 1)
        >>> layer(torch.tensor([[0.5, -2.0, 0.01]])).sum().backward()
        >>> backward_threshold(layer, 0.1).kept_share
        0.75
        >>> layer.weight.grad
        tensor([[ 0.5000, -2.0000,  0.0000]])
    """
    pairs, named = _pairs(module_or_parameters)
    names = [key for key, _ in pairs] if named else None
    thresholder = Thresholder(threshold, names=names, scope=scope, ties=ties, error_feedback=False)
    entries = [Entry(key, parameter.grad) for key, parameter in pairs if parameter.grad is not None]
    return told(thresholder.apply(entries, 0))


def _pairs(given: Module | Tensor | Iterable[Any]) -> tuple[list[tuple[str, Tensor]], bool]:
    """Parameters with their names, or numbers."""
    if isinstance(given, Module):
        return list(unwrapped(given).named_parameters()), True
    if isinstance(given, Tensor):
        return [("0", given)], False
    if not isinstance(given, Iterable):
        raise UsageError(f"a {type(given).__name__} has no parameters", hint="give a module, or parameters")
    found = list(given)
    named = bool(found) and all(isinstance(item, tuple) and len(item) == 2 for item in found)
    pairs = found if named else [(str(number), item) for number, item in enumerate(found)]
    for _, item in pairs:
        if not isinstance(item, Tensor):
            raise UsageError(f"a {type(item).__name__} is no parameter", hint="give a module, or parameters")
    return pairs, named


class ThresholdedLinear(Linear):
    """A linear layer that zeroes the small elements of its own gradients when it is told to: y = x A^T + b, and
    `backward_threshold` after backward().

    Args:
        in_features: Size of the last axis of the input, of shape (..., in_features).
        out_features: Size of the last axis of the output, of shape (..., out_features).
        threshold: As for `backward_threshold`: a number of 0 or more in the units of the gradients, or a spec such as
            "zero90%"; by name, the parameters are "weight" and "bias". It is the attribute `threshold`, to be read and
            set.
        bias: Whether there is b.
        device: Where the parameters are.
        dtype: Their dtype, of floating point.

    Raises:
        UsageError: (a ValueError) of a threshold that cannot be meant.

    Example:
        >>> import torch
        >>> layer = ThresholdedLinear(3, 1, threshold=0.1)
        >>> layer(torch.tensor([[0.5, -2.0, 0.01]])).sum().backward()
        >>> layer.backward_threshold().kept_share
        0.75
        >>> layer.weight.grad, layer.bias.grad
        (tensor([[ 0.5000, -2.0000,  0.0000]]), tensor([1.]))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        threshold: Thresholds,
        bias: bool = True,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(in_features, out_features, bias=bias, device=device, dtype=dtype)
        check(threshold, [name for name, _ in self.named_parameters()])
        self.threshold = threshold

    def backward_threshold(self) -> GradientStats:
        """Zero the elements of this layer's gradients whose magnitude is not above the threshold; what became of them.

        To be called after backward() and before the optimizer steps.
        """
        return backward_threshold(self, self.threshold)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, threshold={self.threshold!r}"
