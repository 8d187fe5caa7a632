"""What abs(x) and the rules mean for complex x, in plain Python: fractions and integer square roots; arrays of such x,
and what rules make of them by way of files."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from tests.harness import thresh
from tests.reference import decode, holds, is_nan, nearest, size
from tests.shrinking import shrunk
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, DType, Real
from threshcli.kernels import _numpy_complex
from threshcli.kernels.base import MapCompare

Array = npt.NDArray[Any]
COMPLEX = [DTYPES[name] for name in ("complex32", "complex64", "complex128")]
ROOM = 2400
"""Binary digits after the point of a root: enough for the smallest float64."""


class Pair(NamedTuple):
    """The parts of a complex number."""

    real: Real
    imaginary: Real


def pair(code: int, dtype: DType) -> Pair:
    """The value of a code of a complex dtype."""
    part = dtype.compared
    return Pair(decode(code & ((1 << part.bits) - 1), part), decode(code >> part.bits, part))


def code_of(real: int, imaginary: int, dtype: DType) -> int:
    """The code with these codes of parts."""
    return real | imaginary << dtype.compared.bits


def squared(x: Pair) -> Real:
    """abs(x)^2; infinite where a part is, else NaN where one is."""
    if any(isinstance(part, float) and math.isinf(part) for part in x):
        return math.inf
    if not (isinstance(x.real, Fraction) and isinstance(x.imaginary, Fraction)):
        return math.nan
    return x.real**2 + x.imaginary**2


@lru_cache(maxsize=1 << 16)
def magnitude(x: Pair, kind: DType) -> Real:
    """abs(x), rounded to nearest."""
    square = squared(x)
    if isinstance(square, float):
        return square
    whole, rest = divmod(square.numerator << 2 * ROOM, square.denominator)
    root = math.isqrt(whole)
    exact = not rest and root * root == whole
    return nearest(
        Fraction(2 * root + (not exact), 2 << ROOM), kind
    )  # what is lost lies above: half a digit stands for it


def is_close(found: Real, x: Pair, kind: DType) -> bool:
    """Whether a magnitude is within what `_magnitudes` says of the true one."""
    square = squared(x)
    if isinstance(square, float) or isinstance(found, float):
        return found == magnitude(x, kind) or (is_nan(found) and is_nan(square))
    key = kind.key(found)
    subnormal = key < 1 << kind.mantissa
    units = Fraction(501, 1000) if kind is FLOAT64 else Fraction(5000001, 10000000)
    unit = kind.magnitude(key + 1) - found
    reach = unit * (1 if subnormal and kind is FLOAT64 else units)
    return max(found - reach, Fraction(0)) ** 2 <= square <= (found + reach) ** 2


def made(rule: str, x: Pair, dtype: DType, low: Real, high: Real | None, compare: MapCompare) -> Pair:
    """What a rule makes of an element: thresholds are of the type in which it meets them."""
    part = dtype.compared
    measured = magnitude(x, part)
    if is_nan(measured):
        return x
    if rule in ("gradient", "hard"):
        return x if holds(measured, compare, low) else Pair(Fraction(0), Fraction(0))
    kind = FLOAT64 if part is FLOAT64 else FLOAT32
    if not holds(measured, "gt", low):
        return Pair(Fraction(0), Fraction(0))
    if isinstance(measured, float):
        return x
    factor = _factor(rule, measured, low, high, kind)
    real, imaginary = (nearest(nearest(value * factor, kind), part) for value in x)
    return Pair(real, imaginary)


def _factor(rule: str, measured: Fraction, low: Real, high: Real | None, kind: DType) -> Fraction:
    if rule == "garrote":
        ratio = nearest(low / measured, kind)
        found = nearest(1 - nearest(ratio * ratio, kind), kind)
    else:
        found = nearest(size(shrunk(rule, measured, low, high, kind)) / measured, kind)
    if not isinstance(found, Fraction):
        raise ValueError("a factor is finite")
    return found


NOISE = np.random.default_rng(8).standard_normal((2, 60, 50)) @ np.eye(50)


def noise(kind: str) -> Array:
    """Elements around 0, some of them 0, one NaN, one infinite."""
    x: Array = (NOISE[0] + 1j * NOISE[1]).astype(kind)
    x[::7, ::3] = 0
    x[3, 3], x[4, 4] = np.nan, np.inf
    return x


def magnitudes_of(x: Array, dtype: DType) -> Array:
    """abs(x) by NumPy's kernels."""
    kind = dtype.compared.name
    return _numpy_complex.magnitudes(x.view(kind), dtype.compared, np.empty(x.size, kind))


def save(path: Path, x: Array) -> None:
    """Elements, by their codes, in the container of the path's extension."""
    if path.suffix == ".npy":
        np.save(path, x)
        return
    tensor = torch.from_numpy(x)
    if path.suffix == ".pt":
        torch.save({"x": tensor}, path)
    else:
        save_file({"x": tensor}, path)


def loaded(path: Path) -> Array:
    if path.suffix == ".npy":
        found: Array = np.load(path)
        return found
    if path.suffix == ".pt":
        return np.asarray(torch.load(path)["x"].numpy())
    return np.asarray(load_file(path)["x"].numpy())


def done(rule: str, x: Array, folder: Path, *options: object, to: str = "npy") -> Array:
    """What a rule makes of an array, by way of files."""
    save(folder / f"x.{to}", x)
    ran = thresh(rule, folder / f"x.{to}", *options, "-o", folder / f"y.{to}", "--overwrite", "-q")
    assert ran.status == 0, ran.err
    return loaded(folder / f"y.{to}")
