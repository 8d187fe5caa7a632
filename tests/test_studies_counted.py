"""Counts between edges: states add up in any order, and agree with NumPy's histograms."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.studying import Runner, stored
from threshcli.dtypes import DTYPES
from threshcli.studies.base import VALUE
from threshcli.studies.counted import Ties, edges, extent, limits, reaching, rows_of


@given(
    st.lists(st.floats(width=32), max_size=60),
    st.integers(1, 9),
    st.integers(1, 6),
    st.floats(width=32, allow_nan=False) | st.none(),
)
def test_counts_do_not_depend_on_stretches(values: list[float], count: int, longest: int, tie: float | None) -> None:
    """States add up in any order; an element that is NaN is nowhere."""
    dtype, data = DTYPES["float32"], np.array(values, "f4")
    looked = Runner(longest)(extent(VALUE), data, dtype)
    finite = data[np.isfinite(data)]
    assert (looked.nan, looked.inf) == (int(np.isnan(data).sum()), int(np.isinf(data).sum()))
    assert (looked.low, looked.high) == ((finite.min(), finite.max()) if finite.size else (None, None))
    if looked.low is None or looked.high is None:
        return
    found = edges(looked.low, looked.high, count)
    ties = None if tie is None else Ties(tie, len(values) // 2)
    reached, tied = Runner(longest)(reaching(VALUE, limits(found, dtype), ties), data, dtype)
    if len(found) == 2:
        assert rows_of(reached) == (finite.size,)
    else:
        assert list(rows_of(reached)) == np.histogram(finite.astype(float), found)[0].tolist()
    assert tied == (0 if tie is None else sum(value == tie for value in values[: len(values) // 2]))


def test_a_mask_leaves_elements_out() -> None:
    """Of ties as well."""
    dtype = DTYPES["uint8"]
    data, mask = stored([1, 2, 2, 2, 9], dtype), np.array([True, False, True, True, True])
    assert Runner(2)(reaching(VALUE, (2, 3, None), Ties(2, 3)), data, dtype, mask) == ([3, 1, 0], 1)
