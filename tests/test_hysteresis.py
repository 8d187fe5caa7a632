"""`hysteresis` against scikit-image and SciPy, for slabs of every size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.harness import listed, refused, thresh
from tests.kernel_sets import SETS
from threshcli.engine import labelling
from threshcli.executors.local import Executor
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.rules.hysteresis import Hysteresis
from threshcli.sideways import runs
from threshcli.sideways.components import Connectivity, hysteresis_mask
from threshcli.spec import Axes
from threshcli.thresholds import parse

Array = npt.NDArray[Any]
ndimage: Any = pytest.importorskip("scipy.ndimage")
filters: Any = pytest.importorskip("skimage.filters")
SHAPES = [(90,), (13, 17), (7, 6, 9), (4, 5, 3, 6)]


def expected(low: Array, high: Array, connectivity: str = "faces", axes: Sequence[int] | None = None) -> Array:
    """By SciPy's labels, image by image."""
    if axes is not None:
        others = [axis for axis in range(low.ndim) if axis not in axes]
        out = np.zeros(low.shape, np.bool_)
        for index in itertools.product(*(range(low.shape[axis]) for axis in others)):
            where: list[Any] = [slice(None)] * low.ndim
            for axis, at in zip(others, index, strict=True):
                where[axis] = at
            out[tuple(where)] = expected(low[tuple(where)], high[tuple(where)], connectivity)
        return out
    if not low.ndim:
        return low & high
    reach = low.ndim if connectivity == "full" else 1
    labels, count = ndimage.label(low, ndimage.generate_binary_structure(low.ndim, reach))
    stays = np.zeros(count + 1, np.bool_)
    stays[labels[high & low]] = True
    found: Array = stays[labels] & low
    return found


