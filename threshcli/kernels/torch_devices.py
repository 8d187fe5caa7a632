"""The devices that torch finds."""

from __future__ import annotations

import torch

from threshcli.errors import DeviceError


def accelerators() -> list[str]:
    """The names of the accelerators that are here."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*(["cuda", *cuda] if cuda else []), *(["mps"] if torch.backends.mps.is_available() else [])]


def check_device(device: str) -> None:
    """DeviceError if there is no `cpu`, `cuda`, `cuda:N` or `mps` of this name here."""
    present = [*accelerators(), "cpu"]
    if device in present:
        return
    lacking = "" if torch.version.cuda or torch.version.hip else "; this torch is built without CUDA"
    raise DeviceError(f"there is no device {device!r}", hint=f"devices here: {', '.join(present)}{lacking}")
