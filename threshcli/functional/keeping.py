"""The rules that keep values: what is not selected becomes a constant or a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from threshcli.functional.calling import call

if TYPE_CHECKING:
    from threshcli.dtypes import Compare
    from threshcli.functional.binding import Data, ThresholdLike
    from threshcli.spec import Number

__all__ = [
    "band",
    "clamp",
    "gradient_threshold",
    "hard_threshold",
    "replace",
    "variable_threshold",
]


def variable_threshold(
    input: Data,
    threshold_tensor: ThresholdLike,
    *,
    compare: Compare = "gt",
    fill: float | Number = 0,
    nan: str | None = None,
    broadcast: bool = False,
    out: Data | None = None,
) -> Data:
    """Keep x where it is above its own threshold, `fill` elsewhere: y = x if x > T else fill.

    Args:
        input: Tensor or array of any shape and any real dtype, on any device.
        threshold_tensor: One threshold for each element, of the input's shape and any real dtype; x and T are compared
            exactly. With `broadcast` a shape that broadcasts to the input's. A number, a spec ("p90") or a threshold
            that was worked out will do, too; a number is rounded to the dtype of a floating-point input first.
        compare: "gt", "ge", "lt" or "le".
        fill: What the input's dtype can hold.
        nan: "keep" (default: NaN passes with its bits), "fill=V" or "error".
        broadcast: Let the threshold broadcast to the input.
        out: Where the result goes; of the input's shape and dtype, perhaps the input itself.

    Returns:
        A tensor or array of the input's shape, dtype and device. Gradients flow as through `torch.where`: to what
        stays, and not to the threshold.

    Raises:
        UsageError: (a ValueError) of a shape that is not the input's, a NaN threshold, a `fill` that the dtype cannot
            hold.
        InputError: (a ValueError) of NaN under nan="error".

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
        >>> t = torch.tensor([[2.0, 2, 3], [4, 4, 5], [5, 5, 5]])
        >>> variable_threshold(x, t)
        tensor([[0., 0., 0.],
                [0., 5., 6.],
                [7., 8., 9.]])
    """
    options = {"compare": compare, "fill": fill, "nan": nan}
    return call("variable", input, {"threshold": threshold_tensor}, options, broadcast=broadcast, out=out)


def gradient_threshold(
    input: Data,
    threshold: ThresholdLike,
    *,
    compare: Compare = "gt",
    nan: str | None = None,
    broadcast: bool = False,
    out: Data | None = None,
) -> Data:
    """Keep x where its magnitude is above the threshold, 0 elsewhere: y = x if abs(x) > T else 0.

    Args:
        input: Tensor or array of any shape and any real or complex dtype, on any device: gradients, weights, deltas.
        threshold: A number of 0 or more, in the units of the input; a map; a spec that is worked out from abs(x), such
            as "zero90%" or "p99"; or what `topk_threshold` and its like returned for `magnitude=True`.
        compare: "gt", "ge", "lt" or "le", of abs(x) with T.
        nan: "keep" (default), "fill=V" or "error".
        broadcast: Let a map broadcast to the input.
        out: Where the result goes; perhaps the input itself.

    Returns:
        A tensor or array of the input's shape, dtype and device. Kept elements keep their bits; those that go become
        +0.0. Gradients flow to what stays.

    Raises:
        UsageError: (a ValueError) of a negative or NaN threshold, or a shape that does not fit.
        InputError: (a ValueError) of NaN under nan="error", or where nothing is left to work a threshold out from.

    Example:
        >>> import torch
        >>> gradient_threshold(torch.tensor([-0.5, 0.005, 0.02, -0.01]), 0.01)
        tensor([-0.5000,  0.0000,  0.0200,  0.0000])
    """
    options = {"compare": compare, "nan": nan}
    return call("gradient", input, {"threshold": threshold}, options, broadcast=broadcast, out=out)


def hard_threshold(
    input: Data,
    threshold: ThresholdLike,
    *,
    compare: Compare = "ge",
    fill: float | Number = 0,
    nan: str | None = None,
    broadcast: bool = False,
    out: Data | None = None,
) -> Data:
    """Keep x where its magnitude reaches the threshold, `fill` elsewhere: y = x if abs(x) >= T else fill.

    Hard thresholding, where an element at the cut stays (Donoho & Johnstone 1994, doi:10.1093/biomet/81.3.425), as
    `pywt.threshold(x, T, "hard")`. Arguments, result and errors are those of `gradient_threshold`; `fill` is a value
    that the input's dtype can hold.

    Example:
        >>> import numpy as np
        >>> hard_threshold(np.array([-2.0, -1.0, 0.5, 1.0]), 1)
        array([-2., -1.,  0.,  1.])
    """
    options = {"compare": compare, "fill": fill, "nan": nan}
    return call("hard", input, {"threshold": threshold}, options, broadcast=broadcast, out=out)


def replace(
    input: Data,
    threshold: ThresholdLike,
    value: float | Number,
    *,
    compare: Compare = "gt",
    nan: str | None = None,
    broadcast: bool = False,
    out: Data | None = None,
) -> Data:
    """Keep x where it is above the threshold, `value` elsewhere: y = x if x > T else value.

    As `torch.nn.functional.threshold(x, T, value)`, for every real dtype and every threshold; but a number T is rounded
    to 16-bit floats, too, as `torch.where(x > T, x, value)` does. Arguments, result and errors are those of
    `variable_threshold`.

    Example:
        >>> import torch
        >>> replace(torch.tensor([-1.0, 0.0, 2.0]), 0, -9)
        tensor([-9., -9.,  2.])
    """
    options = {"compare": compare, "value": value, "nan": nan}
    return call("replace", input, {"threshold": threshold}, options, broadcast=broadcast, out=out)


def clamp(
    input: Data,
    low: ThresholdLike | None = None,
    high: ThresholdLike | None = None,
    *,
    nan: str | None = None,
    broadcast: bool = False,
    out: Data | None = None,
) -> Data:
    """Limit x to [low, high]: y = min(max(x, low), high); either limit may be left out, not both.

    Args:
        input: Tensor or array of any shape and any real dtype, on any device.
        low: Lower limit: a number, a map, a spec such as "p1", or a threshold that was worked out. For integers limits
            are real numbers: a fractional one is taken inwards, one beyond the range limits nothing.
        high: Upper limit.
        nan: "keep" (default), "fill=V" or "error".
        broadcast: Let limits that are maps broadcast to the input.
        out: Where the result goes; perhaps the input itself.

    Returns:
        A tensor or array of the input's shape, dtype and device. Gradients flow to x inside of the limits, to a limit
        (of a floating dtype) where it stands in for x.

    Raises:
        UsageError: (a ValueError) of low above high, of an interval without a value of the dtype, of NaN.
        InputError: (a ValueError) of NaN under nan="error".

    Example:
        >>> import torch
        >>> clamp(torch.tensor([-3, 0, 9]), low=-1.5, high=4)
        tensor([-1,  0,  4])
    """
    options = {"nan": nan}
    return call("clamp", input, {"low": low, "high": high}, options, broadcast=broadcast, out=out)


def band(
    input: Data,
    low: ThresholdLike,
    high: ThresholdLike,
    *,
    closed: Literal["both", "left", "right", "neither"] = "both",
    outside: bool = False,
    binary: bool = False,
    fill: float | Number | None = None,
    above_value: float | Number | None = None,
    below_value: float | Number | None = None,
    nan: str | None = None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
) -> Data:
    """Keep what lies between two thresholds, `fill` the rest: y = x if low <= x <= high else fill.

    Args:
        input: Tensor or array of any shape and any real dtype, on any device.
        low: Lower end: a number, a map, a spec, or a threshold that was worked out.
        high: Upper end.
        closed: Which ends belong to the band.
        outside: Keep what does not lie in it instead; NaN lies neither in it nor outside.
        binary: Write `above_value` (1) where selected and `below_value` (0) elsewhere, instead of x and `fill` (0).
        fill: What the dtype can hold.
        above_value: With `binary`.
        below_value: With `binary`.
        nan: "keep", "fill=V" or "error"; with `binary` also "below" (its default) and "above".
        broadcast: Let ends that are maps broadcast to the input.
        out_dtype: Dtype of the result, as a torch.dtype, a NumPy dtype or a name; the input's by default.
        out: Where the result goes.

    Returns:
        A tensor or array of the input's shape and device.

    Raises:
        UsageError: (a ValueError) of low above high, of NaN, of constants that the dtype cannot hold.
        InputError: (a ValueError) of NaN under nan="error".

    Example:
        >>> import torch
        >>> band(torch.tensor([0.1, 0.5, 0.9]), 0.4, 0.6)
        tensor([0.0000, 0.5000, 0.0000])
        >>> band(torch.tensor([0.1, 0.5, 0.9]), 0.4, 0.6, binary=True, out_dtype=torch.bool)
        tensor([False,  True, False])
    """
    options = {"closed": closed, "outside": outside, "binary": binary, "fill": fill, "nan": nan}
    options |= {"above": above_value, "below": below_value}
    return call("band", input, {"low": low, "high": high}, options, broadcast=broadcast, out_dtype=out_dtype, out=out)
