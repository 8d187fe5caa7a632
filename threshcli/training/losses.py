"""Losses of which small elements count less, or not at all."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from threshcli.dtypes import Compare
from threshcli.errors import UsageError
from threshcli.functional.binding import is_number
from threshcli.functional.deciding import binary_threshold

__all__ = ["thresholded_loss"]

Reduction = Literal["mean", "sum", "none"]


def thresholded_loss(
    loss: Tensor,
    threshold: Any,
    *,
    weight: float = 0.0,
    compare: Compare = "gt",
    reduction: Reduction = "mean",
    broadcast: bool = False,
) -> Tensor:
    """Leave elements of a loss out that are not above a threshold, or let them count less.

    With w = 1 where loss > T and `weight` elsewhere: sum(w * loss) / sum(w). Online hard example mining (Shrivastava,
    Gupta & Girshick 2016, arXiv:1604.03540) is "top25%", say; a fixed threshold ignores what is learned already.

    Args:
        loss: Losses before any reduction (`reduction="none"`), of any shape, of floating point with 16 bits or more.
        threshold: A number in the units of the loss; a map with one value for each element; or a spec that is worked
            out from the losses: "p70", "top25%", "mean". No gradient flows to it.
        weight: How much elements count that are not above: 0 or more. With 0 their gradient is 0.
        compare: "gt", "ge", "lt" (ignore large losses, say of outliers) or "le".
        reduction: "mean" over what counts, "sum", or "none" for w * loss in the shape of the loss.
        broadcast: Let a map broadcast to the loss.

    Returns:
        A tensor without axes, or of the shape of the loss. Where nothing counts it is 0, and so is its gradient. NaN
        counts as above, so that it is seen.

    Raises:
        UsageError: (a ValueError) of a loss that is not floating point, a weight that is negative or not finite, a
            threshold that does not fit.

    Example:
        >>> import torch
        >>> losses = torch.tensor([0.1, 2.0, 0.3, 4.0])
        >>> thresholded_loss(losses, 0.5)
        tensor(3.)
        >>> thresholded_loss(losses, "top25%", weight=0.5)
        tensor(2.0800)
    """
    if not isinstance(loss, Tensor) or not loss.is_floating_point():
        kind = loss.dtype if isinstance(loss, Tensor) else type(loss).__name__
        raise UsageError(f"the loss is {kind}, not a tensor of floating point", hint='take it with reduction="none"')
    if not is_number(weight) or not 0 <= weight < float("inf"):
        raise UsageError(f"weight is {weight!r}", hint="give a number of 0 or more")
    if reduction not in get_args(Reduction):
        known = ", ".join(map(repr, get_args(Reduction)))
        raise UsageError(f"reduction is {reduction!r}", hint=f"it is one of {known}")
    fixed = threshold.detach() if isinstance(threshold, Tensor) else threshold
    counts = binary_threshold(
        loss.detach(), fixed, compare=compare, nan="above", out_dtype=torch.bool, broadcast=broadcast
    )
    weighted = torch.where(counts, loss, loss * weight if weight else 0)
    if reduction == "none":
        return weighted
    total = weighted.sum()
    if reduction == "sum":
        return total
    kept = counts.sum().to(loss.dtype if loss.element_size() > 2 else torch.float32)
    share = kept + (loss.numel() - kept) * weight
    return (total / torch.where(share > 0, share, 1)).to(loss.dtype)
