"""What was dropped from gradients, kept for the next step: error feedback.

Seide et al. 2014 (doi:10.21437/Interspeech.2014-274) carry the error of a compressed gradient over to the next one;
Lin et al. 2018 (arXiv:1712.01887) do so with the gradient's small elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from threshcli.errors import UsageError


class Residuals:
    """The remainders by key: contiguous tensors of the gradients' shape, dtype and device."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def join(self, key: str, grad: Tensor) -> Tensor:
        """Add the remainder of this key to a gradient; returns the tensor that the next remainder goes into."""
        kept = self._kept.get(key)
        if kept is None:
            kept = torch.empty(grad.shape, dtype=grad.dtype, device=grad.device)
        else:
            if kept.shape != grad.shape:
                raise UsageError(
                    f"the remainder of {key} has shape {list(kept.shape)}, its gradient {list(grad.shape)}",
                    hint="load the state of the same model",
                )
            kept = kept.to(grad, copy=False).contiguous()
            grad.add_(kept)
            kept.zero_()  # it is in the gradient now, whatever becomes of that
        self._kept[key] = kept
        return kept

    def state(self) -> dict[str, Tensor]:
        """The remainders, not copied."""
        return dict(self._kept)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over remainders, copied; they move to the device of the gradient when they meet it."""
        strange = [key for key, value in state.items() if not isinstance(value, Tensor)]
        if strange:
            raise UsageError(f"the remainder of {strange[0]} is no tensor", hint="load what state_dict() gave")
        self._kept = {key: value.detach().clone() for key, value in state.items()}
