"""What the shrinkage rules mean, in plain Python: fractions, rounded after each operation; and what comes of them."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.harness import thresh
from tests.reference import nearest, size
from threshcli.dtypes import FLOAT32, FLOAT64, DType, Real

Array = npt.NDArray[Any]


def arithmetic(dtype: DType) -> DType:
    """The type that elements are calculated in."""
    return FLOAT32 if dtype.is_float and dtype is not FLOAT64 else FLOAT64


def shrunk(rule: str, x: Real, low: Real, high: Real | None, kind: DType) -> Real:
    """An element that is not NaN, by thresholds of its type: `low` is that of soft and garrote, too."""
    magnitude = size(x)
    if magnitude <= low:
        return Fraction(0)
    if rule == "firm" and high is not None and magnitude > high:
        return x
    if isinstance(x, float):  # infinite, and low is not
        return x
    if isinstance(low, float) or isinstance(magnitude, float):
        raise ValueError("an infinite threshold is above every number")
    if rule == "garrote":
        found = _garrote(magnitude, low, kind)
    else:
        found = nearest(magnitude - low, kind)
        if rule == "firm" and isinstance(high, Fraction) and isinstance(found, Fraction):
            found = _ramp(found, high, nearest(high - low, kind), kind)
    return found if x > 0 else -found


def _garrote(magnitude: Fraction, low: Fraction, kind: DType) -> Real:
    ratio = _finite(low / magnitude, kind)
    return nearest(magnitude * _finite(1 - _finite(ratio * ratio, kind), kind), kind)


def _ramp(excess: Fraction, high: Fraction, width: Real, kind: DType) -> Real:
    product = nearest(high * excess, kind)
    if isinstance(width, float):
        raise ValueError("what lies between two numbers is none")
    if isinstance(product, float) or abs(product) < kind.magnitude(1 << kind.mantissa):
        return nearest(high * _finite(excess / width, kind), kind)
    return nearest(product / width, kind)


def _finite(value: Fraction, kind: DType) -> Fraction:
    found = nearest(value, kind)
    if isinstance(found, float) or math.isnan(found):
        raise ValueError("this stays within the range")
    return found


def done(rule: str, x: Array, folder: Path, *options: object) -> Array:
    """What the rule makes of an array."""
    np.save(folder / "x.npy", x)
    ran = thresh(rule, folder / "x.npy", *options, "-o", folder / "y.npy", "--overwrite", "-q")
    assert ran.status == 0, ran.err
    found: Array = np.load(folder / "y.npy")
    return found
