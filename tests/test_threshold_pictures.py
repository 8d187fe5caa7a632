"""Automatic thresholds beside published values, and beside scikit-image on the images that come with it."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

from tests.test_threshold_automatic import SINGLE, solved
from threshcli.errors import InputError
from threshcli.studies.base import Array

IMAGES = ("camera", "coins", "text", "page", "moon", "cell", "clock")


@cache
def image(name: str) -> Array:
    found: Array = getattr(pytest.importorskip("skimage.data"), name)()
    return found


def theirs(text: str, data: Array) -> list[float] | None:
    """What scikit-image finds; None where it gives up."""
    filters = pytest.importorskip("skimage.filters")
    word, _, classes = text.partition(":")
    more = (int(classes),) if classes else ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = getattr(filters, f"threshold_{word}")(data, *more)
        except RuntimeError:
            return None
    return [float(item) for item in np.atleast_1d(found)]


def ours(text: str, data: Array) -> list[float] | None:
    try:
        return [float(item) for item in solved(text, data).values]
    except InputError:
        return None


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("otsu", "camera", 102),
        ("otsu", "coins", 107),
        ("isodata", "coins", 107),
        ("yen", "camera", 146),
        ("yen", "coins", 110),
        ("triangle", "text", 104),
        ("triangle", "coins", 80),
    ],
)
def test_published_values(text: str, name: str, expected: int) -> None:
    found = solved(text, image(name))
    assert (found.values, found.usable, found.unusable) == ((expected,), image(name).size, 0)


def kinds(data: Array) -> dict[str, Array]:
    """The same picture as other dtypes have it: with many levels, negative ones, and none that repeat."""
    noise = np.random.default_rng(0)
    return {
        "uint8": data,
        "uint16": data.astype(np.uint16) * 16 + noise.integers(0, 16, data.shape, np.uint16),
        "int16": data.astype(np.int16) - 100,
        "float32": (data / 255).astype(np.float32),
        "float64": data / 255 + noise.normal(0, 0.01, data.shape),
    }


QUICK = {
    "minimum": ("uint8", "int16", "float32", "float64"),
    "multiotsu:3": ("uint8", "int16", "float32", "float64"),
    "multiotsu:4": ("uint8",),
}
"""Where scikit-image does not take seconds."""


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("text", [*SINGLE, "multiotsu:2", "multiotsu:3", "multiotsu:4"])
def test_pictures_have_the_thresholds_of_scikit_image(text: str, name: str) -> None:
    """Bit for bit, floats as float64; li, which scikit-image works out from floats themselves and ends sooner, within
    a bin. It looks for several cuts in float32: where it finds others, they are not so good."""
    for kind, data in kinds(image(name)).items():
        if kind not in QUICK.get(text, kind):
            continue
        wide = data.astype(np.float64) if data.dtype.kind == "f" else data
        found, expected = ours(text, data), theirs(text, wide)
        if expected is None or found is None:
            assert found is expected
        elif text in ("li", "mean"):
            bin_width = float(np.ptp(wide)) / 256 if text == "li" and data.dtype.kind == "f" else 0
            assert found == pytest.approx(expected, rel=1e-12, abs=bin_width), kind
        elif text.startswith("multiotsu") and kind in ("uint16", "float64"):
            assert within(wide, found) <= within(wide, expected) <= within(wide, found) * (1 + 1e-5), kind
        else:
            assert found == expected, kind


def within(data: Array, cuts: list[float]) -> float:
    """The sum of squares about the means of the classes, of the values that bins stand for."""
    counts, centres = np.unique(data, return_counts=True)[::-1]
    if data.dtype.kind == "f":
        counts, edges = np.histogram(data, 256)
        centres = (edges[:-1] + edges[1:]) / 2
    total = 0.0
    for number in range(len(cuts) + 1):
        part = np.searchsorted(cuts, centres, "left") == number
        mean = np.average(centres[part], weights=counts[part])
        total += float(np.sum(counts[part] * (centres[part] - mean) ** 2))
    return total
