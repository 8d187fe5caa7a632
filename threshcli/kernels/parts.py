"""Blocks and masks of several tensors of one size, one behind the other: each tensor's own part of them."""

from __future__ import annotations

from threshcli.kernels.base import Block, Mask


def parts(x: Block, many: int) -> list[Block]:
    """A block, cut into so many equal parts."""
    return [x] if many == 1 else [Block(part, x.dtype) for part in x.data.reshape(many, -1)]


def mask_parts(mask: Mask, many: int) -> list[Mask]:
    """A mask, cut into so many equal parts."""
    return [mask] if many == 1 else list(mask.reshape(many, -1))
