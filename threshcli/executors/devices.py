"""Which kernels a call works with."""

from __future__ import annotations

from collections.abc import Callable

from threshcli.kernels.base import Kernels


def kernels_for(device: str) -> tuple[str, Callable[[], Kernels]]:
    """The device that is meant, and how to make a worker's kernels for it; torch is only loaded for an accelerator."""
    if device == "cpu":
        from threshcli.kernels.numpy import NumpyKernels

        return device, NumpyKernels
    from threshcli.kernels.torch import TorchKernels, check_device

    found = check_device(device)
    return kernels_for("cpu") if found == "cpu" else (found, lambda: TorchKernels(found))
