"""What thresh is compared with, each a process of its own: `python peers.py NAME ARGUMENT...`.

These are the scripts that people write. Each imports what it needs and nothing else. They count what the summary of
thresh tells, where their name does not say otherwise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def torch_script(source: str, target: str) -> None:
    """Ten lines of torch."""
    import numpy as np
    import torch

    x = torch.from_numpy(np.load(source))
    mask = x > 0.5
    y = torch.where(mask, torch.ones_like(x), torch.zeros_like(x))
    np.save(target, y.numpy())
    _show(mask.sum(), (x != y).sum(), (x == 0).sum(), (y == 0).sum())
    _show(torch.isnan(x).sum(), torch.isinf(x).sum(), x.min(), x.max())


def numpy_script(source: str, target: str) -> None:
    """Ten lines of NumPy."""
    import numpy as np

    x = np.load(source)
    mask = x > 0.5
    y = np.where(mask, np.float32(1), np.float32(0))
    np.save(target, y)
    _show(mask.sum(), (x != y).sum(), (x == 0).sum(), (y == 0).sum())
    _show(np.isnan(x).sum(), np.isinf(x).sum(), x.min(), x.max())


def opencv_without_counts(source: str, target: str) -> None:
    """cv2.threshold."""
    import numpy as np

    cv2 = import_module("cv2")  # not everywhere, so not imported where a type checker would look for it
    x = np.load(source)
    _, y = cv2.threshold(x.reshape(x.size // 64, 64), 0.5, 1, cv2.THRESH_BINARY)
    np.save(target, y.reshape(x.shape))


def numexpr_without_counts(source: str, target: str) -> None:
    """numexpr.evaluate."""
    import numpy as np

    numexpr = import_module("numexpr")
    x = np.load(source)
    numbers = {"t": np.float32(0.5), "one": np.float32(1), "zero": np.float32(0)}
    np.save(target, numexpr.evaluate("where(x > t, one, zero)", {"x": x, **numbers}))


def make_pt(source: str, target: str) -> None:
    """A checkpoint of one tensor from an .npy."""
    import numpy as np
    import torch

    torch.save({"weight": torch.from_numpy(np.load(source, mmap_mode="c"))}, target)


def save_pt(source: str, target: str) -> None:
    """torch.save of what is in memory already; the last line is the seconds that took."""
    import torch

    loaded = {name: tensor.clone() for name, tensor in torch.load(source, weights_only=True).items()}
    began = time.perf_counter()
    torch.save(loaded, target)
    _show(time.perf_counter() - began)


def kthvalue(source: str, target: str) -> None:
    """torch's order statistic of magnitudes in memory; the last line is the seconds that took."""
    import numpy as np
    import torch

    magnitudes = torch.from_numpy(np.load(source)).abs()
    began = time.perf_counter()
    torch.kthvalue(magnitudes, int(0.9 * magnitudes.numel()))
    _show(time.perf_counter() - began)


def kthvalue_script(source: str, target: str) -> None:
    """The same from file to file: what one would write to keep a tenth of the magnitudes."""
    import numpy as np
    import torch

    x = torch.from_numpy(np.load(source))
    cut = torch.kthvalue(x.abs(), int(0.9 * x.numel())).values
    y = torch.where(x.abs() > cut, x, torch.zeros_like(x))
    np.save(target, y.numpy())
    _show(cut, (y != 0).sum())


def copy_loop(source: str, target: str) -> None:
    """Read and write every file of a folder."""
    Path(target).mkdir()
    for path in sorted(Path(source).iterdir()):
        data = path.read_bytes()
        (Path(target) / path.name).write_bytes(data)


def safetensors_naive(source: str, target: str) -> None:
    """Load, where, save."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    tensors = {name: np.where(np.abs(x) > 0.5, x, np.float32(0)) for name, x in load_file(source).items()}
    save_file(tensors, target)


def safetensors_naive_torch(source: str, target: str) -> None:
    """Load, where, save, with torch."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {name: torch.where(x.abs() > 0.5, x, torch.zeros_like(x)) for name, x in load_file(source).items()}
    save_file(tensors, target)


def _show(*values: Any) -> None:
    sys.stdout.write(" ".join(str(float(value)) for value in values) + "\n")


PEERS: dict[str, Callable[[str, str], None]] = {
    peer.__name__: peer
    for peer in (
        torch_script,
        numpy_script,
        opencv_without_counts,
        numexpr_without_counts,
        make_pt,
        save_pt,
        kthvalue,
        kthvalue_script,
        copy_loop,
        safetensors_naive,
        safetensors_naive_torch,
    )
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
