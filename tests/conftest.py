"""Fixtures that several tests share, and how examples are drawn."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.harness import compile_package

# Where a run decides whether a change is taken, it tries the same examples each time, so that only a change can make it
# fail; everywhere else new ones are drawn. None has to be quick: a busy machine is no fault.
settings.register_profile("usual", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "usual")


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package first; of several workers one does."""
    if not hasattr(config, "workerinput"):
        compile_package()


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
