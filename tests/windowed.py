"""What tests of thresholds from windows have in common: numbers, maps, commands that work."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.harness import Ran, thresh

Array = npt.NDArray[Any]


def data(*shape: int, seed: int = 0) -> Array:
    """Numbers with few digits, so that squares add up exactly: scikit-image takes sums of them from one another."""
    return np.rint(np.random.default_rng(seed).normal(3, 2, shape) * 64) / 64


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def done(*arguments: object, alone: bool = False) -> Ran:
    ran = thresh(*arguments, alone=alone)
    assert ran.status == 0, ran.err
    return ran


def made(spec: str, path: str = "x.npy", *options: str) -> Array:
    """The map that solve writes."""
    done("solve", path, "-t", spec, "-o", "map.npy", "--overwrite", *options)
    found: Array = np.load("map.npy")
    assert (found.dtype.kind, found.dtype.itemsize) == ("f", 8)
    return found
