"""Thresholds from a window around each element, from files: what rules make of them, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.harness import listed, refused, thresh
from tests.windowed import close, data, done, made
from threshcli.engine.copies import possible

filters: Any = pytest.importorskip("skimage.filters")

Array = npt.NDArray[Any]
SPECS: dict[str, Callable[[Array], Array]] = {
    "local-mean:5": lambda x: filters.threshold_local(x, 5, "mean"),
    "local-gaussian:7": lambda x: filters.threshold_local(x, 7, "gaussian"),
    "local-median:3": lambda x: filters.threshold_local(x, 3, "median"),
    "niblack:5": lambda x: filters.threshold_niblack(x, 5, 0.2),
    "niblack:5,-0.3": lambda x: filters.threshold_niblack(x, 5, -0.3),
    "sauvola:5,0.1,R=2": lambda x: filters.threshold_sauvola(x, 5, 0.1, 2),
    "sauvola:7,R=auto": lambda x: filters.threshold_sauvola(x, 7, 0.2, (x.max() - x.min()) / 2),
}
each_spec = pytest.mark.parametrize("spec", SPECS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each_spec
def test_solve_writes_the_map_that_scikit_image_has(spec: str, folder: Path) -> None:
    """From C and Fortran order, of little and big endian, in one axis to three."""
    for x in (data(40), data(23, 31), data(9, 11, 8)):
        wanted = SPECS[spec](x)
        for stored in (x, np.asfortranarray(x), x.astype(">f8"), x.astype("<f4"), x.astype(np.float16)):
            np.save("x.npy", stored)
            close(made(spec), wanted)
    assert listed(folder) == ["map.npy", "x.npy"]


@each_spec
def test_tensors_of_any_container_have_maps_of_their_own(spec: str, folder: Path) -> None:
    """Strided views of a checkpoint, and bfloat16."""
    a, b = (torch.from_numpy(data(12, 14, seed=seed)) for seed in (1, 2))
    torch.save({"a": a, "b": b.t(), "c": a[::2, 1:9]}, "x.pt")
    done("solve", "x.pt", "-t", spec, "-o", "map.pt")
    for name, tensor in torch.load("map.pt", weights_only=True).items():
        whole = {"a": a, "b": b.t(), "c": a[::2, 1:9]}[name]
        close(tensor.numpy(), SPECS[spec](whole.contiguous().numpy()))
    save_file({"a": a.bfloat16(), "b": b.float()}, "x.safetensors")
    done("solve", "x.safetensors", "-t", spec, "-o", "map.pt", "--overwrite")
    found = torch.load("map.pt", weights_only=True)
    close(found["a"].numpy(), SPECS[spec](a.bfloat16().double().numpy()))
    close(found["b"].numpy(), SPECS[spec](b.numpy()))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "bool"])
def test_sauvola_of_integers_has_half_of_their_range(dtype: str, folder: Path) -> None:
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 99, (20, 21)).astype(dtype)
    np.save("x.npy", x)
    close(made("sauvola:5,0.3"), filters.threshold_sauvola(x, 5, 0.3))


@each_spec
def test_every_rule_compares_with_them(spec: str, folder: Path) -> None:
    """In each of its slots; `gradient` with those of the magnitudes."""
    x = data(20, 22)
    np.save("x.npy", x)
    cut, upper = SPECS[spec](x), SPECS["local-mean:5"](x) + 2
    size = SPECS[spec](abs(x))
    high = ("--high", "@upper.npy")
    np.save("upper.npy", np.maximum(upper, made(spec)))
    upper = np.load("upper.npy")
    near = abs(abs(x) - size) < 1e-9, abs(x - cut) < 1e-9  # where rounding decides, nothing is said here
    expected = {
        ("binary", "-t", spec): (x > cut).astype(float),
        ("variable", "-t", spec, "--compare", "le"): np.where(x <= cut, x, 0),
        ("replace", "-t", spec, "--value", "-1"): np.where(x > cut, x, -1),
        ("clamp", "--low", spec, *high): np.clip(x, cut, upper),
        ("band", "--low", spec, *high): np.where((x >= cut) & (x <= upper), x, 0),
        ("levels", "-t", f"{spec},@upper.npy", "--out-dtype", "float64"): (x > cut) + 1.0 * (x > upper),
        ("gradient", "-t", spec): np.where(abs(x) > size, x, 0),
        ("hard", "-t", spec): np.where(abs(x) >= size, x, 0),
        ("soft", "-t", spec): np.sign(x) * np.maximum(abs(x) - size, 0),
    }
    for arguments, wanted in expected.items():
        if "@upper.npy" in " ".join(arguments) and (upper < cut - 1e-9).any():
            continue
        done(arguments[0], "x.npy", *arguments[1:], "-o", "y.npy", "--overwrite")
        sure = ~near[0] if arguments[0] in ("gradient", "hard") else ~near[1]
        close(np.load("y.npy")[sure], wanted[sure])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spec=st.sampled_from([*SPECS, "niblack:9x3", "local-gaussian:1x5"]),
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    memory=st.sampled_from(["1", "64KiB", "300KiB"]),
    jobs=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.001, 0.3]),
)
def test_memory_and_workers_change_no_bit(
    spec: str, shape: tuple[int, int], memory: str, jobs: int, share: float, folder: Path
) -> None:
    """Of boxes of a thousand elements, one after the other, or of all of them at once."""
    chance = np.random.default_rng(shape)
    x = chance.normal(3, 2, shape)
    x[chance.random(shape) < share] = np.nan
    if np.isnan(x).all():
        x[0, 0] = 1
    np.save("x.npy", x)
    whole = made(spec, "x.npy", "-j", "1", "--max-memory", "1GiB")
    assert made(spec, "x.npy", "-j", str(jobs), "--max-memory", memory).tobytes() == whole.tobytes()


@pytest.mark.skipif(not possible(), reason="this system cannot copy processes")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_that_are_processes_change_no_bit(folder: Path) -> None:
    """Of a file that is large enough for them; their errors are told as any."""
    x = np.random.default_rng(4).normal(3, 2, (700, 800)).astype(np.float32)
    np.save("x.npy", x)
    for spec in ("niblack:15,0.3", "local-median:3"):
        done("solve", "x.npy", "-t", spec, "-o", "one.npy", "-j", "1", "--overwrite")
        done("variable", "x.npy", "-t", "@one.npy", "-o", "y.npy", "--overwrite")
        told = done("variable", "x.npy", "-t", spec, "-o", "z.npy", "-j", "3", "--json", "--overwrite", alone=True)
        assert Path("y.npy").read_bytes() == Path("z.npy").read_bytes()
        low, high = (told.tensor["threshold"][name] for name in ("min", "max"))
        assert (low, high) == (np.load("one.npy").min(), np.load("one.npy").max())
    ran = thresh("gradient", "x.npy", "-t", "niblack:15,9", "-o", "e.npy", "-j", "3", alone=True)
    refused(ran, 2, "niblack:15,9 is negative somewhere")


@each_spec
def test_axes_keep_the_images_of_a_batch_apart(spec: str, folder: Path) -> None:
    """Whichever axes they are; a window may have a size for each of those named."""
    x = data(3, 12, 13)
    for axes, moved in (("1,2", x), ("-2,-1", x), ("0,2", x.swapaxes(0, 1)), ("0,1", np.moveaxis(x, 0, 2))):
        np.save("x.npy", moved)
        found = made(spec.replace("R=auto", "R=3"), "x.npy", "--axes", axes)
        back = (
            found if axes in ("1,2", "-2,-1") else found.swapaxes(0, 1) if axes == "0,2" else np.moveaxis(found, 2, 0)
        )
        for image, own in zip(x, back, strict=True):
            spread = 3 if "auto" in spec else None
            wanted = SPECS[spec](image) if spread is None else filters.threshold_sauvola(image, 7, 0.2, spread)
            close(own, wanted)
    np.save("x.npy", x)
    close(made("niblack:3x5", "x.npy", "--axes", "2,1")[0], filters.threshold_niblack(x[0], (5, 3), 0.2))


def test_what_cannot_be_used_leaves_windows_and_where_nothing_is_left_nothing_is_selected(folder: Path) -> None:
    """An element without a threshold is not above it, nor inside or outside of a band, and nothing limits it."""
    x = data(30)
    x[5:20] = np.nan
    x[12] = 7
    x[24] = np.inf
    np.save("x.npy", x)
    usable = np.isfinite(x)
    near = [usable[max(0, place - 1) : place + 2] for place in range(30)]
    means = [x[max(0, place - 1) : place + 2][held] for place, held in enumerate(near)]
    known = np.array([mean.mean() if mean.size else np.nan for mean in means])
    found = made("local-mean:3")
    inner = slice(1, 29)  # at the ends the edge counts twice
    np.testing.assert_allclose(found[inner], known[inner], rtol=1e-12)
    assert np.isnan(found).sum() == np.isnan(known).sum() == 10
    y = np.where(np.arange(30) % 2 == 0, x, 5.0)
    y[6:12] = 5.0  # numbers around which nothing can be used, but for themselves
    np.save("m.npy", np.where((np.arange(30) >= 6) & (np.arange(30) < 12), 0, 1))
    np.save("y.npy", y)
    only = ("--estimate-mask", "m.npy", "-o", "o.npy", "--overwrite")
    ends = (("band", "--high", "1e9", "--low"), ("firm", "--high", "1e9", "--low"))
    for arguments in (*((rule, "-t") for rule in ("binary", "variable", "hard", "soft", "garrote", "levels")), *ends):
        done(arguments[0], "y.npy", *arguments[1:], "local-mean:3", *only)
        assert (np.load("o.npy")[7:11] == 0).all()
    done("band", "y.npy", "--outside", "--low", "local-mean:3", "--high", "1e9", *only)
    assert (np.load("o.npy")[7:11] == 0).all()
    done("clamp", "y.npy", "--low", "local-mean:3", *only)
    assert (np.load("o.npy")[7:11] == 5).all()


def test_zeros_and_what_a_mask_leaves_out_leave_windows(folder: Path) -> None:
    x = np.array([[0, 4, 8, 0, 2]], np.int16)
    np.save("x.npy", x)
    np.save("m.npy", np.array([[1, 1, 0, 0, 1]]))
    assert made("local-mean:1x3", "x.npy", "--ignore-zero").tolist() == [[4, 6, 6, 5, 2]]
    assert made("local-mean:1x3", "x.npy", "--estimate-mask", "m.npy").tolist()[0] == [4 / 3, 2, 4, 2, 2]


def test_a_pipe_is_read_once_and_a_file_is_replaced_by_what_it_gave(folder: Path) -> None:
    """The map is that of the file as it was, and nothing is left of it."""
    x = data(40, 41)
    wanted = np.where(x > SPECS["niblack:5"](x), x, 0)
    np.save("x.npy", x)
    os.mkfifo("pipe")
    writer = Thread(target=Path("pipe").write_bytes, args=[Path("x.npy").read_bytes()])
    writer.start()
    done("variable", "pipe", "-t", "niblack:5", "-o", "y.npy")
    writer.join()
    done("variable", "x.npy", "-t", "niblack:5", "--in-place")
    close(np.load("y.npy"), wanted)
    close(np.load("x.npy"), wanted)
    assert listed(folder) == ["pipe", "x.npy", "y.npy"]


def test_modifiers_change_the_map(folder: Path) -> None:
    """In the order in which they change a number."""
    x = data(15, 16)
    np.save("x.npy", x)
    found = made("local-mean:3", "x.npy", "--scale", "2", "--offset", "-1", "--at-least", "3", "--at-most", "7")
    close(found, np.clip(SPECS["local-mean:5"](x) * 0 + filters.threshold_local(x, 3, "mean") * 2 - 1, 3, 7))
    x -= 10
    np.save("x.npy", x)
    asked = ("gradient", "x.npy", "-t", "niblack:3,30", "-o", "y.npy")
    refused(thresh(*asked), 2, "niblack:3,30 is negative somewhere, and magnitudes never are")
    assert done(*asked, "--at-least", "0").status == 0
