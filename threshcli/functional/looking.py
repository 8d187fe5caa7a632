"""The rules that look at neighbours: what stays depends on other elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from threshcli.functional.calling import call
from threshcli.spec import Axes

if TYPE_CHECKING:
    from threshcli.functional.binding import Data, ThresholdLike
    from threshcli.spec import Number

__all__ = [
    "hysteresis",
    "nm_sparsify",
]


def nm_sparsify(
    input: Data,
    n: int = 2,
    m: int = 4,
    *,
    axis: int = -1,
    partial: bool = False,
    fill: float | Number = 0,
    nan: str | None = None,
    out: Data | None = None,
) -> Data:
    """Keep the `n` largest magnitudes of every `m` neighbours along an axis, `fill` the rest.

    Of equal magnitudes those at lower indices stay; NaN counts as the largest. 2:4 is the pattern that
    `torch.sparse.to_sparse_semi_structured` takes (Mishra et al. 2021, arXiv:2104.08378).

    Args:
        input: Tensor or array of any shape but (), of any real dtype. Of one on a device the mask is made on the CPU.
        n: How many stay, from 1 to `m`.
        m: Of how many; it divides the length of the axis unless `partial`.
        axis: Along which elements are neighbours.
        partial: Let the last group along the axis be short: of L elements ceil(n * L / m) stay.
        fill: What the input's dtype can hold.
        nan: "keep" (default), "fill=V" or "error".
        out: Where the result goes; perhaps the input itself.

    Returns:
        A tensor or array of the input's shape, dtype and device. Gradients flow to what stays.

    Raises:
        UsageError: (a ValueError) of a pattern, an axis or a length that cannot be.
        InputError: (a ValueError) of NaN under nan="error".

    Example:
        >>> import torch
        >>> nm_sparsify(torch.tensor([1.0, -4.0, 2.0, 3.0, 5.0, 5.0, 5.0, 0.0]))
        tensor([ 0., -4.,  0.,  3.,  5.,  5.,  0.,  0.])
    """
    options = {"threshold": f"{n}:{m}", "axis": axis, "partial": partial, "fill": fill, "nan": nan}
    return call("nm", input, {}, options, out=out, looks=True)


def hysteresis(
    input: Data,
    low: ThresholdLike,
    high: ThresholdLike,
    *,
    connectivity: Literal["faces", "full"] = "faces",
    axes: Sequence[int] | None = None,
    above_value: float | Number = 1,
    below_value: float | Number = 0,
    nan: str | None = None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
) -> Data:
    """Write `above_value` in the connected components of x > low that hold some x > high, `below_value` elsewhere.

    As `skimage.filters.apply_hysteresis_threshold` (Canny 1986, doi:10.1109/TPAMI.1986.4767851), for any rank.

    Args:
        input: Tensor or array of any shape and any real dtype. Of one on a device the mask is made on the CPU.
        low: What elements of a component are above: a number, a map, a spec, or a threshold that was worked out.
        high: What one of them has to be above; not below `low`.
        connectivity: "faces", or "full" to connect elements that touch at corners, too.
        axes: Along which elements are neighbours; all by default. The others keep images of a batch apart.
        above_value: What the result's dtype can hold.
        below_value: Likewise.
        nan: "below" (default: NaN is in no component), "above", "keep", "fill=V" or "error".
        broadcast: Let thresholds that are maps broadcast to the input.
        out_dtype: Dtype of the result; the input's by default.
        out: Where the result goes.

    Returns:
        A tensor or array of the input's shape and device.

    Raises:
        UsageError: (a ValueError) of low above high, of NaN, of values that the dtype cannot hold.
        InputError: (a ValueError) of NaN under nan="error", or where nothing is left to work a threshold out from.

    Example:
        >>> import torch
        >>> hysteresis(torch.tensor([0.4, 0.9, 0.5, 0.1, 0.5]), 0.3, 0.7, out_dtype=torch.bool)
        tensor([ True,  True,  True, False, False])
    """
    options = {"connectivity": connectivity, "above": above_value, "below": below_value, "nan": nan}
    return call(
        "hysteresis",
        input,
        {"low": low, "high": high},
        options,
        broadcast=broadcast,
        out_dtype=out_dtype,
        out=out,
        axes=None if axes is None else Axes(tuple(axes)),
        looks=True,
    )
