"""The sets of kernels that tests run on, and how they are handed codes and asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from tests.reference import pack, unpack
from threshcli.dtypes import BOOL, DType
from threshcli.kernels.base import Block, Kernels, Mask
from threshcli.kernels.numpy import NumpyKernels
from threshcli.kernels.torch import TorchKernels


class BitsOnly(TorchKernels):
    """torch's kernels as on a device whose floats cannot be trusted with subnormals: everything is done on bits."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self._native = {}


SETS: dict[str, Callable[[], Kernels]] = {
    "numpy": NumpyKernels,
    "torch": lambda: TorchKernels("cpu"),
    "torch on bits": BitsOnly,
    **({"cuda": lambda: TorchKernels("cuda")} if torch.cuda.is_available() else {}),
}
every_set = pytest.mark.parametrize("name", SETS)
_made: dict[str, Kernels] = {}


@contextmanager
def using(name: str) -> Iterator[Kernels]:
    """One set of kernels, in its session, with all its buffers free. It is the same one each time, as in a worker."""
    kernels = _made.setdefault(name, SETS[name]())
    with kernels.session():
        kernels.reset()
        yield kernels


def load(kernels: Kernels, codes: list[int], dtype: DType) -> Block:
    return kernels.load(pack(codes, dtype), dtype)


def stored(kernels: Kernels, block: Block) -> list[int]:
    return unpack(kernels.store(block), block.dtype)


def bits(kernels: Kernels, mask: Mask) -> list[bool]:
    """A mask as a list: what it selects of ones and zeros."""
    return list(map(bool, kernels.store(kernels.select(mask, 1, 0, BOOL))))


def masked(kernels: Kernels, mask: list[bool]) -> Mask:
    """A mask from a list."""
    x = load(kernels, [int(value) for value in mask], BOOL)
    return kernels.within(x, BOOL.interval("gt", 0))
