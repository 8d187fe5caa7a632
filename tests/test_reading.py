"""Gathering strided elements from a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from threshcli.engine import reading
from threshcli.engine.reading import read_elements
from threshcli.tiles import View


class Memory:
    """A file in memory that notes how much is asked for at once."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.longest = 0

    def read_into(self, offset: int, buffer: memoryview) -> None:
        assert 0 <= offset <= offset + len(buffer) <= len(self._content)
        buffer[:] = self._content[offset : offset + len(buffer)]
        self.longest = max(self.longest, len(buffer))


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_view_is_read_as_numpy_sees_it(data: st.DataObject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transposed, sliced, broadcast views; any range of elements; limits so small that every way is taken."""
    for name, most in (("_NEAR", 32), ("_STRETCH", 64), ("_STAGE", 256)):
        monkeypatch.setattr(reading, name, data.draw(st.sampled_from([most, 1 << 20])))
    itemsize = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    order = data.draw(st.permutations(range(len(shape))))
    strides, step = [0] * len(shape), data.draw(st.integers(1, 3))
    for axis in order:
        strides[axis] = 0 if data.draw(st.integers(0, 9)) == 0 else step
        step *= shape[axis] + data.draw(st.integers(0, 2))
    offset = data.draw(st.integers(0, 20))
    view = View(offset, shape, tuple(strides), itemsize)
    last = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    content = np.random.default_rng(0).integers(0, 256, offset + (last + 1) * itemsize, dtype=np.uint8)
    start = data.draw(st.integers(0, view.elements))
    stop = data.draw(st.integers(start, view.elements))
    buffer = bytearray((stop - start) * itemsize)
    read_elements(Memory(content.tobytes()), view, start, stop, memoryview(buffer))
    seen: Any = np.lib.stride_tricks.as_strided(
        content[offset:], (*shape, itemsize), (*(stride * itemsize for stride in strides), 1)
    )
    assert bytes(buffer) == seen.reshape(-1, itemsize)[start:stop].tobytes()


def test_gathering_reads_no_more_at_once_than_it_may() -> None:
    """A column of a large matrix does not need the matrix in memory."""
    rows, columns = 3000, 500
    content = np.arange(rows * columns, dtype=np.uint32)
    file = Memory(content.tobytes())
    buffer = bytearray(rows * 4)
    read_elements(file, View(8, (rows,), (columns,), 4), 0, rows, memoryview(buffer))
    np.testing.assert_array_equal(np.frombuffer(buffer, np.uint32), content.reshape(rows, columns)[:, 2])
    assert file.longest <= 1 << 20
