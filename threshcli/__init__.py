"""thresh: thresholds for tensor files, tensors and gradients.

The rules and the threshold sources are functions on torch tensors and NumPy arrays (`binary_threshold`, `otsu`, ...),
`apply` runs a rule over files as the command line does, and `GradientThreshold` and its like work in training. All of
it is loaded when it is first asked for: `import threshcli` imports neither torch nor NumPy.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from threshcli.functional.automatic import *  # noqa: F403 - what a module offers stands there, in its __all__
    from threshcli.functional.deciding import *  # noqa: F403
    from threshcli.functional.files import *  # noqa: F403
    from threshcli.functional.keeping import *  # noqa: F403
    from threshcli.functional.looking import *  # noqa: F403
    from threshcli.functional.named import *  # noqa: F403
    from threshcli.functional.recipes import *  # noqa: F403
    from threshcli.functional.shrinking import *  # noqa: F403
    from threshcli.functional.sources import *  # noqa: F403
    from threshcli.functional.windowed import *  # noqa: F403
    from threshcli.training.communication import *  # noqa: F403
    from threshcli.training.gradients import *  # noqa: F403
    from threshcli.training.layers import *  # noqa: F403
    from threshcli.training.learnable import *  # noqa: F403
    from threshcli.training.losses import *  # noqa: F403
    from threshcli.training.schedules import *  # noqa: F403
    from threshcli.training.statistics import *  # noqa: F403

_HOMES = (
    "functional.deciding",
    "functional.keeping",
    "functional.shrinking",
    "functional.looking",
    "functional.windowed",
    "functional.sources",
    "functional.automatic",
    "functional.files",
    "functional.recipes",
    "functional.named",
    "training.gradients",
    "training.communication",
    "training.layers",
    "training.learnable",
    "training.losses",
    "training.schedules",
    "training.statistics",
)
"""Where what the package offers is at home; those that need torch come last."""


def __getattr__(name: str) -> Any:
    if not name.startswith("_") and not _is_part(name):
        for home in _HOMES:
            module = import_module(f"threshcli.{home}")
            if name in module.__all__:
                found = globals()[name] = getattr(module, name)  # asked for once
                return found
    raise AttributeError(f"module 'threshcli' has no attribute {name!r}")


def _is_part(name: str) -> bool:
    """Whether a name is a part of the package: `from threshcli import rules` asks here before it imports that."""
    return PathFinder.find_spec(f"{__name__}.{name}", __path__) is not None  # noqa: F405 - packages have it


def __dir__() -> list[str]:
    offered = (name for home in _HOMES for name in import_module(f"threshcli.{home}").__all__)
    return sorted({*globals(), *offered})
