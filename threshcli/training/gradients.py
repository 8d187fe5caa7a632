"""Gradients without their small elements, from backward() to step()."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, cast

import torch
from torch.nn import Module
from torch.optim import Optimizer

from threshcli.errors import UsageError
from threshcli.thresholds.base import Ties
from threshcli.training.choosing import Thresholds
from threshcli.training.scaling import is_skipped, unscale
from threshcli.training.schedules import Ramp, warmed
from threshcli.training.statistics import GradientStats, Line, told
from threshcli.training.targets import Changed, Owned, target_of
from threshcli.training.thresholding import Entry, Scope, Thresholder

__all__ = ["GradientThreshold"]


class GradientThreshold:
    """Zero the small elements of gradients before each step of an optimizer: g = g if abs(g) > T else 0.

    It hooks into `optimizer.step()` when it is made, so that a training loop stays as it is: gradients may be
    accumulated over several calls of backward() and clipped; what step() finds is thresholded, once. What a threshold
    means is what it means for `gradient_threshold`: strictly above stays with its bits, the rest becomes +0.0, NaN
    passes and is counted. Gradients may have any floating-point dtype and any strides, and lie on any device. Where
    there is none, nothing is done.

    With error feedback the dropped remainder r is added to the next gradient before that is thresholded:
    g' = g + r; g = g' if abs(g') > T else 0; r = g' - g (Seide et al. 2014, doi:10.21437/Interspeech.2014-274; Lin et
    al. 2018, Deep Gradient Compression, arXiv:1712.01887, there with a correction of momentum, which is not done here).
    Nothing is lost then, only late. It takes a tensor of the size of each gradient.

    Args:
        target: The module or the optimizer. With a module, parameters have their names, and every optimizer that
            holds some of them is hooked; with an optimizer they have names if it was made with
            `model.named_parameters()`, else they are numbered, group by group.
        threshold: A number of 0 or more in the units of the gradients; a spec that is worked out from their magnitudes
            at each step, as on the command line: "zero90%", "top1%", "p99", "2sigma"; a mapping from globs of names to
            these, of which the first that matches counts and None leaves gradients alone, as no match does; or a
            function of the number of the step, from 0, that returns one of these (`sparsity_warmup`).
        scope: "tensor" works a spec out for each gradient; "global" for all of an optimizer together, in the order of
            parameters; in a mapping, for all of a pattern together.
        ties: Which of the elements equal to a cut by rank stay: "first" in (parameter, flat index) order, "all" or
            "none" of them.
        error_feedback: Add what was dropped to the next gradient.
        warmup_steps: Steps in which the sparsity of "zeroS%" rises to S, by `warmup`.
        warmup: "exponential" or "linear", as for `sparsity_warmup`.

    Use with GradScaler: gradients are thresholded unscaled, with any optimizer; a step that is skipped for infinities
    changes nothing (before the step of a fused optimizer the device is waited for, to know that). With a closure
    (LBFGS), each evaluation is thresholded, by the threshold of the step. With DistributedDataParallel it acts on
    averaged gradients; `gradient_threshold_hook` acts before they are. Several of these on one optimizer act in the
    order in which they were made.

    Cost: one pass over gradients on the CPU, in tiles, in less time than the same by hand with torch's foreach
    operations (`python -m tests.bench training` measures it). On a device those of one dtype and threshold are worked
    on together, in a dozen operations of torch for each 32 MiB, and nobody waits for them; smaller ones are copied to
    a buffer and back, and no more than some 128 MiB are taken. Specs need a look at the gradients before; of those on
    a device of CUDA ranks, percentiles and medians are worked out there, and all else from a copy on the CPU. A
    gradient whose elements do not lie in a row is copied.

    Raises:
        UsageError: (a ValueError) of what is neither module nor optimizer, of thresholds that cannot be meant, patterns
            without names or that match nothing; in step(), of sparse, complex or distributed gradients.
        InputError: (a ValueError) in step(), where a gradient has nothing to work a threshold out from.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(3, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        >>> with GradientThreshold(model, 0.5, error_feedback=True) as sparse:
        ...     model(torch.tensor([1.0, 0.3, -2.0])).sum().backward()
        ...     optimizer.step()
        >>> model.weight.grad
        tensor([[ 1.,  0., -2.]])
        >>> sparse.stats.sparsity, sparse.state_dict()["residuals"]
        (0.3333333333333333, {'weight': tensor([[0.0000, 0.3000, 0.0000]])})
    """

    def __init__(
        self,
        target: Module | Optimizer,
        threshold: Thresholds,
        *,
        scope: Scope = "tensor",
        ties: Ties = "first",
        error_feedback: bool = False,
        warmup_steps: int = 0,
        warmup: Ramp = "exponential",
    ) -> None:
        self._target = target_of(target)
        self._thresholder = Thresholder(
            warmed(threshold, warmup_steps, warmup),
            names=self._target.names(),
            scope=scope,
            ties=ties,
            error_feedback=error_feedback,
        )
        self._steps: dict[str, int] = {}
        self._lines: dict[str, list[Line]] = {}
        self._handle = self._target.register(self._hook)

    def _hook(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Changed | None:
        if torch.compiler.is_compiling():
            from threshcli.training.compiled import apart

            return cast("Changed | None", apart(self._before_step, optimizer, args, kwargs))
        return self._before_step(optimizer, args, kwargs)

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Changed | None:
        """Threshold gradients that are there, or, where there is a closure, those that it makes."""
        owned = self._target.held_by(optimizer)
        if not owned or is_skipped(optimizer):
            return None
        unscale(optimizer, kwargs)
        who = owned[0].key  # stands for the optimizer
        step = self._steps.get(who, 0)
        self._steps[who] = step + 1
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._apply(who, owned, step)
            return None

        def thresholded() -> Any:
            loss = closure()
            self._apply(who, owned, step)
            return loss

        if "closure" in kwargs:
            return args, {**kwargs, "closure": thresholded}
        return (args[0], thresholded, *args[2:]), kwargs

    def _apply(self, who: str, owned: list[Owned], step: int) -> None:
        entries = []
        for key, parameter in owned:
            if parameter.grad is not None:
                if _is_expanded(parameter.grad):
                    parameter.grad = parameter.grad.contiguous()
                entries.append(Entry(key, parameter.grad))
        self._lines[who] = self._thresholder.apply(entries, step)

    @property
    def stats(self) -> GradientStats:
        """What became of the gradients at the last step: shares kept, norms, sparsity, in sum and by parameter.

        They are taken in the step, while gradients are in the cache, and are a third of its cost or so. On a device
        they are most of it, and nobody waits for them before they are asked for here; squares are taken in float32
        there, so that norms past 1.8e19 are infinite and elements under 1e-22 lost in them, but for float64.
        """
        return told(line for lines in self._lines.values() for line in lines)

    def state_dict(self) -> dict[str, Any]:
        """Steps and remainders, to be saved beside the optimizer's: training resumes with the same bits.

        Tensors are not copied. Parameters are known by their names, or their numbers in an optimizer without.
        """
        return {"steps": dict(self._steps), "residuals": self._thresholder.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, copied; remainders move to the devices and dtypes of their gradients.

        Raises UsageError (a ValueError) of a state that is not of these parameters, or has remainders that this one,
        without error feedback, would lose.
        """
        missing = {"steps", "residuals"} - state.keys()
        if missing:
            raise UsageError(f"the state has no {sorted(missing)[0]}", hint="load what state_dict() gave")
        owned = {item.key: item.parameter for item in self._target.owned()}
        self._thresholder.load(state["residuals"], owned)
        self._steps = {str(who): int(count) for who, count in state["steps"].items()}

    def remove(self) -> None:
        """Take the hook off: gradients are left alone from now on. May be called again."""
        self._handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "a GradientThreshold is bound to its optimizer by a hook, and cannot be copied or pickled",
            hint="save state_dict(), make a new one, and load_state_dict() there",
        )


def _is_expanded(grad: torch.Tensor) -> bool:
    """Whether elements share memory, so that they cannot be written to one by one."""
    if grad.layout != torch.strided:
        return False
    return any(stride == 0 and size > 1 for stride, size in zip(grad.stride(), grad.shape, strict=True))
