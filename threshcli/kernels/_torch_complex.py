"""Complex elements with torch: parts in a row, magnitudes, choices between pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from threshcli.dtypes import FLOAT64, DType
from threshcli.kernels import _magnitudes as size
from threshcli.kernels._torch_convert import BITS, Exact, exact, rounded, signed
from threshcli.kernels.base import Block, Kernels, Mask


def magnitudes(real: Block, imaginary: Block) -> Tensor:
    """The bits of abs(x) from those of its parts, on their device."""
    first, second = exact(real).near, exact(imaginary).near
    function = size.scaled if real.dtype is FLOAT64 else size.narrow
    found: Tensor = function(first, second, torch)
    found = found.masked_fill(first.isinf() | second.isinf(), torch.inf)
    return rounded(Exact(found, None), real.dtype)


class TorchPairs(Kernels):
    """What `TorchKernels` do with complex elements."""

    _wide: torch.device

    def magnitudes(self, x: Block) -> Block:
        real, imaginary = (Block(part.data.to(self._wide), part.dtype) for part in self.split(x))
        return Block(magnitudes(real, imaginary).to(x.data.device), real.dtype)

    def split(self, x: Block) -> tuple[Block, Block]:
        pairs = x.data.view(-1, 2)
        return Block(pairs[:, 0], x.dtype.compared), Block(pairs[:, 1], x.dtype.compared)

    def join(self, real: Block, imaginary: Block, dtype: DType) -> Block:
        return Block(torch.stack((real.data, imaginary.data), 1).reshape(-1), dtype)

    def choose(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        first, second = (_pairs(value, dtype, mask.device) for value in (a, b))
        return Block(torch.where(mask.unsqueeze(1), first, second).reshape(-1), dtype)


def _pairs(value: Block | int, dtype: DType, device: torch.device) -> Tensor:
    """An operand as rows of two parts, or one row for all."""
    if isinstance(value, Block):
        found: Tensor = value.data.view(-1, 2)
        return found
    part = dtype.compared
    return torch.tensor([[signed(value, part), 0]], dtype=BITS[part.itemsize], device=device)