def image(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Noise with blobs in it; in halves of tenths, so that ties with thresholds occur."""
    noise = np.random.default_rng(seed).random(shape)
    smooth = ndimage.uniform_filter(noise, 2)
    found: Array = np.round(20 * (smooth - smooth.min()) / np.ptp(smooth)) / 20
    return found


def spiral(rows: int, columns: int) -> Array:
    """A path of 1 that winds from the outside to the middle, through every row many times."""
    out = np.zeros((rows, columns), np.bool_)
    top, left, bottom, right = 0, 0, rows - 1, columns - 1
    while top < bottom and left < right:
        out[top, max(left - 2, 0) : right + 1] = out[top : bottom + 1, right] = True
        out[bottom, left : right + 1] = out[top + 2 : bottom + 1, left] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    return out


@settings(max_examples=150)
@given(data=st.data())
def test_components_of_masks_of_any_rank_density_and_slab(data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, 4))
    shape = tuple(data.draw(st.integers(0 if rank > 1 else 1, (40, 12, 6, 4)[rank - 1])) for _ in range(rank))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    low = np.asarray(random.random(shape) < data.draw(st.sampled_from([0.1, 0.4, 0.6, 0.9, 1])))
    high = np.asarray(random.random(shape) < data.draw(st.sampled_from([0, 0.02, 0.3])))
    connectivity: Connectivity = data.draw(st.sampled_from(["faces", "full"]))
    axes = data.draw(st.none() | st.lists(st.integers(0, rank - 1), min_size=1, unique=True)) if rank else None
    slab = data.draw(st.integers(1, 100))
    found = hysteresis_mask(low, high, connectivity, axes, slab=slab)
    assert np.array_equal(found, expected(low, high, connectivity, axes))


@pytest.mark.parametrize("dense", [0, 1000])
@pytest.mark.parametrize("connectivity", ["faces", "full"])
def test_both_ways_to_find_runs_are_one(
    connectivity: Connectivity, dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are many runs they are counted, where there are few they are looked up."""
    monkeypatch.setattr(runs, "_DENSE", dense)
    for shape in SHAPES:
        x = image(shape)
        for slab in (1, 10, 1000):
            found = hysteresis_mask(x > 0.5, x > 0.8, connectivity, slab=slab)
            assert np.array_equal(found, expected(x > 0.5, x > 0.8, connectivity))


WINDING = {
    "spiral": spiral(41, 37),
    "spiral on its side": spiral(15, 80),
    "comb": np.arange(40)[:, None] % 2 * np.ones(33, int) + (np.arange(33) == 32) > 0,
    "comb on its back": np.arange(40) % 2 + (np.arange(33) == 32)[:, None] > 0,
    "checkerboard": np.indices((20, 21)).sum(0) % 2 > 0,
    "spiral in a volume": np.stack([spiral(21, 19), np.zeros((21, 19), bool), spiral(21, 19)] * 3).transpose(1, 0, 2),
}


@pytest.mark.parametrize("name", WINDING)
@pytest.mark.parametrize("connectivity", ["faces", "full"])
def test_what_winds_through_all_slabs_is_followed_from_any_of_its_ends(name: str, connectivity: Connectivity) -> None:
    low = WINDING[name]
    places = np.argwhere(low)
    for at in (places[0], places[-1], places[len(places) // 2]):
        high = np.zeros(low.shape, np.bool_)
        high[tuple(at)] = True
        wanted = expected(low, high, connectivity)
        for slab in range(1, low.size + 1, 1 + low.size // 60):
            assert np.array_equal(hysteresis_mask(low, high, connectivity, slab=slab), wanted)


def run(source: Path, target: Path, rule: Hysteresis, low: str, high: str, **more: Any) -> Array:
    """The rule on a file, from a program."""
    kernels = more.pop("kernels", None)
    request = Request.of(
        rule=rule, command="hysteresis", thresholds={"low": parse(low), "high": parse(high)},
        specs={"low": low, "high": high}, names=Names(output=str(target)), **more,
    )  # fmt: skip
    result = Executor(request, kernels=kernels).run(request.names.jobs([str(source)]))
    assert result.status == "ok", result.files[0].error
    found: Array = np.load(target)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slab", [1, 3, 20, 1 << 19])
def test_the_command_is_scikit_image_from_one_axis_to_four(
    shape: tuple[int, ...], slab: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "SLAB", slab)
    x = image(shape)
    np.save(tmp_path / "x.npy", x)
    ran = thresh(
        "hysteresis", tmp_path / "x.npy", "--low", 0.45, "--high", 0.75, "--out-dtype", "bool",
        "-o", tmp_path / "y.npy", "--json",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    wanted = filters.apply_hysteresis_threshold(x, 0.45, 0.75)
    assert np.array_equal(np.load(tmp_path / "y.npy"), wanted)
    assert ran.tensor["selected"] == np.count_nonzero(wanted)
    assert ran.tensor["kept"] is None
    assert [used["value"] for used in ran.tensor["threshold"]] == [0.45, 0.75]
    ran = thresh(
        "hysteresis", tmp_path / "x.npy", "--low", 0.45, "--high", 0.75, "--connectivity", "full", "--above", 7,
        "--below", -2, "-o", tmp_path / "z.npy", "-q",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert np.array_equal(np.load(tmp_path / "z.npy"), np.where(expected(x > 0.45, x > 0.75, "full"), 7.0, -2.0))
    assert listed(tmp_path) == ["x.npy", "y.npy", "z.npy"]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("form", ["C", "F", "big-endian"])
@pytest.mark.parametrize("axes", [None, "0", "2,1", "0,-1"])
def test_axes_memory_workers_and_kernels(
    axes: str | None, form: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch keeps its images apart, whichever axis it is, however the file lies."""
    monkeypatch.setattr(labelling, "_ALONE", 0)
    x = image((5, 14, 9), 3).astype("f4")
    np.save(tmp_path / "x.npy", {"C": x, "F": np.asfortranarray(x), "big-endian": x.astype(">f4")}[form])
    spatial = None if axes is None else [int(axis) % 3 for axis in axes.split(",")]
    wanted = expected(x > np.float32(0.45), x > np.float32(0.7), "full", spatial)
    for number, (slab, jobs) in enumerate([(1, 1), (30, 3), (1 << 19, 2)]):
        monkeypatch.setattr(labelling, "SLAB", slab)
        found = run(
            tmp_path / "x.npy", tmp_path / f"{number}.npy", Hysteresis(connectivity="full"), "0.45", "0.7",
            axes=None if axes is None else Axes.parse(axes), jobs=jobs, kernels=("cpu", SETS[name]),
        )  # fmt: skip
        assert np.array_equal(found, wanted)


def test_thresholds_may_come_from_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map for each, one with another dtype and order; a percentile; one for each index along an axis."""
    monkeypatch.setattr(labelling, "SLAB", 11)
    x = image((12, 10), 5)
    low, high = np.full(x.shape, 0.4, "f4") + np.linspace(0, 0.2, 10, dtype="f4"), np.full(x.shape, 1)
    np.save("x.npy", x)
    np.save("low.npy", np.asfortranarray(low))
    np.save("one.npy", np.array([0.8]))
    ran = thresh(
        "hysteresis", "x.npy", "--low", "@low.npy", "--high", "@one.npy", "--broadcast", "-o", "a.npy", "--json"
    )
    assert ran.status == 0, ran.err
    assert np.array_equal(np.load("a.npy"), expected(x > low, x > 0.8))
    assert ran.tensor["threshold"][0]["min"] == pytest.approx(0.4)
    assert ran.tensor["threshold"][0]["max"] == pytest.approx(0.6)
    assert thresh("hysteresis", "x.npy", "--low", "p50", "--high", "p95", "-o", "b.npy", "-q").status == 0
    assert np.array_equal(np.load("b.npy"), expected(x > np.percentile(x, 50), x > np.percentile(x, 95)))
    scoped = ["--scope", "axis:1", "--low", "p50", "--high", "p95"]
    assert thresh("hysteresis", "x.npy", *scoped, "-o", "c.npy", "-q").status == 0
    assert np.array_equal(np.load("c.npy"), expected(x > np.percentile(x, 50, 0), x > np.percentile(x, 95, 0)))
    windows = ["--low", "local-mean:5", "--high", "0.95", "--at-most", "0.9"]
    assert thresh("hysteresis", "x.npy", *windows, "-o", "w.npy", "-q").status == 0
    around = np.minimum(ndimage.uniform_filter(x, 5), 0.9)
    assert np.array_equal(np.load("w.npy"), expected(x > around, x > 0.95))
    np.save("high.npy", high)
    assert thresh("hysteresis", "x.npy", "--low", "@low.npy", "--high", "@high.npy", "-o", "d.npy", "-q").status == 0
    assert not np.load("d.npy").any()
    high[3, 4] = 0
    np.save("high.npy", high)
    ran = thresh("hysteresis", "x.npy", "--low", "@low.npy", "--high", "@high.npy", "-o", "e.npy")
    refused(ran, 2, "--low is above --high at [3, 4]")
    assert not Path("e.npy").exists()


def test_nan_is_in_no_component_and_treated_as_asked(tmp_path: Path) -> None:
    x = np.array([0.6, np.nan, 0.6, 0.9, np.inf, 0.1, 0.6])
    np.save(tmp_path / "x.npy", x)
    for policy, middle in (("below", 0), ("above", 1), ("fill=3", 3), ("keep", np.nan)):
        arguments = ["--low", 0.5, "--high", 0.8, "--nan", policy, "-o", tmp_path / f"{policy}.npy", "-q"]
        assert thresh("hysteresis", tmp_path / "x.npy", *arguments).status == 0
        wanted = [0, middle, 1, 1, 1, 0, 0]
        assert np.array_equal(np.load(tmp_path / f"{policy}.npy"), wanted, equal_nan=True)


def test_several_tensors_of_any_size_in_any_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None but itself is connected to a 0-d tensor; an empty one has no components."""
    monkeypatch.setattr(labelling, "SLAB", 8)
    tensors = {
        "image": image((9, 8)).astype("f4"),
        "volume": (image((3, 4, 5)) * 250).astype("u1"),
        "empty": np.zeros((0, 3), "f4"),
        "one": np.array(300, "f4"),
        "other": np.array(0.6, "f4"),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, tmp_path / "x.pt")
    limits = {"image": ("0.5", "0.8"), "volume": ("130", "190"), "one": ("0.5", "200"), "other": ("0.5", "200")}
    for name, (low, high) in {**limits, "empty": ("0", "1")}.items():
        for extension in ("pt", "safetensors"):
            target = tmp_path / f"{name}.{extension}"
            common = ["--low", low, "--high", high, "-k", name, "-o", target, "-q"]
            assert thresh("hysteresis", tmp_path / f"x.{extension}", *common).status == 0
            read = load_file(target) if extension == "safetensors" else torch.load(target, weights_only=True)
            x = tensors[name]
            assert np.array_equal(np.asarray(read[name]), expected(x > np.float32(low), x > np.float32(high)))
            assert all(np.array_equal(np.asarray(read[other]), tensors[other]) for other in tensors if other != name)
    ran = thresh("hysteresis", tmp_path / "x.pt", "--low", 0.5, "--high", 0.8, "-o", tmp_path / "all.pt", "--json")
    assert [item["applied"] for item in ran.json["files"][0]["tensors"]] == [True] * 5


@pytest.mark.parametrize(("arguments", "said"), [
    ("hysteresis m.npy --low 0.3 -n", "--high is missing"),
    ("hysteresis m.npy --low 3 --high 2 -n", "--low is above --high"),
    ("hysteresis m.npy --low nan --high 2 -n", "a threshold cannot be NaN"),
    ("hysteresis z.npy --low 1 --high 2 -n", "complex128 has no order"),
    ("hysteresis m.npy --low 1 --high 2 --axes 2 -n", "has 2 axes, and --axes is 2"),
    ("hysteresis i.npy --low 1 --high 2 --above 0.5 -n", "not representable"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(arguments: str, said: str, folder: Path) -> None:
    refused(thresh(*arguments.split()), 2, said)
