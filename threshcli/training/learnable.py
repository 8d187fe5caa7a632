"""Thresholds that are learned: shrinkage with a parameter."""

from __future__ import annotations

import math
from typing import Any, get_args

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import softplus

from threshcli.errors import UsageError
from threshcli.functional.calling import Surrogate
from threshcli.functional.keeping import hard_threshold
from threshcli.functional.shrinking import soft_threshold
from threshcli.training.gates import gated

__all__ = ["HardThreshold", "SoftThreshold"]


class _Learned(Module):
    """A threshold, or one for each channel, that stays above 0 however it is trained: softplus of a free parameter."""

    def __init__(self, init: float, num_channels: int | None, channel_dim: int, device: Any, dtype: Any) -> None:
        super().__init__()
        if isinstance(init, bool) or not isinstance(init, int | float) or not 0 < init < math.inf:
            raise UsageError(f"init is {init!r}", hint="give a number above 0: at 0 a threshold would not move")
        if num_channels is not None and (not isinstance(num_channels, int) or num_channels < 1):
            raise UsageError(f"num_channels is {num_channels!r}", hint="give a number of 1 or more, or leave it out")
        self.num_channels, self.channel_dim = num_channels, channel_dim
        raw = init + math.log(-math.expm1(-init))  # log(exp(init) - 1), without overflow
        shape = () if num_channels is None else (num_channels,)
        self.raw = Parameter(torch.full(shape, raw, device=device, dtype=dtype))

    @property
    def threshold(self) -> Tensor:
        """The threshold, or those of the channels: log(1 + exp(raw))."""
        return softplus(self.raw)

    def _fitted(self, input: Tensor) -> Tensor:
        """The threshold in a shape that broadcasts to an input; UsageError where its channels are others."""
        threshold = self.threshold.to(input.dtype)
        if self.num_channels is None:
            return threshold
        dim, rank = self.channel_dim, input.dim()
        if not -rank <= dim < rank or input.shape[dim] != self.num_channels:
            raise UsageError(
                f"the input has shape {list(input.shape)}, and there are thresholds for {self.num_channels} channels "
                f"along axis {dim}",
                hint="set num_channels and channel_dim to its channels",
            )
        shape = [1] * rank
        shape[dim] = self.num_channels
        return threshold.reshape(shape)

    def extra_repr(self) -> str:
        if self.num_channels is None:
            return ""
        return f"num_channels={self.num_channels}, channel_dim={self.channel_dim}"


class SoftThreshold(_Learned):
    """Soft thresholding with a learned threshold: y = sign(x) * max(abs(x) - T, 0), T = log(1 + exp(raw)).

    The non-linearity of learned iterative shrinkage, LISTA (Gregor & LeCun 2010, ICML, 399-406), and of deep residual
    shrinkage networks (Zhao et al. 2020, doi:10.1109/TII.2019.2943898). Gradients: 1 to x and -sign(x) to T where
    abs(x) > T, else 0. T is the softplus of the parameter `raw`: always above 0, never stuck at an end, and
    dT/draw = 1 - exp(-T).

    Args:
        init: What the threshold is at first, above 0, in the units of the input.
        num_channels: One threshold for each channel; without, one for all elements.
        channel_dim: The axis of the channels in the input; 1, as for convolutions, unless another is named.
        device: Where the parameter is.
        dtype: Its dtype, of floating point.

    Shape: input and output (*), with `num_channels` at `channel_dim`. The dtype is that of the input.

    Raises:
        UsageError: (a ValueError) of an `init` that is not above 0; in the call, of other channels, or an input that is
            not floating point.

    Example:
        >>> import torch
        >>> shrink = SoftThreshold(0.5)
        >>> y = shrink(torch.tensor([-2.0, 0.1, 1.0]))
        >>> y.detach()
        tensor([-1.5000,  0.0000,  0.5000])
        >>> y.abs().sum().backward()
        >>> shrink.raw.grad
        tensor(-0.7869)
    """

    def __init__(
        self,
        init: float = 0.1,
        *,
        num_channels: int | None = None,
        channel_dim: int = 1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(init, num_channels, channel_dim, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return soft_threshold(input, self._fitted(input), broadcast=True)


class HardThreshold(_Learned):
    """Hard thresholding with a learned threshold: y = x if abs(x) >= T else 0, T = log(1 + exp(raw)).

    The output does not move with T but where elements cross it, so T has no gradient of its own: the gate
    [abs(x) >= T] is given that of a smooth step, as `binary_threshold` does. With s its slope at abs(x) - T, x gets
    1 where it is kept, and abs(x) * s besides; T gets -x * s.

    Args:
        init: What the threshold is at first, above 0, in the units of the input.
        num_channels: One threshold for each channel; without, one for all elements.
        channel_dim: The axis of the channels in the input; 1, as for convolutions, unless another is named.
        surrogate: "sigmoid", "fast-sigmoid" or "straight-through", as for `binary_threshold`; "none" lets no gradient
            flow through the gate, so that T does not learn.
        temperature: Width of the surrogate, in the units of the input; above 0.
        device: Where the parameter is.
        dtype: Its dtype, of floating point.

    Shape: input and output (*), with `num_channels` at `channel_dim`. The dtype is that of the input.

    Raises:
        UsageError: (a ValueError) of an `init` or a `temperature` that is not above 0, of another surrogate; in the
            call, of other channels, or an input that is not floating point.

    Example:
        >>> import torch
        >>> gate = HardThreshold(0.5, temperature=0.1)
        >>> y = gate(torch.tensor([-2.0, 0.1, 0.6]))
        >>> y.detach()
        tensor([-2.0000,  0.0000,  0.6000])
        >>> y.sum().backward()
        >>> bool(gate.raw.grad < 0)
        True
    """

    def __init__(
        self,
        init: float = 0.1,
        *,
        num_channels: int | None = None,
        channel_dim: int = 1,
        surrogate: Surrogate = "sigmoid",
        temperature: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(init, num_channels, channel_dim, device, dtype)
        if surrogate not in get_args(Surrogate):
            known = ", ".join(map(repr, get_args(Surrogate)))
            raise UsageError(f"surrogate is {surrogate!r}", hint=f"it is one of {known}")
        if not 0 < temperature < math.inf:
            raise UsageError(f"temperature is {temperature}", hint="give a number above 0")
        self.surrogate, self.temperature = surrogate, temperature

    def forward(self, input: Tensor) -> Tensor:
        threshold = self._fitted(input)
        kept = hard_threshold(input, threshold.detach(), broadcast=True)
        return kept if self.surrogate == "none" else gated(kept, input, threshold, self.surrogate, self.temperature)

    def extra_repr(self) -> str:
        own = f"surrogate={self.surrogate!r}, temperature={self.temperature}"
        return f"{super().extra_repr()}, {own}".removeprefix(", ")
