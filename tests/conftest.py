"""Fixtures that several tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a few inputs."""
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", np.array([-1, 0, 1, 2, 3.0], "f4"))
    np.save("i.npy", np.array([-1, 0, 1, 2, 3], "i4"))
    np.save("m.npy", np.arange(1, 10.0).reshape(3, 3))
    np.save("nan.npy", np.array([1, np.nan, 3]))
    np.save("z.npy", np.array([1 + 1j]))
    return tmp_path
