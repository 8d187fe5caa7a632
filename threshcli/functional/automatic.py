"""Thresholds that are found by themselves: the automatic sources as functions.

Each takes a tensor or an array of any shape and any real dtype, `magnitude=True` to look at abs(input), `axis` for one
threshold for each index along an axis, and what else `threshold` takes (`bins`, `mask`, `scale`, ...); it returns a
threshold that rules take as it is, and raises InputError where no element is left to work it out from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threshcli.errors import UsageError
from threshcli.functional.making import digits
from threshcli.functional.solving import Solved
from threshcli.functional.sources import threshold

if TYPE_CHECKING:
    from threshcli.functional.binding import Data

__all__ = [
    "bayes_threshold",
    "isodata",
    "li",
    "mad_threshold",
    "mean_threshold",
    "median_threshold",
    "minimum_threshold",
    "multiotsu",
    "otsu",
    "sigma_threshold",
    "triangle",
    "universal_threshold",
    "yen",
]


def otsu(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """Otsu's cut, which leaves the least variance within the two classes (Otsu 1979, doi:10.1109/TSMC.1979.4310076),
    as `skimage.filters.threshold_otsu`.

    Example:
        >>> import numpy as np
        >>> float(otsu(np.array([0, 0, 1, 1, 1, 2, 6, 7, 7, 7, 8])))
        2.0
    """
    return threshold(input, "otsu", magnitude=magnitude, axis=axis, **fit)


def li(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The cut of least cross entropy (Li & Lee 1993, doi:10.1016/0031-3203(93)90115-D; Li & Tam 1998,
    doi:10.1016/S0167-8655(98)00057-9), as `skimage.filters.threshold_li`.

    Example:
        >>> import numpy as np
        >>> float(li(np.array([0, 0, 1, 1, 1, 2, 6, 7, 7, 7, 8])))
        2.897554175947147
    """
    return threshold(input, "li", magnitude=magnitude, axis=axis, **fit)


def yen(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The cut of most entropic correlation (Yen, Chang & Chang 1995, doi:10.1109/83.366472), as
    `skimage.filters.threshold_yen`.

    Example:
        >>> import numpy as np
        >>> float(yen(np.array([0, 0, 1, 1, 1, 2, 6, 7, 7, 7, 8])))
        2.0
    """
    return threshold(input, "yen", magnitude=magnitude, axis=axis, **fit)


def triangle(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The bin farthest under the line from the longer tail's end to the peak (Zack, Rogers & Latt 1977,
    doi:10.1177/25.7.70454), as `skimage.filters.threshold_triangle`.

    Example:
        >>> import numpy as np
        >>> float(triangle(np.array([0, 0, 1, 1, 1, 2, 6, 7, 7, 7, 8])))
        3.0
    """
    return threshold(input, "triangle", magnitude=magnitude, axis=axis, **fit)


def isodata(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The cut midway between the means of the classes that it makes (Ridler & Calvard 1978,
    doi:10.1109/TSMC.1978.4310039), as `skimage.filters.threshold_isodata`.

    Example:
        >>> import numpy as np
        >>> float(isodata(np.array([0, 0, 1, 1, 1, 2, 6, 7, 7, 7, 8])))
        3.0
    """
    return threshold(input, "isodata", magnitude=magnitude, axis=axis, **fit)


def minimum_threshold(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The lowest bin between the two peaks of the smoothed histogram (Prewitt & Mendelsohn 1966,
    doi:10.1111/j.1749-6632.1965.tb11715.x), as `skimage.filters.threshold_minimum`.

    Example:
        >>> import numpy as np
        >>> float(minimum_threshold(np.array([1, 2, 2, 2, 3, 3, 4, 6, 8, 9, 10, 10, 11, 11, 11, 12])))
        6.0
    """
    return threshold(input, "minimum", magnitude=magnitude, axis=axis, **fit)


def mean_threshold(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The mean of the finite elements (Glasbey 1993, doi:10.1006/cgip.1993.1040), in float64.

    Example:
        >>> import numpy as np
        >>> float(mean_threshold(np.array([0, 0, 1, 1, 1, 2, 6, 7, 7, 7, 8])))
        3.6363636363636362
    """
    return threshold(input, "mean", magnitude=magnitude, axis=axis, **fit)


def median_threshold(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The median of the elements that are not NaN: `numpy.median` of the float64 copy.

    Example:
        >>> import numpy as np
        >>> float(median_threshold(np.array([0, 0, 1, 1, 1, 2, 6, 7, 7, 7, 8])))
        2.0
    """
    return threshold(input, "median", magnitude=magnitude, axis=axis, **fit)


def universal_threshold(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """What the largest of n values of white noise hardly exceeds: sigma * sqrt(2 ln n), sigma = median(abs(x)) / 0.6745
    (Donoho & Johnstone 1994, doi:10.1093/biomet/81.3.425).

    Example:
        >>> import numpy as np
        >>> float(universal_threshold(np.array([0.1, -0.2, 0.3, -0.1, 5.0])))
        0.5319859386194519
    """
    return threshold(input, "universal", magnitude=magnitude, axis=axis, **fit)


def bayes_threshold(input: Data, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """The noise's variance over the signal's standard deviation: sigma^2 / sigma_x, sigma = median(abs(x)) / 0.6745 and
    sigma_x = sqrt(mean(x^2) - sigma^2) (Chang, Yu & Vetterli 2000, doi:10.1109/83.862633).

    Example:
        >>> import numpy as np
        >>> float(bayes_threshold(np.array([0.1, -0.2, 0.3, -0.1, 5.0])))
        0.03954952505041974
    """
    return threshold(input, "bayes", magnitude=magnitude, axis=axis, **fit)


def sigma_threshold(input: Data, k: float, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """`k` standard deviations (of the population) above the mean; with `magnitude` so many from zero, in float64.

    Example:
        >>> import numpy as np
        >>> float(sigma_threshold(np.array([1.0, 2.0, 3.0]), 2))
        3.632993161855452
    """
    return threshold(input, f"{_factor(k)}sigma", magnitude=magnitude, axis=axis, **fit)


def mad_threshold(input: Data, k: float, *, magnitude: bool = False, axis: int | None = None, **fit: Any) -> Solved:
    """`k` median absolute deviations, times 1.4826, above the median; with `magnitude` so many from zero (Rousseeuw &
    Croux 1993, doi:10.1080/01621459.1993.10476408).

    Example:
        >>> import numpy as np
        >>> float(mad_threshold(np.array([1.0, 2.0, 4.0]), 2))
        4.965199999999999
    """
    return threshold(input, f"{_factor(k)}mad", magnitude=magnitude, axis=axis, **fit)


def multiotsu(input: Data, classes: int, *, magnitude: bool = False, **fit: Any) -> Solved:
    """The cuts that leave the least variance within so many classes, from two to eight; `values` has them.

    Otsu 1979, doi:10.1109/TSMC.1979.4310076; Liao, Chen & Chung 2001, doi:10.6688/JISE.2001.17.5.1; as
    `skimage.filters.threshold_multiotsu`.

    Example:
        >>> import numpy as np
        >>> multiotsu(np.array([1, 1, 4, 5, 9, 9]), 3).values
        (1, 5)
    """
    return threshold(input, f"multiotsu:{classes}", magnitude=magnitude, **fit)


def _factor(k: float) -> str:
    found = digits(k)
    if found is None:
        raise UsageError(f"k is {k!r}, not a finite number", hint="give a number such as 2 or 3.5")
    return format(found, "f")
