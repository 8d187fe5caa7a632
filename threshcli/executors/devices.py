"""Which kernels a call works with."""

from __future__ import annotations

from collections.abc import Callable

from threshcli.kernels.base import Kernels


def kernels_for(device: str) -> tuple[str, Callable[[], Kernels]]:
    """The device that is meant, and how to make a worker's kernels for it; torch is only loaded for an accelerator.

    `auto` is the CPU: there a rule takes as long as a copy of the file, which no way over a bus shortens. (For 2 GiB a
    GPU of 2024 took 4.5 s, of which torch and the device need 4 to start, and 16 cores took 1.)
    """
    if device in ("auto", "cpu"):
        from threshcli.kernels.numpy import NumpyKernels

        return "cpu", NumpyKernels
    from threshcli.kernels.torch import TorchKernels
    from threshcli.kernels.torch_devices import check_device

    check_device(device)
    return device, lambda: TorchKernels(device)
