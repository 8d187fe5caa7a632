"""A tensor is cut into tiles and boxes without a gap, and a view finds its elements where NumPy does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import shapes
from threshcli.tiles import LEAF, Box, Tile, View, boxes, ordered_strides, row_major, tile_elements, tiles


@given(st.integers(0, 1 << 40), st.sampled_from([1, 2, 4, 8, 16]))
def test_a_tile_is_a_multiple_of_leaves(tile_bytes: int, itemsize: int) -> None:
    """One leaf at least; not more bytes than asked for, unless that is less than a leaf."""
    size = tile_elements(tile_bytes, itemsize)
    assert size % LEAF == 0
    assert size == LEAF or size * itemsize <= tile_bytes
    assert (size + LEAF) * itemsize > tile_bytes


@given(st.integers(0, 40 * LEAF), st.integers(1, 12))
def test_tiles_cover_a_tensor_in_order(elements: int, leaves: int) -> None:
    """Each begins at a multiple of the tile's size, none is empty."""
    found = list(tiles(elements, leaves * LEAF))
    assert all(tile.start % (leaves * LEAF) == 0 and tile.count > 0 for tile in found)
    ends = [0, *(tile.stop for tile in found)]
    assert [tile.start for tile in found] == ends[:-1]
    assert ends[-1] == elements
    assert all(tile.count == leaves * LEAF for tile in found[:-1])


def test_an_empty_tensor_has_no_tiles() -> None:
    """And a tile knows its count."""
    assert list(tiles(0, LEAF)) == []
    assert Tile(3, 5).count == 2


def _elements(box: Box, shape: Sequence[int]) -> list[int]:
    """The positions of a box's elements in a C-ordered tensor of this shape, in the box's order."""
    axes = (range(first, first + many) for first, many in zip(box.first, box.extent, strict=True))
    return [_position(index, shape) for index in itertools.product(*axes)]


def _position(index: Sequence[int], shape: Sequence[int]) -> int:
    position = 0
    for one, length in zip(index, shape, strict=True):
        assert 0 <= one < length
        position = position * length + one
    return position


@given(shapes, st.data())
def test_boxes_cover_just_the_elements_asked_for(shape: tuple[int, ...], data: st.DataObject) -> None:
    """In order, and in at most 2 * rank - 1 boxes."""
    elements = math.prod(shape)
    start = data.draw(st.integers(0, elements))
    stop = data.draw(st.integers(start, elements))
    found = list(boxes(shape, start, stop))
    assert [position for box in found for position in _elements(box, shape)] == list(range(start, stop))
    assert sum(box.count for box in found) == stop - start
    assert len(found) <= max(1, 2 * len(shape) - 1)


def test_a_whole_tensor_is_one_box() -> None:
    """Of whatever rank; an empty one has none."""
    assert list(boxes((3, 4), 0, 12)) == [Box((0, 0), (3, 4))]
    assert list(boxes((), 0, 1)) == [Box((), ())]
    assert list(boxes((0, 4), 0, 0)) == []
    assert list(boxes((2, 0, 3), 0, 0)) == []


def test_boxes_of_a_large_tensor_are_found_without_walking_it() -> None:
    """Head, body and tail along each axis."""
    found = list(boxes((1 << 20, 1 << 20, 1 << 20), 5, (1 << 60) - 5))
    assert len(found) == 5
    assert sum(box.count for box in found) == (1 << 60) - 10


@st.composite
def views(draw: st.DrawFn) -> View:
    """Dense, permuted, strided, expanded and empty views."""
    shape = draw(shapes)
    order = tuple(draw(st.permutations(range(len(shape)))))
    strides = list(ordered_strides(shape, order))
    for axis in range(len(shape)):
        strides[axis] = draw(st.sampled_from([strides[axis]] * 4 + [0, 2 * strides[axis], strides[axis] + 1]))
    return View(draw(st.integers(0, 3)) * 8, shape, tuple(strides), draw(st.sampled_from([1, 2, 4, 8])))


def _places(view: View) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """For each element of a view its place in the file, in elements from the first, by NumPy's strides."""
    reach = sum(max(length - 1, 0) * stride for length, stride in zip(view.shape, view.strides, strict=True))
    memory = np.arange(reach + 1, dtype=np.int64)
    return np.lib.stride_tricks.as_strided(memory, view.shape, tuple(8 * stride for stride in view.strides))


