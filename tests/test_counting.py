"""What is counted of a decision: elements that have a value that it writes stay what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import thresh

_LARGE = 2**53
VALUES: dict[str, list[Any]] = {
    "float32": [-2.5, -1.0, 0.0, 0.5, 1.0, 3.0],
    "float64": [-np.inf, -1.0, 0.5, 1.0, np.inf],
    "int64": [-_LARGE - 1, -1, 0, 1, _LARGE, _LARGE + 1],
    "uint8": [1, 2, 3, 255],
    "bool": [0, 1],
}


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("above", ["-1", "1", "0.5", "3", "inf", str(_LARGE), str(_LARGE + 1)])
@pytest.mark.parametrize("out", ["same", "float64", "int64"])
def test_values_that_a_decision_writes_anyway_are_counted(dtype: str, above: str, out: str, tmp_path: Path) -> None:
    """Be they the least, the largest, between these, or beyond."""
    data = np.array(VALUES[dtype] * 3, dtype)
    for number, part in enumerate((data, data[1:2], data[1:5], data[2:3])):
        np.save(tmp_path / f"{number}.npy", part)
        words = ["-t", "0.75", "--above", above, "--below", "1", *([] if out == "same" else ["--out-dtype", out])]
        ran = thresh("binary", tmp_path / f"{number}.npy", *words, "-o", tmp_path / f"{number}-out.npy", "--json")
        if ran.status == 2:  # the output cannot hold it
            return
        made = np.load(tmp_path / f"{number}-out.npy")
        pairs = zip(part.tolist(), made.tolist(), strict=True)
        assert ran.tensor["changed"] == sum(before != after for before, after in pairs)
