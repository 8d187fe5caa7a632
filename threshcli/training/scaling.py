"""Gradients under automatic mixed precision, where a GradScaler has multiplied the loss.

It divides them again before the step (`unscale_`), and skips the step, hooks and all, where one is not finite. Fused
optimizers do both by themselves: they are handed `grad_scale` and `found_inf`, and called in any case.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from threshcli.errors import UsageError


def is_skipped(optimizer: Optimizer) -> bool:
    """Whether a fused optimizer will not step, since some gradient is not finite. Waits for the device."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, Tensor) and bool(found.item())


@torch.no_grad()
def unscale(optimizer: Optimizer, options: dict[str, Any]) -> None:
    """Divide the gradients of a fused optimizer by their scale, as `GradScaler.unscale_` does, and tell it so."""
    if options.get("grad_scaler") is not None:
        raise UsageError(
            f"{type(optimizer).__name__} divides its gradients by their scale inside of step()",
            hint="call scaler.unscale_(optimizer) before, and leave grad_scaler out",
        )
    scale = getattr(optimizer, "grad_scale", None)
    if not isinstance(scale, Tensor):
        return
    inverse = scale.double().reciprocal().float() if scale.device.type != "mps" else scale.reciprocal()
    alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike.setdefault((parameter.grad.device, parameter.grad.dtype), []).append(parameter.grad)
    for (device, _), grads in alike.items():
        torch._foreach_mul_(grads, inverse.to(device))
    optimizer.grad_scale = None  # type: ignore[attr-defined]  # GradScaler puts it there, and removes it after the step
