"""Thresholds and numbers that are worked out from complex elements: from their magnitudes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.harness import refused, thresh
from tests.pairs import COMPLEX, done, magnitudes_of, noise
from threshcli.dtypes import DTYPES

Array = npt.NDArray[Any]
C64, C128 = DTYPES["complex64"], DTYPES["complex128"]
every_dtype = pytest.mark.parametrize("dtype", COMPLEX, ids=str)


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
@pytest.mark.parametrize("spec", ["p90", "p33.3", "top100", "top10%", "zero40%", "energy90%", "otsu", "mean", "median",
                                  "universal", "bayes", "li", "local-mean:5"])  # fmt: skip
def test_thresholds_are_worked_out_from_magnitudes(spec: str, kind: str, tmp_path: Path) -> None:
    """What is kept of x is what is kept of the real array of its magnitudes."""
    x = noise(kind)
    sizes = magnitudes_of(x.reshape(-1), DTYPES[kind]).reshape(x.shape)
    wanted, found = done("gradient", sizes, tmp_path, "-t", spec), done("gradient", x, tmp_path, "-t", spec)
    assert np.array_equal(wanted != 0, found != 0)
    if spec == "p90":
        told = thresh("solve", tmp_path / "x.npy", "-t", spec, "--magnitude", "-q")
        usable = np.sort(np.abs(x[~np.isnan(x)])).astype(np.float64)
        assert float(told.out) == pytest.approx(np.percentile(usable, 90), rel=3e-7)


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_a_deviation_is_that_of_x_itself(kind: str, tmp_path: Path) -> None:
    """As numpy.std of complex x; elements with a part that is not finite are left out."""
    x = noise(kind) + np.array(3 - 2j, kind)
    x[5, 5], x[6, 6] = complex(1, np.nan), complex(-np.inf, 2)
    np.save(tmp_path / "x.npy", x)
    finite = x[np.isfinite(x)].astype(np.complex128)
    told = thresh("solve", tmp_path / "x.npy", "-t", "2sigma", "--magnitude", "--json").tensor
    assert told["threshold"]["value"] == pytest.approx(2 * finite.std(), rel=1e-6)
    assert (told["threshold"]["usable"], told["threshold"]["unusable"]) == (finite.size, x.size - finite.size)
    spread = thresh("solve", tmp_path / "x.npy", "-t", "1sigma", "--magnitude", "--scope", "axis:1", "--json").tensor
    assert spread["threshold"]["values"][0] == pytest.approx(x[:, 0].astype(np.complex128).std(), rel=1e-6)


def test_one_threshold_may_serve_real_and_complex_tensors(tmp_path: Path) -> None:
    x = noise("complex64")
    torch.save({"z": torch.from_numpy(x), "r": torch.arange(100.0) / 30}, tmp_path / "x.pt")
    ran = thresh("gradient", tmp_path / "x.pt", "-t", "top50", "--scope", "global", "-o", tmp_path / "y.pt", "-q")
    assert ran.status == 0, ran.err
    found = torch.load(tmp_path / "y.pt")
    assert sum(int((y.nan_to_num(0) != 0).sum()) for y in found.values()) == 50
    ran = thresh("soft", tmp_path / "x.pt", "-t", "2sigma", "--scope", "global", "-o", tmp_path / "z.pt")
    refused(ran, 4, "has no 2sigma: complex64 and float32 are not of one type", "--scope tensor")


def test_what_looks_at_elements_looks_at_magnitudes_when_asked(tmp_path: Path) -> None:
    x = noise("complex64")
    np.save(tmp_path / "x.npy", x)
    sizes = np.abs(x[np.isfinite(x)]).astype(np.float64)
    told = thresh("stats", tmp_path / "x.npy", "--magnitude", "--json").tensor
    assert told["mean"] == pytest.approx(sizes.mean())
    assert told["norm2"] == pytest.approx(np.linalg.norm(sizes))
    assert (told["nan"], told["inf"], told["zeros"]) == (1, 1, np.count_nonzero(x == 0))
    counted = thresh("hist", tmp_path / "x.npy", "--magnitude", "-t", "1", "--json").tensor
    assert sum(counted["counts"]) == sizes.size
    assert counted["kept"] == np.count_nonzero(sizes > 1) + 1
    swept = thresh("sweep", tmp_path / "x.npy", "--magnitude", "-t", "1,2sigma,3mad", "--json").tensor["rows"]
    assert swept[0]["kept"] == counted["kept"]
    assert swept[1]["value"] == pytest.approx(2 * x[np.isfinite(x)].std(), rel=1e-6)
    assert swept[2]["reason"] == "has no 3mad: complex64 has no order"
    assert thresh("stats", tmp_path / "x.npy").out.count("complex64 has no order; --magnitude looks at abs(x)") == 1


def test_a_map_of_thresholds_is_real(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", noise("complex128"))
    ran = thresh("solve", tmp_path / "x.npy", "-t", "1.5", "--magnitude", "-o", tmp_path / "t.npy", "-q")
    assert ran.status == 0, ran.err
    assert np.array_equal(np.load(tmp_path / "t.npy"), np.full((60, 50), 1.5))
