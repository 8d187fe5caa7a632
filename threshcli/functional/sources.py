"""The threshold sources as functions: what a threshold is worked out from is an array or a tensor."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from threshcli import thresholds
from threshcli.errors import UsageError
from threshcli.functional.held import Given, Held, hold, take
from threshcli.functional.making import digits, number
from threshcli.functional.solving import Solved, solve
from threshcli.functional.wording import in_python
from threshcli.plan.fit import Fit
from threshcli.spec import Number
from threshcli.thresholds.base import Threshold, Ties, Worked

if TYPE_CHECKING:
    from threshcli.functional.binding import Data

__all__ = [
    "energy_threshold",
    "quantile",
    "sparsity_threshold",
    "threshold",
    "topk_threshold",
]


def threshold(
    input: Data,
    spec: str,
    *,
    magnitude: bool = False,
    axis: int | None = None,
    ties: Ties = "first",
    scale: float | None = None,
    offset: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    ignore_zero: bool = False,
    mask: Any = None,
    bins: int = 256,
) -> Solved:
    """Work a threshold out as the command line's `-t SPEC` does: "p90", "top1000", "zero90%", "otsu", ...

    Args:
        input: Tensor or array of any shape and dtype (complex: by `magnitude`). On CUDA ranks and medians are worked
            out there; for all else, for masks and along an axis, a copy is studied.
        spec: How the threshold is written.
        magnitude: Look at abs(input), for rules that compare it (`gradient_threshold`, `hard_threshold`, shrinkage).
        axis: One threshold for each index along this axis.
        ties: For cuts by rank, which of the elements equal to the cut stay: "first", "all" or "none".
        scale: Multiply the threshold by this,
        offset: then add this,
        at_least, at_most: then raise it, and lower it, to these.
        ignore_zero: Look at elements that are not zero.
        mask: Look at elements where this (of the input's shape) is not zero.
        bins: Bins of histograms of floats and wide integers, for "otsu" and its like.

    Returns:
        The threshold, which rules take as it is; `float()` gives the number. It is exact whatever the size.

    Raises:
        UsageError: (a ValueError) of a spec that is no source, or options that do not fit.
        InputError: (a ValueError) where no element is left to work it out from.

    Example:
        >>> import torch
        >>> x = torch.arange(11.0)
        >>> float(threshold(x, "p90"))
        9.0
        >>> float(threshold(x, "zero50%", scale=2))
        10.0
    """
    options = {
        "ties": ties,
        "scale": scale,
        "offset": offset,
        "at_least": at_least,
        "at_most": at_most,
        "ignore_zero": ignore_zero,
        "bins": bins,
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.compiler.is_compiling():  # it breaks the graph: what is worked out is no tensor
        return cast("Solved", torch.compiler.disable(_worked_out)(input, spec, magnitude, axis, options, mask))
    with in_python():
        return _worked_out(input, spec, magnitude, axis, options, mask)


def _worked_out(
    input: Any, spec: str, magnitude: bool, axis: int | None, options: Mapping[str, Any], mask: Any
) -> Solved:
    source = thresholds.parse(spec)
    if not isinstance(source, Worked):
        raise UsageError(f"{spec!r} is not worked out from data", hint="write p90, top1000, zero90%, otsu, ...")
    held, fit, chosen = looked_at(input, source, options, mask)
    return solve(source, held, fit, magnitude=magnitude, axis=axis, mask=chosen)


def looked_at(input: Any, source: Threshold, options: Mapping[str, Any], mask: Any) -> tuple[Given, Fit, Held | None]:
    """The input, how a source is worked out from it, and where; UsageError of options that do not fit."""
    read = {name: _number(name, options.get(name)) for name in ("scale", "offset", "at_least", "at_most")}
    fit = Fit(**{**options, **read})
    fit.check({"threshold": source})
    held = take(input, "input")
    chosen = None if mask is None else hold(mask, "mask")
    if chosen is not None and chosen.shape != held.shape:
        shapes = f"mask has shape {list(chosen.shape)}, the input {list(held.shape)}"
        raise UsageError(shapes, hint="give one value for each element")
    return held, fit, chosen


def _number(option: str, value: float | None) -> Number | None:
    return None if value is None else number(option, value)


def quantile(input: Data, q: float, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The value under which the share `q` of the elements lie, interpolated linearly, exact at any size.

    `numpy.percentile(input.astype(float64), 100 * q)` bit for bit, NaN left out: definition 7 of Hyndman & Fan 1996
    (doi:10.1080/00031305.1996.10473566). For `q` from 0 to 1; the other arguments are those of `threshold`.

    Example:
        >>> import torch
        >>> float(quantile(torch.tensor([1.0, 2.0, 3.0, 4.0]), 0.5))
        2.5
    """
    return threshold(input, f"p{_percent(q)}", magnitude=magnitude, axis=axis, **fit)


def topk_threshold(
    input: Data, k: int | float, *, magnitude: bool = False, axis: int | None = None, **fit: Any
) -> Solved:
    """The cut that `k` of the largest elements are above: a count (an int), or a share of them (a float from 0 to 1).

    With its `ties` a rule keeps exactly so many: of those equal to the smallest that stays, the first in flat order.
    A share keeps round(share * n), halves to even. The other arguments are those of `threshold`.

    Example:
        >>> import torch
        >>> from threshcli import gradient_threshold
        >>> x = torch.tensor([3.0, -5.0, 3.0, 1.0])
        >>> gradient_threshold(x, topk_threshold(x, 2, magnitude=True))
        tensor([ 3., -5.,  0.,  0.])
    """
    is_count = isinstance(k, int | np.integer) and not isinstance(k, bool)
    if is_count and k < 0:
        raise UsageError(f"k is {k}, and no fewer than 0 elements stay", hint="give a count, or a share from 0 to 1")
    spec = f"top{k}" if is_count else f"top{_percent(k)}%"
    return threshold(input, spec, magnitude=magnitude, axis=axis, **fit)


def sparsity_threshold(input: Data, share: float, *, axis: int | None = None, **fit: Any) -> Solved:
    """The cut by magnitude after which at least this share of the elements is zero, those counted that were zero
    before; ties at the cut go. For `share` from 0 to 1; the other arguments are those of `threshold`.

    Example:
        >>> import torch
        >>> from threshcli import gradient_threshold
        >>> x = torch.tensor([3.0, -5.0, 0.0, 1.0])
        >>> gradient_threshold(x, sparsity_threshold(x, 0.5))
        tensor([ 3., -5.,  0.,  0.])
    """
    return threshold(input, f"zero{_percent(share)}%", magnitude=True, axis=axis, **fit)


def energy_threshold(input: Data, share: float, *, axis: int | None = None, **fit: Any) -> Solved:
    """The cut that the fewest of the largest magnitudes are above whose squares add up to this share of all squares.

    For `share` from 0 to 1; the other arguments are those of `threshold`.

    Example:
        >>> import torch
        >>> energy_threshold(torch.tensor([3.0, -4.0, 1.0]), 0.9).kept
        2
    """
    return threshold(input, f"energy{_percent(share)}%", magnitude=True, axis=axis, **fit)


def _percent(share: float) -> str:
    """A share as exact decimal digits of percent."""
    found = digits(share)
    if found is None or not 0 <= found <= 1:
        raise UsageError(f"{share!r} is not a share", hint="give a number from 0 to 1")
    return format(found * 100, "f")
