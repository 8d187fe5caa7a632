"""Thresholds from a window around each element, as functions: maps, one value for each element.

All of them take a tensor or an array of any rank and any real dtype, and return float64 of its shape and kind. `size`
is odd, one for all axes along which elements are neighbours (`axes`; all by default, others keep images of a batch
apart) or one for each. NaN and infinities leave the windows, and so does what `mask` says is zero; where a window has
nothing left, the result is NaN. They also take `magnitude` (look at abs(input)), `ignore_zero`, `scale`, `offset`,
`at_least` and `at_most`, as `threshold` does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from threshcli import thresholds
from threshcli.errors import UsageError
from threshcli.functional.held import is_tensor
from threshcli.functional.making import digits
from threshcli.functional.neighbours import window_map
from threshcli.functional.solving import truth_of
from threshcli.functional.sources import looked_at
from threshcli.functional.wording import in_python
from threshcli.spec import Axes
from threshcli.thresholds.base import Windowed

if TYPE_CHECKING:
    from threshcli.functional.binding import Data

__all__ = [
    "local_threshold",
    "niblack",
    "sauvola",
]


def local_threshold(
    input: Data,
    size: int | Sequence[int],
    method: Literal["mean", "gaussian", "median"] = "mean",
    *,
    axes: Sequence[int] | None = None,
    magnitude: bool = False,
    mask: Any = None,
    **fit: Any,
) -> Data:
    """The mean, the Gaussian mean (sigma (size - 1) / 6, cut at 4 sigma) or the median of a window around each element.

    As `skimage.filters.threshold_local(x, size, method)`, with the edge repeated at the border. Raises UsageError (a
    ValueError) of sizes that are even or do not fit the axes. See the top of this module for what is taken.

    Example:
        >>> import numpy as np
        >>> local_threshold(np.array([0.0, 3.0, 6.0, 0.0]), 3)
        array([1., 3., 3., 2.])
    """
    return _map(input, f"local-{method}:{_sizes(size, input, axes)}", axes, magnitude, mask, fit)


def niblack(
    input: Data,
    size: int | Sequence[int],
    k: float = 0.2,
    *,
    axes: Sequence[int] | None = None,
    magnitude: bool = False,
    mask: Any = None,
    **fit: Any,
) -> Data:
    """Niblack's threshold m - k * s, with mean and standard deviation of a window around each element.

    Niblack 1986, An Introduction to Digital Image Processing, 115-116; as `skimage.filters.threshold_niblack`, mirrored
    at the border. Raises UsageError (a ValueError) of sizes that are even or do not fit the axes. See the top of this
    module for what is taken.

    Example:
        >>> import numpy as np
        >>> niblack(np.array([0.0, 3.0, 6.0, 3.0]), 3, k=0)
        array([2., 3., 4., 5.])
    """
    return _map(input, f"niblack:{_sizes(size, input, axes)},{_digits(k)}", axes, magnitude, mask, fit)


def sauvola(
    input: Data,
    size: int | Sequence[int],
    k: float = 0.2,
    r: float | Literal["auto"] | None = None,
    *,
    axes: Sequence[int] | None = None,
    magnitude: bool = False,
    mask: Any = None,
    **fit: Any,
) -> Data:
    """Sauvola's threshold m * (1 + k * (s / r - 1)), with mean and standard deviation of a window around each element.

    `r` is the largest standard deviation that there may be: half of the dtype's range for integers; for floats it is to
    be given, or "auto" takes half of max - min. Sauvola & Pietikainen 2000, doi:10.1016/S0031-3203(99)00055-2; as
    `skimage.filters.threshold_sauvola`. Raises UsageError (a ValueError) of sizes that are even or do not fit the axes,
    and of floats without `r`. See the top of this module for what is taken.

    Example:
        >>> import numpy as np
        >>> sauvola(np.array([0.0, 3.0, 6.0, 3.0]), 3, k=0.0, r="auto")
        array([2., 3., 4., 5.])
    """
    last = "" if r is None else f",R={r if isinstance(r, str) else _digits(r)}"
    return _map(input, f"sauvola:{_sizes(size, input, axes)},{_digits(k)}{last}", axes, magnitude, mask, fit)


def _sizes(size: int | Sequence[int], input: Data, axes: Sequence[int] | None) -> str:
    """How sizes are written. One of them is for all axes, but not in a sequence, as in SciPy and scikit-image."""
    if isinstance(size, int | np.integer):
        return str(size)
    count = len(getattr(input, "shape", ()) if axes is None else axes)
    if len(size) == 1 < count:
        raise UsageError(
            f"size has one number for {count} axes", hint="give one number, not in a list, for all of them"
        )
    return "x".join(map(str, size))


def _digits(number: float) -> str:
    found = digits(number)
    if found is None:
        raise UsageError(f"{number!r} is not a finite number", hint="give a number such as 0.2")
    return format(found, "f")


def _map(
    input: Data, spec: str, axes: Sequence[int] | None, magnitude: bool, mask: Any, options: dict[str, Any]
) -> Data:
    with in_python():
        source = cast("Windowed", thresholds.parse(spec))
        held, fit, chosen = looked_at(input, source, options, mask)
        truth = None if chosen is None else truth_of(chosen)
        along = None if axes is None else Axes(tuple(axes))
        if along is not None:
            along.of(len(held.shape))
        found = window_map(source, held, fit, magnitude=magnitude, axes=along, mask=truth)
    if not is_tensor(input):
        return cast("Data", found)
    return cast("Data", sys.modules["torch"].from_numpy(found).to(input.device))
