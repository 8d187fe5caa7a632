"""What was dropped from gradients, kept for the next step: error feedback.

Seide et al. 2014 (doi:10.21437/Interspeech.2014-274) carry the error of a compressed gradient over to the next one;
Lin et al. 2018 (arXiv:1712.01887) do so with the gradient's small elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from threshcli.errors import UsageError


class Residuals:
    """The remainders by key: contiguous tensors of the gradients' shape, dtype and device."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def join(self, entries: Sequence[tuple[str, Tensor]]) -> list[Tensor]:
        """Add remainders to gradients by their keys; returns the tensors that the next remainders go into."""
        alike: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
        found = []
        for key, grad in entries:
            kept = self._kept.get(key)
            if kept is None:
                kept = torch.zeros(grad.shape, dtype=grad.dtype, device=grad.device)
            else:
                kept = _fitting(key, kept, grad)
                alike.setdefault((grad.device, grad.dtype), []).append((grad, kept))
            found.append(kept)
        for pairs in alike.values():  # a device has few operations for many tensors alike
            grads, rests = zip(*pairs, strict=True)
            torch._foreach_add_(grads, rests)
            torch._foreach_zero_(rests)  # they are in the gradients now, whatever becomes of those
        self._kept.update((key, kept) for (key, _), kept in zip(entries, found, strict=True))
        return found

    def state(self) -> dict[str, Tensor]:
        """The remainders, not copied."""
        return dict(self._kept)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over remainders, copied; they move to the device of the gradient when they meet it."""
        strange = [key for key, value in state.items() if not isinstance(value, Tensor)]
        if strange:
            raise UsageError(f"the remainder of {strange[0]} is no tensor", hint="load what state_dict() gave")
        self._kept = {key: value.detach().clone() for key, value in state.items()}


def _fitting(key: str, kept: Tensor, grad: Tensor) -> Tensor:
    """A remainder as its gradient is."""
    if kept.shape != grad.shape:
        raise UsageError(
            f"the remainder of {key} has shape {list(kept.shape)}, its gradient {list(grad.shape)}",
            hint="load the state of the same model",
        )
    return kept.to(grad, copy=False).contiguous()