@given(views())
def test_a_contiguous_view_is_one_that_numpy_calls_so(view: View) -> None:
    """C order, without gaps."""
    assert view.contiguous == _places(view).flags.c_contiguous
    assert view.elements == _places(view).size


@given(views())
def test_an_order_makes_a_view_contiguous_where_there_is_one(view: View) -> None:
    """The elements then fill one stretch, each place once; else there is no order."""
    places = _places(view)
    dense = sorted(places.ravel().tolist()) == list(range(places.size))
    order = view.order
    assert (order is not None) == dense
    if order is not None:
        assert sorted(order) == list(range(len(view.shape)))
        assert view.permuted(order).contiguous
        assert places.transpose(order).flags.c_contiguous


@given(shapes, st.data())
def test_c_and_fortran_order_are_told_by_the_axes_as_they_stand(shape: tuple[int, ...], data: st.DataObject) -> None:
    """Axes of length 1 have no place of their own: the plain orders are preferred."""
    axes = tuple(range(len(shape)))
    assert View(0, shape, row_major(shape), 4).order == axes
    fortran = View(0, shape, ordered_strides(shape, axes[::-1]), 4)
    assert fortran.order in (axes, axes[::-1])
    assert fortran.permuted(axes[::-1]).contiguous


@given(views(), st.data())
def test_a_permuted_view_is_numpys_transpose(view: View, data: st.DataObject) -> None:
    """The same places in another order; offset, size and byte order stay."""
    order = tuple(data.draw(st.permutations(range(len(view.shape)))))
    found = view.permuted(order)
    assert np.array_equal(_places(found), _places(view).transpose(order))
    assert (found.offset, found.itemsize, found.swapped) == (view.offset, view.itemsize, view.swapped)


@given(views(), shapes)
def test_a_view_is_broadcast_by_numpys_rules(view: View, shape: tuple[int, ...]) -> None:
    """To the same places, or not at all."""
    found = view.broadcast(shape)
    try:
        expected = np.broadcast_to(_places(view), shape)
    except ValueError:
        assert found is None
        return
    assert found is not None
    assert found.shape == shape
    assert np.array_equal(_places(found), expected)


@given(views(), st.data())
def test_a_view_can_be_broadcast_to_more_axes(view: View, data: st.DataObject) -> None:
    """New axes in front, and axes of length 1 stretched."""
    stretched = tuple(data.draw(st.integers(0, 3)) if length == 1 else length for length in view.shape)
    shape = (*data.draw(st.lists(st.integers(0, 3), max_size=2)), *stretched)
    found = view.broadcast(shape)
    assert found is not None
    assert np.array_equal(_places(found), np.broadcast_to(_places(view), shape))


@given(views(), st.data())
def test_a_span_reaches_from_the_first_byte_of_a_box_to_its_last(view: View, data: st.DataObject) -> None:
    """By NumPy's strides."""
    if not view.elements:
        return
    first = tuple(data.draw(st.integers(0, length - 1)) for length in view.shape)
    ends = zip(first, view.shape, strict=True)
    box = Box(first, tuple(data.draw(st.integers(1, length - index)) for index, length in ends))
    cut = tuple(slice(index, index + many) for index, many in zip(box.first, box.extent, strict=True))
    inside = _places(view)[cut]
    start, length = view.span(box)
    assert start == view.offset + int(inside.min()) * view.itemsize
    assert length == (int(inside.max()) - int(inside.min()) + 1) * view.itemsize


@given(shapes, st.data())
def test_dense_strides_are_numpys(shape: tuple[int, ...], data: st.DataObject) -> None:
    """For C order, and for any order of axes."""
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    if math.prod(shape):
        assert row_major(shape) == tuple(stride // 8 for stride in np.empty(shape, np.int64).strides)
    back = tuple(order.index(axis) for axis in range(len(shape)))
    dense = np.empty(tuple(shape[axis] for axis in order), np.int64).transpose(back)
    if math.prod(shape):
        assert ordered_strides(shape, order) == tuple(stride // 8 for stride in dense.strides)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 1, 3)])
def test_c_ordered_tensors_of_any_shape_are_contiguous(shape: tuple[int, ...]) -> None:
    """0-d and empty ones included."""
    view = View(0, shape, row_major(shape), 4)
    assert view.contiguous
    assert view.order == tuple(range(len(shape)))
