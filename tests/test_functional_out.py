"""Where a result goes: `out` may be in any order, share memory with what is read, and is noticed by torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import threshcli as t
from threshcli.errors import UsageError

LONG = 600_000  # more than a tile of float32


def numbers() -> torch.Tensor:
    return torch.randn(LONG + 1, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", ">c8"])
def test_out_in_the_other_order_of_bytes_holds_the_values(dtype: str) -> None:
    x = np.array([1, -3, 2, 0], dtype)
    assert t.gradient_threshold(x, 1, out=x) is x
    assert x.dtype == np.dtype(dtype)
    assert x.tolist() == [0, -3, 2, 0]


@pytest.mark.parametrize("shift", [-1, 1])
def test_out_may_be_a_shifted_view_of_the_input(shift: int) -> None:
    """As in NumPy, no element is read after it was written."""
    base = numbers()
    x, out = (base[:-1], base[1:]) if shift > 0 else (base[1:], base[:-1])
    expected = torch.where(x.abs() > 0.5, x, 0)
    t.gradient_threshold(x, 0.5, out=out)
    assert torch.equal(out, expected)
    array = numbers().numpy()
    x_array, out_array = (array[:-1], array[1:]) if shift > 0 else (array[1:], array[:-1])
    t.gradient_threshold(x_array, 0.5, out=out_array)
    assert np.array_equal(out_array, expected.numpy())


def test_out_may_be_a_shifted_view_of_a_map() -> None:
    x, base = numbers()[1:], numbers().abs()
    expected = torch.where(x > base[:-1], x, 0)
    t.variable_threshold(x, base[:-1], out=base[1:])
    assert torch.equal(base[1:], expected)


def test_out_may_be_wider_than_the_input_that_it_lies_on() -> None:
    buffer = torch.arange(4 * LONG).to(torch.uint8)
    x, out = buffer[:LONG], buffer.view(torch.float32)
    expected = (x > 100).float()
    t.binary_threshold(x, 100, out_dtype=torch.float32, out=out)
    assert torch.equal(out, expected)


def test_out_may_be_the_map_itself() -> None:
    x, cuts = numbers(), numbers().flip(0)
    expected = torch.where(x > cuts, x, 0)
    assert t.variable_threshold(x, cuts, out=cuts) is cuts
    assert torch.equal(cuts, expected)


def test_backward_refuses_what_it_needs_and_was_written_over() -> None:
    weight, x = torch.ones(3, requires_grad=True), torch.tensor([1.0, 0.2, 3.0])
    total = (weight * x).sum()
    t.gradient_threshold(x, 0.5, out=x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(total)


def test_a_parameter_is_pruned_in_place_where_nothing_is_recorded() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 0.2, -3.0]))
    with torch.no_grad():
        assert t.gradient_threshold(weight, 0.5, out=weight) is weight
    with torch.inference_mode():
        made = torch.tensor([1.0, 0.2, -3.0])
        t.gradient_threshold(made, 0.5, out=made)
    assert weight.tolist() == made.tolist() == [1, 0, -3]


def test_out_may_be_a_view_that_torch_negates_or_conjugates_when_read() -> None:
    negated = torch._neg_view(torch.zeros(2))
    assert t.gradient_threshold(torch.tensor([1.0, -3.0]), 1, out=negated).tolist() == [0, -3]
    conjugated = torch.zeros(2, dtype=torch.complex64).conj()
    t.gradient_threshold(torch.tensor([3 + 4j, 1j]), 1, out=conjugated)
    assert conjugated.tolist() == [3 + 4j, 0]


def test_out_that_is_read_only_is_refused() -> None:
    x = np.ones(3)
    x.flags.writeable = False
    with pytest.raises(UsageError, match="out is read-only"):
        t.gradient_threshold(x, 0.5, out=x)


def test_the_result_is_where_the_input_is_whatever_the_default_device() -> None:
    x = torch.tensor([1.0, 0.2, -3.0])
    with torch.device("meta"):
        made = t.gradient_threshold(x, 0.5)
    assert made.tolist() == [1, 0, -3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int16, torch.complex64, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("watched", [False, True])
def test_a_result_lies_in_memory_as_its_input_does(dtype: torch.dtype, watched: bool) -> None:
    """As those of torch.where: channels_last stays so, with gradients and without, and on bits."""
    x = torch.randn(2, 3, 4, 5).to(dtype).to(memory_format=torch.channels_last)
    plain = t.gradient_threshold(x.contiguous(), 1)
    with torch.device("meta"):  # another default, which is not for results
        for view in (x, x.transpose(1, 3), x[:, :, 1:]):
            can_be = dtype.is_floating_point or dtype.is_complex
            found = t.gradient_threshold(view.detach().requires_grad_(watched and can_be), 1)
            assert found.stride() == torch.empty_like(view).stride()
            assert found.device == x.device
    assert torch.equal(t.gradient_threshold(x, 1).contiguous().view(torch.uint8), plain.view(torch.uint8))
    assert plain.is_contiguous()


def test_an_array_in_the_order_of_fortran_gives_one() -> None:
    x = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    found = t.binary_threshold(x, 5, out_dtype="uint8")
    assert found.flags.f_contiguous
    assert not found.flags.c_contiguous
    assert np.array_equal(found, x > 5)
    assert t.soft_threshold(x.T, 1).flags.c_contiguous


@pytest.mark.parametrize("dtype", [torch.float32, torch.float8_e4m3fn, torch.int64, torch.complex128], ids=str)
def test_a_single_element_may_have_any_stride(dtype: torch.dtype) -> None:
    """A view of one element is contiguous whatever its stride, which torch does not let be viewed as bytes."""
    for x in (torch.tensor([3, 0]).to(dtype)[::2], torch.full((3, 4), 3).to(dtype)[1:2, ::4]):
        assert x.is_contiguous()
        assert x.stride(-1) > 1
        expected = x.clone(memory_format=torch.contiguous_format)
        for found in (
            t.gradient_threshold(x, 1),
            t.gradient_threshold(x, torch.ones_like(x, dtype=torch.float32)[..., ::1]),
            t.gradient_threshold(x, "top1"),
            t.hard_threshold(x, 3, out=x),
        ):
            assert found.dtype is dtype
            assert found.tolist() == expected.tolist()
        assert float(t.threshold(x, "p50", magnitude=True)) == 3
        parameter = torch.nn.Parameter(torch.zeros(x.shape))
        parameter.grad = torch.full((2, 2), 3.0)[::2, ::2].reshape(x.shape)
        assert t.backward_threshold(parameter, 5).total.kept == 0
        assert parameter.grad.count_nonzero() == 0
