"""How much of a tensor `hysteresis` holds at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_hysteresis import Array, expected, image, run
from threshcli.engine import labelling
from threshcli.rules.hysteresis import Hysteresis
from threshcli.sideways import runs
from threshcli.sideways.components import Connectivity, labelled
from threshcli.spec import Axes


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all slabs that are labelled."""
    sizes: list[int] = []

    def watched(layout: runs.Layout, low: Array, high: Array) -> Any:
        sizes.append(low.size)
        return labelled(layout, low, high)

    monkeypatch.setattr(labelling, "labelled", watched)
    return sizes


def test_a_slab_and_its_state_are_all_that_is_held(tmp_path: Path, seen: list[int]) -> None:
    """What is asked for at once does not grow with the file: reads, and writes of intermediate values."""
    for rows in (64, 640):
        np.save(tmp_path / f"{rows}.npy", image((rows, 1000)))
        run(tmp_path / f"{rows}.npy", tmp_path / f"{rows}-y.npy", Hysteresis(), "0.5", "0.8", max_memory=1 << 19)
    assert max(seen) * 80 <= 1 << 19


@pytest.mark.parametrize("shape", [(2, 20000), (2, 1, 9000, 3), (3, 170, 150)])
@pytest.mark.parametrize("connectivity", ["faces", "full"])
def test_planes_larger_than_the_memory_are_taken_across_the_longest_axis(
    shape: tuple[int, ...], connectivity: Connectivity, tmp_path: Path, seen: list[int]
) -> None:
    """Two lines of any length are many slabs, not one or two; the first axis may be one of a batch."""
    x = image(shape, 2)
    x[(0,) * len(shape)] = x[(-1,) * len(shape)] = 1
    np.save(tmp_path / "x.npy", x)
    rule = Hysteresis(connectivity=connectivity)
    for axes in (None, list(range(1, len(shape)))):
        told = None if axes is None else Axes(tuple(axes))
        found = run(
            tmp_path / "x.npy", tmp_path / f"{axes}.npy", rule, "0.45", "0.8", max_memory=1 << 19, jobs=2, axes=told
        )
        assert np.array_equal(found, expected(x > 0.45, x > 0.8, connectivity, axes))
    assert max(seen) * 80 <= 1 << 19
