"""Shrinkage rules against PyWavelets, on the inputs of its own tests and on noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.shrinking import Array, done

pywt = pytest.importorskip("pywt")


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_soft_and_garrote_are_those_of_pywavelets(kind: type, tmp_path: Path) -> None:
    """On the inputs of its own tests, and on noise; its formula of soft, x * (1 - T / abs(x)), rounds elsewhere."""
    close = 1e-14 if kind is np.float64 else 2e-6
    ramp, line = np.linspace(1, 4, 7), np.linspace(-1, 1, 100)
    noise = np.random.default_rng(3).standard_normal(5000)
    inputs = [(ramp, 2), (-ramp, 2), (np.array([[1.0, 2]] * 2), 1), (np.array([[1.0, 2]] * 2), 2), (np.zeros(16), 2),
              (line, 0.3), (noise, 0.7), (noise, 0)]  # fmt: skip
    for rule in ("soft", "garrote"):
        for data, cut in inputs:
            x: Array = data.astype(kind)
            found = done(rule, x, tmp_path, "-t", cut)
            assert found.dtype == x.dtype
            with np.errstate(invalid="ignore"):  # 0 / 0 is what it does not care about
                wanted = np.nan_to_num(pywt.threshold(x, cut, rule))
            np.testing.assert_allclose(found, wanted, rtol=1e3 * close, atol=close)
    assert done("soft", ramp, tmp_path, "-t", 2).tolist() == [0, 0, 0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_firm_is_that_of_pywavelets(kind: type, tmp_path: Path) -> None:
    """On the input of its own test, and on noise."""
    close = 1e-14 if kind is np.float64 else 1e-6
    noise = np.random.default_rng(4).standard_normal(5000)
    for data, low, high in ((np.linspace(-1, 1, 100), 0.2, 0.6), (noise, 0.5, 2.5), (noise, 0, 1)):
        x: Array = data.astype(kind)
        found = done("firm", x, tmp_path, "--low", low, "--high", high)
        np.testing.assert_allclose(found, pywt.threshold_firm(x, low, high), rtol=close, atol=close)
        large = np.abs(x) > kind(high)
        assert found[large].tobytes() == x[large].tobytes()
