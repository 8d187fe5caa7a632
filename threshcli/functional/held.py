"""Arrays and tensors in memory as the kernels see them: bytes in C order, an element type, a shape.

torch is not imported here: who has a tensor has imported it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from threshcli.dtypes import DTYPES, DType
from threshcli.errors import UsageError
from threshcli.kernels._numpy_complex import elements
from threshcli.kernels._numpy_convert import storage
from threshcli.tiles import View, row_major

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Held:
    """Elements in memory: their bytes in C order (shared with what they came from where that was possible)."""

    data: memoryview
    dtype: DType
    shape: tuple[int, ...]

    @property
    def view(self) -> View:
        """Where the elements lie in `data`."""
        return View(0, self.shape, row_major(self.shape), self.dtype.itemsize)

    @property
    def elements(self) -> int:
        return self.view.elements

    @property
    def values(self) -> np.ndarray[Any, Any]:
        """The elements in a row, stored as studies want them (threshcli.studies.base.Lens)."""
        found = np.frombuffer(self.data, storage(self.dtype))
        return found if self.dtype.part is None else elements(found, self.dtype)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes from `offset` on, as a file does."""
        buffer[:] = self.data[offset : offset + len(buffer)]


class Away:
    """Elements of a tensor in the memory of a device, which are copied once somebody asks for them."""

    def __init__(self, tensor: torch.Tensor, dtype: DType) -> None:
        self.tensor, self.dtype = tensor, dtype
        self.shape, self.elements = tuple(tensor.shape), tensor.numel()

    @cached_property
    def values(self) -> np.ndarray[Any, Any]:
        """The elements in a row, as those of `Held`."""
        return _copied(self.tensor, self.dtype).values


Given = Held | Away
"""What thresholds are worked out from."""


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Whether a value is a torch tensor; nobody who has none pays for torch."""
    module = sys.modules.get("torch")
    return module is not None and isinstance(value, module.Tensor)


def dtype_of(value: object, what: str) -> DType:
    """The element type of an array or a tensor; UsageError, naming the argument, for what is neither."""
    if is_tensor(value):
        if value.layout != sys.modules["torch"].strided:
            raise UsageError(f"{what} is {value.layout}, and only dense tensors are worked on", hint="use to_dense()")
        name = str(value.dtype).removeprefix("torch.")
    elif isinstance(value, np.ma.MaskedArray):  # what it masks would count like all else
        raise UsageError(f"{what} is a masked array", hint="give its data, with NaN where it is masked: .filled(nan)")
    elif isinstance(value, np.ndarray):
        name = value.dtype.name
    else:
        raise UsageError(
            f"{what} is a {type(value).__name__}, not a tensor or an array",
            hint="give a torch.Tensor or a numpy.ndarray",
        )
    if name not in DTYPES:
        known = ", ".join(item for item, dtype in DTYPES.items() if dtype.is_real)
        raise UsageError(f"{what} has elements of {name}, which have no order", hint=f"there are {known}")
    return DTYPES[name]


def hold(value: object, what: str) -> Held:
    """An array, or a tensor in the memory of the CPU or (copied) of a device, as bytes; UsageError for other things."""
    dtype = dtype_of(value, what)
    if is_tensor(value):
        _check_memory(value, what)
        return _copied(value, dtype)
    array = np.asarray(value)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    flat = np.ascontiguousarray(native).reshape(-1)
    return Held(flat.view(np.uint8).data if flat.size else memoryview(b""), dtype, array.shape)


def take(value: object, what: str) -> Given:
    """The same, but that a tensor stays in the memory of a device of CUDA until its elements are asked for; Metal's is
    that of the CPU."""
    if not is_tensor(value) or not value.is_cuda:
        return hold(value, what)
    dtype = dtype_of(value, what)
    _check_memory(value, what)
    return Away(value, dtype)


def _check_memory(tensor: torch.Tensor, what: str) -> None:
    if not has_memory(tensor):
        where = "it is inside of a transform of torch, or nothing but a shape"
        hint = "work thresholds out before, and give the result"
        raise UsageError(f"{what} has no elements to look at: {where}", hint=hint)


def _copied(tensor: torch.Tensor, dtype: DType) -> Held:
    dense = tensor.detach().cpu().contiguous().resolve_conj().resolve_neg()
    return Held(memory(dense), dtype, tuple(tensor.shape))


def memory(tensor: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, also to be written to."""
    if not tensor.numel():
        return memoryview(bytearray())
    row = tensor.detach().as_strided((tensor.numel(),), (1,))  # `reshape` leaves a single element its stride
    found: memoryview = row.view(sys.modules["torch"].uint8).numpy().data
    return found


def has_memory(tensor: torch.Tensor) -> bool:
    """Whether a tensor's elements can be looked at; who asks has imported torch, and its kernels know."""
    from threshcli.kernels.torch_tensors import has_memory

    return has_memory(tensor)


def is_differentiated(tensor: torch.Tensor) -> bool:
    """Whether a derivative may go through a tensor, backward or forward, or in a transform of torch.func."""
    from threshcli.kernels.torch_tensors import has_tangent

    return tensor.requires_grad or not has_memory(tensor) or has_tangent(tensor)
