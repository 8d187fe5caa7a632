"""The rules that shrink: what stays is moved towards zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threshcli.functional.calling import call

if TYPE_CHECKING:
    from threshcli.functional.binding import Data, ThresholdLike

__all__ = [
    "firm",
    "garrote",
    "soft_threshold",
]


def soft_threshold(
    input: Data,
    threshold: ThresholdLike,
    *,
    nan: str | None = None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
) -> Data:
    """Move x towards zero by the threshold, down to zero: y = sign(x) * max(abs(x) - T, 0).

    Soft thresholding (Donoho 1995, doi:10.1109/18.382009), the proximal operator of T * abs(x); as
    `pywt.threshold(x, T, "soft")` and, but for its edges, `torch.nn.functional.softshrink`.

    Args:
        input: Tensor or array of any shape, on any device, of floating point; of integers with a floating `out_dtype`.
            Complex ones keep their phase: y = x * ((abs(x) - T) / abs(x)).
        threshold: A number of 0 or more, in the units of the input; a map with one value for each element; a spec that
            is worked out from abs(x), such as "universal" or "3mad"; or a threshold that was worked out.
        nan: "keep" (default: NaN passes with its bits), "fill=V" or "error".
        broadcast: Let a map broadcast to the input, for instance one threshold for each channel.
        out_dtype: Dtype of the result, floating point; the input's by default.
        out: Where the result goes; perhaps the input itself.

    Returns:
        A tensor or array of the input's shape and device. It is calculated in float32 for floats of 32, 16 and 8 bits,
        else in float64, and rounded once. Gradients: 1 to x and -sign(x) to the threshold where abs(x) > T, else 0.

    Raises:
        UsageError: (a ValueError) of a negative or NaN threshold, a shape that does not fit, integers without a
            floating `out_dtype`.
        InputError: (a ValueError) of NaN under nan="error", or where nothing is left to work a threshold out from.

    Example:
        >>> import torch
        >>> soft_threshold(torch.tensor([-2.0, -0.5, 0.0, 3.0]), 1)
        tensor([-1.,  0.,  0.,  2.])
    """
    options = {"nan": nan}
    return call("soft", input, {"threshold": threshold}, options, broadcast=broadcast, out_dtype=out_dtype, out=out)


def garrote(
    input: Data,
    threshold: ThresholdLike,
    *,
    nan: str | None = None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
) -> Data:
    """Shrink x the less the larger it is: y = x * (1 - (T / abs(x))^2) where abs(x) > T, else 0.

    The non-negative garrote (Breiman 1995, doi:10.1080/00401706.1995.10484371; Gao 1998,
    doi:10.1080/10618600.1998.10474789), as `pywt.threshold(x, T, "garrote")`. Arguments, result and errors are those of
    `soft_threshold`. Gradients: 1 + (T / x)^2 to x and -2 T / x to the threshold where abs(x) > T, else 0.

    Example:
        >>> import torch
        >>> garrote(torch.tensor([-2.0, -0.5, 0.0, 4.0]), 1)
        tensor([-1.5000,  0.0000,  0.0000,  3.7500])
    """
    options = {"nan": nan}
    return call("garrote", input, {"threshold": threshold}, options, broadcast=broadcast, out_dtype=out_dtype, out=out)


def firm(
    input: Data,
    low: ThresholdLike,
    high: ThresholdLike,
    *,
    nan: str | None = None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
) -> Data:
    """Zero what is small, keep what is large, shrink what lies between.

    y = 0 where abs(x) <= low, x where abs(x) > high, else sign(x) * high * (abs(x) - low) / (high - low): firm
    shrinkage (Gao & Bruce 1997, Statistica Sinica 7, 855-874), as `pywt.threshold_firm(x, low, high)`. Equal thresholds
    make it hard with a strict comparison, an infinite `high` makes it soft at `low`. Arguments, result and errors are
    those of `soft_threshold`, for each of the two thresholds; low above high is refused.

    Example:
        >>> import torch
        >>> firm(torch.tensor([0.5, 1.5, 3.0]), 1, 2)
        tensor([0., 1., 3.])
    """
    given, options = {"low": low, "high": high}, {"nan": nan}
    return call("firm", input, given, options, broadcast=broadcast, out_dtype=out_dtype, out=out)
