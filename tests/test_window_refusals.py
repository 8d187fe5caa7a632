"""What is told of thresholds from windows, and what is refused of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.harness import listed, refused, thresh
from tests.windowed import close, data, done, made

filters: Any = pytest.importorskip("skimage.filters")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_reports_tell_the_extremes(folder: Path) -> None:
    """Or, before anything was read, what was asked for."""
    x = data(15, 16)
    np.save("x.npy", x)
    cut = filters.threshold_niblack(x, 5, 0.2)
    for arguments in (("binary", "-o", "y.npy"), ("solve",)):
        told = done(arguments[0], "x.npy", "-t", "niblack:5", *arguments[1:], "--json").tensor["threshold"]
        assert (told["spec"], told["value"]) == ("niblack:5", None)
        close(np.array([told["min"], told["max"]]), np.array([cut.min(), cut.max()]))
    assert f"{cut.min():.7g} .. {cut.max():.7g}" in done("solve", "x.npy", "-t", "niblack:5").out
    assert "(niblack:5)" in done("binary", "x.npy", "-t", "niblack:5", "-o", "z.npy").out
    assert "> niblack:5 " in done("binary", "x.npy", "-t", "niblack:5", "-n").out
    assert done("solve", "x.npy", "-t", "niblack:5", "-o", "map.npy", "-q").out == ""
    save_file({"a": torch.from_numpy(x)}, "x.safetensors")
    done("binary", "x.safetensors", "-t", "local-mean:5", "--axes", "1", "-o", "y.safetensors")
    assert b'\\"threshold\\": \\"local-mean:5\\"' in Path("y.safetensors").read_bytes()
    assert b'\\"axes\\": \\"1\\"' in Path("y.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("binary x.npy -t local-mean:4 -o o.npy", "even size"),
        ("binary x.npy -t local-mean:0 -o o.npy", "even size"),
        ("binary x.npy -t local-median:20001 -o o.npy", "medians are taken of 1,048,576 at most"),
        ("binary x.npy -t local-mean -o o.npy", "has no window"),
        ("binary x.npy -t niblack:x -o o.npy", "has no window"),
        ("binary x.npy -t niblack:3,y -o o.npy", "k of"),
        ("binary x.npy -t niblack:3,inf -o o.npy", "not finite"),
        ("binary x.npy -t niblack:3,0.2,R=2 -o o.npy", "k of"),
        ("binary x.npy -t sauvola:3 -o o.npy", "needs R for float64"),
        ("binary x.npy -t sauvola:3,0.2,0.3 -o o.npy", "too many options"),
        ("binary x.npy -t sauvola:3,R=0 -o o.npy", "not above 0"),
        ("binary x.npy -t sauvola:3,R=x -o o.npy", "R of"),
        ("binary x.npy -t local-mean:3x3x3 -o o.npy", "3 window sizes for 2 axes"),
        ("binary x.npy -t local-mean:3x3 --axes 1 -o o.npy", "2 window sizes for 1 axes"),
        ("binary x.npy -t local-mean:3 --axes 2 -o o.npy", "has 2 axes"),
        ("binary x.npy -t local-mean:3 --scope axis:0 -o o.npy", "no --scope axis:0"),
        ("binary x.npy -t local-mean:3 --scope global -o o.npy", "no --scope global"),
        ("binary x.npy -t @r.json -o o.npy", "each element had its own"),
        ("solve x.npy -t local-mean:3 -q", "one threshold for each element"),
        ("hist x.npy -t local-mean:3", "cut by one"),
        ("sweep x.npy -t local-mean:3", "cannot try local-mean:3"),
    ],
)
def test_what_makes_no_sense_is_refused(words: str, said: str, folder: Path) -> None:
    np.save("x.npy", data(5, 6))
    Path("r.json").write_text(thresh("solve", "x.npy", "-t", "niblack:3", "--json").out)
    refused(thresh(*words.split()), 2, said)
    assert listed(folder) == ["r.json", "x.npy"]


def test_squares_beyond_float64_are_refused(folder: Path) -> None:
    np.save("x.npy", data(5, 6) * 1e200)
    refused(thresh("binary", "x.npy", "-t", "niblack:3", "-o", "o.npy"), 4, "beyond what float64 holds")


def test_damaged_bytes_are_noticed_where_nobody_else_reads_them(folder: Path) -> None:
    """A checkpoint stores checksums."""
    torch.save({"a": torch.from_numpy(data(30, 31))}, "x.pt")
    raw = bytearray(Path("x.pt").read_bytes())
    place = raw.find(data(30, 31)[20].tobytes())
    raw[place] ^= 1
    Path("x.pt").write_bytes(bytes(raw))
    for arguments in (("solve",), ("binary", "-o", "o.pt")):
        refused(thresh(arguments[0], "x.pt", "-t", "local-mean:3", *arguments[1:]), 4, "damaged")


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (1, 1)])
def test_small_tensors_have_maps_too(shape: tuple[int, ...], folder: Path) -> None:
    """A scalar is its own window; without elements there is nothing to do."""
    np.save("x.npy", np.full(shape, 2.5))
    np.testing.assert_allclose(made("local-gaussian:3"), np.full(shape, 2.5), rtol=1e-15, strict=True)
    assert done("solve", "x.npy", "-t", "niblack:3").status == 0
