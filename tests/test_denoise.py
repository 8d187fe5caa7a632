"""Signals denoised with thresholds that were worked out from them, against PyWavelets given the same number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.harness import thresh

pywt = pytest.importorskip("pywt")
Signal = npt.NDArray[np.float64]


def signal() -> Signal:
    """Wavelet coefficients of a noisy step and a sine: few large, many small."""
    random = np.random.default_rng(8)
    clean = np.where(np.arange(1024) < 400, 3.0, -1.0) + np.sin(np.arange(1024) / 40)
    coefficients = pywt.wavedec(clean + 0.2 * random.standard_normal(1024), "db4", level=4)
    return np.concatenate(coefficients[1:])


def universal(x: Signal) -> float:
    return float(np.median(np.abs(x)) / 0.6745 * math.sqrt(2 * math.log(x.size)))


def bayes(x: Signal) -> float:
    noise = (np.median(np.abs(x)) / 0.6745) ** 2
    return float(noise / math.sqrt(np.mean(x * x) - noise))


def three_deviations(x: Signal) -> float:
    return float(3 * 1.4826 * np.median(np.abs(x - np.median(x))))


def two_sigma(x: Signal) -> float:
    return float(2 * np.std(x))


FORMULAS: dict[str, Callable[[Signal], float]] = {
    "universal": universal,
    "bayes": bayes,
    "3mad": three_deviations,
    "2sigma": two_sigma,
}


@pytest.mark.parametrize("spec", FORMULAS)
def test_a_threshold_is_that_of_its_formula(spec: str, tmp_path: Path) -> None:
    x = signal()
    np.save(tmp_path / "x.npy", x)
    told = float(thresh("solve", tmp_path / "x.npy", "-t", spec, "--magnitude", "-q").out)
    assert told == pytest.approx(FORMULAS[spec](x), rel=1e-14)


@pytest.mark.parametrize("spec", FORMULAS)
def test_a_denoised_signal_is_that_of_pywavelets(spec: str, tmp_path: Path) -> None:
    """Hard thresholding, which keeps the element at the cut; float32 compares with the number rounded to float32."""
    for kind in (np.float64, np.float32):
        x = signal().astype(kind)
        source, target = tmp_path / f"{kind.__name__}.npy", tmp_path / f"{kind.__name__}-out.npy"
        np.save(source, x)
        ran = thresh("hard", source, "-t", spec, "-o", target, "--json")
        value = ran.tensor["threshold"]["value"]
        expected = pywt.threshold(x, kind(value), "hard")
        assert np.load(target).tobytes() == expected.astype(kind).tobytes()
        assert 0 < np.count_nonzero(expected) < x.size / 2
