"""Thresholds from windows: against scikit-image, and window by window against what they are by definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threshcli.windows.base import Method, Window
from threshcli.windows.local import local_map

filters: Any = pytest.importorskip("skimage.filters")

Array = npt.NDArray[Any]
METHODS: tuple[Method, ...] = ("mean", "gaussian", "median", "niblack", "sauvola")
THEIRS: dict[Method, Callable[[Array, tuple[int, ...]], Array]] = {
    "mean": lambda x, sizes: filters.threshold_local(x, sizes, "mean"),
    "gaussian": lambda x, sizes: filters.threshold_local(x, sizes, "gaussian"),
    "median": lambda x, sizes: filters.threshold_local(x, sizes, "median"),
    "niblack": lambda x, sizes: filters.threshold_niblack(x, sizes, 0.3),
    "sauvola": lambda x, sizes: filters.threshold_sauvola(x, sizes, 0.3, 4.0),
}
WINDOWS = [
    ((40,), (1,)), ((40,), (15,)), ((33, 47), (3, 3)), ((33, 47), (15, 15)), ((33, 47), (7, 11)), ((33, 47), (1, 9)),
    ((9, 12, 14), (5, 5, 5)), ((9, 12, 14), (3, 1, 7)), ((5, 6, 4, 7), (3, 3, 3, 3)), ((8, 9), (15, 25)),
    ((1, 30), (5, 5)), ((2, 3), (11, 7)), ((1, 1), (3, 3)),
]  # fmt: skip
"""Shapes and windows, some of which are larger than the array, so that its borders are met again and again."""


def window(method: Method, sizes: tuple[int, ...]) -> Window:
    return Window(method, sizes, 0.3, 4.0)


def data(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    """Numbers whose squares add up exactly in float64: scikit-image takes the one from the other."""
    chance = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (np.rint(chance.normal(3, 2, shape) * 64) / 64).astype(dtype)
    limits = np.iinfo(dtype)
    return chance.integers(max(limits.min, -(1 << 20)), min(limits.max, 1 << 20), shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "int16", "uint16", "int32", "uint64"])
@pytest.mark.parametrize(("shape", "sizes"), WINDOWS, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_it_is_what_scikit_image_gives(
    method: Method, shape: tuple[int, ...], sizes: tuple[int, ...], dtype: str
) -> None:
    """To float64 rounding, borders included; theirs is given float64, since it works in float32 otherwise."""
    x = data(shape, dtype)
    theirs = THEIRS[method](x.astype(np.float64), sizes)
    scale = float(np.abs(x.astype(np.float64)).max()) ** (2 if method == "sauvola" else 1)
    np.testing.assert_allclose(local_map(x, window(method, sizes)), theirs, rtol=1e-12, atol=1e-13 * scale)


def inside(place: int, length: int, border: str) -> int:
    """The index that stands for a place, by walking back and forth."""
    while not 0 <= place < length:
        if border == "reflect":
            place = -1 - place if place < 0 else 2 * length - 1 - place
        else:
            place = 0 if length == 1 else -place if place < 0 else 2 * length - 2 - place
    return place


def by_definition(x: Array, usable: Array, made: Window) -> Array:
    """Each window gathered and worked on by itself."""
    found = np.full(x.shape, np.nan)
    offsets = list(np.ndindex(*(2 * reach + 1 for reach in made.reach)))
    for index in np.ndindex(*x.shape):
        held = []
        for off in offsets:
            at = tuple(
                inside(i + o - r, n, made.border) for i, o, r, n in zip(index, off, made.reach, x.shape, strict=True)
            )
            if usable[at]:
                held.append(
                    (
                        float(x[at]),
                        math.prod(_weight(o - r, s) for o, r, s in zip(off, made.reach, made.sizes, strict=True)),
                    )
                )
        if held:
            found[index] = _threshold([value for value, _ in held], [weight for _, weight in held], made)
    return found


def _weight(off: int, size: int) -> float:
    return 1.0 if size == 1 else math.exp(-0.5 * (off / ((size - 1) / 6)) ** 2)


def _threshold(values: list[float], weights: list[float], made: Window) -> float:
    if made.method == "gaussian":
        return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / math.fsum(weights)
    if made.method == "median":
        return float(np.median(values))
    mean = math.fsum(values) / len(values)
    if made.method == "mean":
        return mean
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return mean - made.k * deviation if made.method == "niblack" else mean * (1 + made.k * (deviation / made.r - 1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "int64"])
@pytest.mark.parametrize(
    ("shape", "sizes"), [((30,), (7,)), ((9, 11), (5, 3)), ((4, 5, 6), (3, 1, 5)), ((3, 4), (9, 9))]
)
@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_used_leaves_the_window(
    method: Method, shape: tuple[int, ...], sizes: tuple[int, ...], dtype: str
) -> None:
    """NaN, infinities, and what does not count; a window with nothing in it has no threshold."""
    chance = np.random.default_rng(1)
    x, usable = data(shape, dtype) // 2, chance.random(shape) < 0.6
    usable[tuple(slice(0, length // 2) for length in shape)] = False
    made = window(method, sizes)
    wanted = by_definition(x, usable, made)
    least = 1e-12 * float(np.nanmax(np.abs(wanted)))
    np.testing.assert_allclose(local_map(x, made, usable=usable), wanted, rtol=1e-12, atol=least)
    if x.dtype.kind == "f":
        bad = np.where(usable, x, chance.choice([np.nan, np.inf, -np.inf], shape)).astype(dtype)
        np.testing.assert_array_equal(local_map(bad, made), local_map(x, made, usable=usable))
    assert np.isnan(local_map(x, made, usable=np.zeros(shape, bool))).all()


@settings(max_examples=60)
@given(
    method=st.sampled_from(METHODS),
    shape=st.lists(st.integers(1, 14), min_size=1, max_size=3),
    sizes=st.lists(st.sampled_from([1, 3, 5, 7, 13]), min_size=3, max_size=3),
    box=st.integers(1, 300),
    dtype=st.sampled_from(["float64", "float32", "uint8", "int32", "int64"]),
    share=st.sampled_from([0.0, 0.02, 0.3]),
    seed=st.integers(0, 99),
)
def test_boxes_change_no_bit(
    method: Method, shape: list[int], sizes: list[int], box: int, dtype: str, share: float, seed: int
) -> None:
    """Nor do workers, whether or not there is something unusable in a box."""
    x, made = data(tuple(shape), dtype, seed), window(method, tuple(sizes[: len(shape)]))
    usable = np.random.default_rng(seed).random(shape) >= share
    whole = local_map(x, made, usable=usable)
    assert local_map(x, made, usable=usable, box=box, jobs=2).tobytes() == whole.tobytes()


def test_blocks_of_one_column_change_no_bit() -> None:
    """A tensor is cut into such where boxes are small, or an axis is long: with many weights, too."""
    for shape, sizes, box in (
        ((1, 1, 2), (1, 13, 1), 1),
        ((40_000, 2), (15, 1), 20_000),
        ((2, 300, 3), (1, 25, 3), 50),
    ):
        x, made = data(shape, "float64"), window("gaussian", sizes)
        same = local_map(x, made, box=box).tobytes() == local_map(x, made, box=1 << 30).tobytes()
        assert same


def test_boxes_of_a_large_array_change_no_bit() -> None:
    """Of several blocks in each pass."""
    for shape, dtype in (
        ((700, 900), "float32"),
        ((40, 90, 110), "float64"),
        ((9, 60, 300), "float32"),
        ((700, 900), "int16"),
    ):
        x = data(shape, dtype)
        x[3:5, 7] = np.nan if x.dtype.kind == "f" else 0
        for method in ("mean", "gaussian", "niblack"):
            made = window(method, (15,) * len(shape))
            same = local_map(x, made, box=70_000).tobytes() == local_map(x, made, box=1 << 30).tobytes()
            assert same  # no comparison of megabytes is to be printed


def test_a_small_spread_about_a_large_mean_keeps_its_digits() -> None:
    """To a few units in the last place of the mean, where the difference of the mean of squares and the square of the
    mean is off by more than the spread; of equal elements there is none at all."""
    x = np.random.default_rng(2).normal(0, 1e-3, (20, 30))
    x[:, 15:] += 1e9
    wide, mean = Window("niblack", (5, 7), 1e6), Window("mean", (5, 7))
    found = (local_map(x, mean) - local_map(x, wide)) / 1e6
    wanted = (by_definition(x, np.isfinite(x), mean) - by_definition(x, np.isfinite(x), wide)) / 1e6
    assert abs(found - wanted)[:, 19:].max() < 8 * np.spacing(1e9)
    assert abs(found / wanted - 1)[:, :11].max() < 1e-9
    flat = np.full((9, 9), 0.1)
    assert (local_map(flat, wide) == local_map(flat, mean)).all()


def test_images_of_a_batch_are_kept_apart_by_windows_of_one() -> None:
    x = data((4, 12, 13), "float32")
    for method in METHODS:
        whole = local_map(x, window(method, (1, 5, 5)))
        for number, image in enumerate(x):
            assert whole[number].tobytes() == local_map(image, window(method, (5, 5))).tobytes()


def test_few_values_and_many_have_the_same_medians() -> None:
    """They are found by counting where there are few, and by partition where there are many."""
    chance = np.random.default_rng(3)
    for shape, sizes in (((60, 70), (15, 15)), ((14, 15, 16), (5, 5, 5)), ((90_000,), (3,))):
        few = chance.integers(0, 9, shape)
        many = few * 1_000_003 + chance.integers(0, 1_000_003, shape)
        for x in (few.astype(np.uint8), few.astype(np.float32), many.astype(np.float64), many):
            theirs = filters.threshold_local(x.astype(np.float64), sizes, "median")
            assert (local_map(x, window("median", sizes)) == theirs).all()


def test_a_scalar_is_its_own_window_and_without_elements_there_is_nothing_to_do() -> None:
    assert local_map(np.array(3.5), window("gaussian", ())).tolist() == 3.5
    assert local_map(np.zeros((0, 4)), window("niblack", (3, 3))).shape == (0, 4)


def test_nine_digits_are_left_of_a_spread_of_ten_about_1e8() -> None:
    """As the reference says; squares less a square would leave none."""
    x = 1e8 + np.random.default_rng(0).normal(0, 10, (60, 60))
    low, high = (local_map(x, Window("niblack", (15, 15), k))[7:-7, 7:-7] for k in (1e6, 0.0))
    wanted = np.lib.stride_tricks.sliding_window_view(x, (15, 15)).std((-1, -2))
    np.testing.assert_allclose((high - low) / 1e6, wanted, rtol=1e-9)
