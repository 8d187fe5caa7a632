"""Whose gradients are thresholded: the parameters of a module or an optimizer, and when."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from torch.nn import Module, Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from threshcli.errors import UsageError

Changed = tuple[tuple[Any, ...], dict[str, Any]]
"""Other arguments for the step of an optimizer."""
Hook = Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], Changed | None]
"""What is called before that."""


class Owned(NamedTuple):
    """A parameter and its name, or its number where it has none."""

    key: str
    parameter: Parameter


class Target(ABC):
    """Parameters, of which some optimizer may hold some."""

    @abstractmethod
    def names(self) -> list[str] | None:
        """The names of all parameters; None where they have none."""

    @abstractmethod
    def owned(self) -> list[Owned]:
        """All parameters as they are now."""

    @abstractmethod
    def register(self, hook: Hook) -> RemovableHandle:
        """Have a hook called before the steps of optimizers; perhaps of some that hold none of the parameters."""

    def held_by(self, optimizer: Optimizer) -> list[Owned]:
        """Those of the parameters that an optimizer holds, in our order."""
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        return [item for item in self.owned() if id(item.parameter) in held]


class OptimizerTarget(Target):
    """The parameters of one optimizer, group by group."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = weakref.ref(optimizer)  # which holds the hook, and so this

    def names(self) -> list[str] | None:
        return [item.key for item in self.owned()] if self._is_named() else None

    def _is_named(self) -> bool:
        return all("param_names" in group for group in self._groups())

    def _groups(self) -> list[dict[str, Any]]:
        optimizer = self._optimizer()
        return [] if optimizer is None else optimizer.param_groups

    def owned(self) -> list[Owned]:
        groups = self._groups()
        parameters = [parameter for group in groups for parameter in group["params"]]
        keys = [str(number) for number in range(len(parameters))]
        if self._is_named():
            keys = [name for group in groups for name in group["param_names"]]
        return [Owned(*pair) for pair in zip(keys, parameters, strict=True)]

    def register(self, hook: Hook) -> RemovableHandle:
        optimizer = self._optimizer()
        if optimizer is None:
            raise UsageError("the optimizer is gone", hint="keep it")
        return optimizer.register_step_pre_hook(cast("Any", hook))


class ModuleTarget(Target):
    """The parameters of a module, by name, whichever optimizers hold them. It keeps no module alive."""

    def __init__(self, module: Module) -> None:
        self._module = weakref.ref(unwrapped(module))

    def names(self) -> list[str]:
        return [item.key for item in self.owned()]

    def owned(self) -> list[Owned]:
        module = self._module()
        return [] if module is None else [Owned(*pair) for pair in module.named_parameters()]

    def register(self, hook: Hook) -> RemovableHandle:
        handle = register_optimizer_step_pre_hook(cast("Any", hook))
        module = self._module()
        if module is not None:
            weakref.finalize(module, handle.remove)
        return handle


def unwrapped(module: Module) -> Module:
    """The module itself, out of what torch.compile and data parallelism wrap around it: their names differ."""
    while True:
        inside = next(_inside(module), None)
        if inside is None:
            return module
        module = inside


def _inside(module: Module) -> Iterator[Module]:
    wrappers = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module"}
    name = wrappers.get(type(module).__name__)
    inside = getattr(module, name, None) if name is not None and type(module).__module__.startswith("torch.") else None
    if isinstance(inside, Module):
        yield inside


def target_of(given: object) -> Target:
    """The target that was meant; UsageError for anything but a module and an optimizer."""
    if isinstance(given, Module):
        return ModuleTarget(given)
    if isinstance(given, Optimizer):
        return OptimizerTarget(given)
    raise UsageError(
        f"a {type(given).__name__} is neither a module nor an optimizer",
        hint="give a torch.nn.Module or a torch.optim.Optimizer",
    )
