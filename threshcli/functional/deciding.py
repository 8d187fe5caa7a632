"""The rules that decide: every element becomes one of a few values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from threshcli.functional.calling import Step, call

if TYPE_CHECKING:
    from threshcli.dtypes import Compare
    from threshcli.functional.binding import Data, ThresholdLike
    from threshcli.functional.calling import Surrogate
    from threshcli.spec import Number

__all__ = [
    "binary_threshold",
    "levels",
]


def binary_threshold(
    input: Data,
    threshold: ThresholdLike,
    above_value: float | Number = 1,
    below_value: float | Number = 0,
    *,
    compare: Compare = "gt",
    nan: str | None = None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
    surrogate: Surrogate = "none",
    temperature: float = 1.0,
) -> Data:
    """Write `above_value` where x is above the threshold, `below_value` elsewhere: y = above if x > T else below.

    Args:
        input: Tensor or array of any shape and any real dtype, on any device.
        threshold: A number, in the units of the input; a map with one value for each element; a spec that is worked out
            from the input, such as "otsu" or "p90"; or what a source function returned.
        above_value: What the result's dtype can hold.
        below_value: Likewise.
        compare: "gt", "ge", "lt" or "le". A number is rounded to a floating-point input's dtype and then compared;
            integers are compared as real numbers; maps are compared exactly.
        nan: "below" (default: a comparison with NaN fails), "above", "keep", "fill=V" or "error".
        broadcast: Let a map broadcast to the input.
        out_dtype: Dtype of the result, as a torch.dtype, a NumPy dtype or a name; the input's by default.
        out: Where the result goes.
        surrogate: The gradient that flows through the step to x, and negated to a threshold that wants one, times
            above_value - below_value, with u = (x - T) / temperature: "none" lets none flow; "straight-through" takes
            the step for the identity, 1 (Bengio, Leonard & Courville 2013, arXiv:1308.3432); "sigmoid" for a logistic
            function, s(u) * (1 - s(u)) / temperature; "fast-sigmoid" 1 / (1 + abs(u))^2 / temperature (Zenke & Ganguli
            2018, doi:10.1162/neco_a_01086). For "lt" and "le" the sign is the other. The result is then floating point.
        temperature: Width of the surrogate, in the units of the input; above 0.

    Returns:
        A tensor or array of the input's shape and device.

    Raises:
        UsageError: (a ValueError) of a NaN threshold, a shape that does not fit, a value that the dtype cannot hold.
        InputError: (a ValueError) of NaN under nan="error", or where nothing is left to work a threshold out from.

    Example:
        >>> import torch
        >>> binary_threshold(torch.tensor([-1.0, 0, 1, 2, 3]), 1)
        tensor([0., 0., 0., 1., 1.])
        >>> x = torch.tensor([0.2, 0.9], requires_grad=True)
        >>> binary_threshold(x, 0.5, surrogate="straight-through").sum().backward()
        >>> x.grad
        tensor([1., 1.])
    """
    options = {"compare": compare, "above": above_value, "below": below_value, "nan": nan}
    step = None if surrogate == "none" else Step(surrogate, temperature)
    given = {"threshold": threshold}
    return call("binary", input, given, options, broadcast=broadcast, out_dtype=out_dtype, out=out, step=step)


def levels(
    input: Data,
    thresholds: ThresholdLike | Sequence[ThresholdLike],
    *,
    values: Sequence[float | Number] | None = None,
    compare: Literal["gt", "ge"] = "gt",
    nan: str | None = None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
    surrogate: Surrogate = "none",
    temperature: float = 1.0,
) -> Data:
    """Write how many thresholds x is above, or a value for that number: quantization with any steps.

    Args:
        input: Tensor or array of any shape and any real dtype, on any device.
        thresholds: Cuts in ascending order: a list of what `binary_threshold` takes for one, or a single one; or a
            source that gives several, such as "multiotsu:4" or what `multiotsu` returned.
        values: One more than there are cuts, from the value of what is above none to that of what is above all.
        compare: "gt", or "ge" to count a cut that x is equal to.
        nan: By default NaN is above none; "keep" (in a floating result), "fill=V" or "error".
        broadcast: Let cuts that are maps broadcast to the input.
        out_dtype: Dtype of the result; int64 by default, with `values` the input's.
        out: Where the result goes.
        surrogate: As for `binary_threshold`, at each cut, times the difference of the values beside it.
        temperature: Width of the surrogate, in the units of the input; above 0.

    Returns:
        A tensor or array of the input's shape and device.

    Raises:
        UsageError: (a ValueError) of cuts out of order, of too few values, of a value that the dtype cannot hold.
        InputError: (a ValueError) of NaN under nan="error", or where nothing is left to work a cut out from.

    Example:
        >>> import torch
        >>> levels(torch.tensor([0.1, 0.5, 0.9]), [0.25, 0.5])
        tensor([0, 1, 2])
        >>> levels(torch.tensor([0.1, 0.5, 0.9]), [0.25, 0.75], values=[-1, 0, 1])
        tensor([-1.,  0.,  1.])
    """
    cuts = list(thresholds) if isinstance(thresholds, list | tuple) else [thresholds]
    options = {"compare": compare, "nan": nan, "values": None if values is None else list(values)}
    step = None if surrogate == "none" else Step(surrogate, temperature)
    given = {"threshold": cuts}
    return call("levels", input, given, options, broadcast=broadcast, out_dtype=out_dtype, out=out, step=step)
