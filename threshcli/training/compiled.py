"""What torch.compile is told of training: imported when it asks, since that costs a second and 80 MB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from threshcli.training.gates import through

node: Callable[..., Tensor] = torch.compiler.allow_in_graph(through)  # type: ignore[no-untyped-call]  # torch leaves it untyped


@torch.compiler.disable  # type: ignore[untyped-decorator]  # likewise
def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """A call outside of any graph."""
    return work(*arguments)
