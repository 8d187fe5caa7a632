"""DistributedDataParallel: gradients are thresholded on each rank before they are averaged over all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Module

from threshcli.errors import UsageError
from threshcli.thresholds.base import Ties
from threshcli.training.choosing import Thresholds
from threshcli.training.schedules import Ramp, warmed
from threshcli.training.statistics import GradientStats, Line, told
from threshcli.training.targets import unwrapped
from threshcli.training.thresholding import Entry, Scope, Thresholder

__all__ = ["GradientThresholdState", "gradient_threshold_hook"]


class GradientThresholdState:
    """What `gradient_threshold_hook` is told, and what it keeps: thresholds, remainders, statistics of this rank.

    Args:
        module: The module that is trained, wrapped or not; its parameters have their names.
        threshold: As for `GradientThreshold`, for the gradients of this rank before they are averaged.
        scope: "tensor" works a spec out for each gradient; "bucket" for those together that DistributedDataParallel
            sends together.
        ties: Which of the elements equal to a cut by rank stay: "first", "all" or "none".
        error_feedback: Add what was dropped on this rank to its next gradient.
        warmup_steps: Steps in which the sparsity of "zeroS%" rises to S, by `warmup`.
        warmup: "exponential" or "linear", as for `sparsity_warmup`.
        process_group: The ranks to average over; all by default.

    Raises:
        UsageError: (a ValueError) of thresholds that cannot be meant, or patterns that match nothing.

    Example:
        >>> import torch
        >>> state = GradientThresholdState(torch.nn.Linear(3, 1), "zero99%", warmup_steps=100)
        >>> state.step, sorted(state.state_dict())
        (0, ['residuals', 'step'])
    """

    def __init__(
        self,
        module: Module,
        threshold: Thresholds,
        *,
        scope: str = "tensor",
        ties: Ties = "first",
        error_feedback: bool = True,
        warmup_steps: int = 0,
        warmup: Ramp = "exponential",
        process_group: Any = None,
    ) -> None:
        if scope not in ("tensor", "bucket"):
            raise UsageError(f"scope is {scope!r}", hint="it is 'tensor' or 'bucket'")
        if not isinstance(module, Module):
            raise UsageError(f"a {type(module).__name__} is no module", hint="give the torch.nn.Module that is trained")
        self._module = unwrapped(module)  # kept, so that the ids stay those of its parameters
        self._names = {id(parameter): name for name, parameter in self._module.named_parameters()}
        self._thresholder = Thresholder(
            warmed(threshold, warmup_steps, warmup),
            names=list(self._names.values()),
            scope=cast(Scope, "global" if scope == "bucket" else scope),
            ties=ties,
            error_feedback=error_feedback,
        )
        self.process_group = process_group
        self.step = 0
        self._lines: list[Line] = []
        self._done: list[Line] = []

    def apply(self, parameters: list[Tensor], gradients: list[Tensor], *, is_last: bool) -> None:
        """Threshold the gradients of a bucket in place; the last one ends the step."""
        known = zip(parameters, gradients, strict=True)
        entries = [Entry(self._name(parameter), gradient) for parameter, gradient in known]
        self._lines += self._thresholder.apply(entries, self.step)
        if is_last:
            self.step += 1
            self._lines, self._done = [], self._lines

    def _name(self, parameter: Tensor) -> str:
        name = self._names.get(id(parameter))
        if name is None:
            raise UsageError(
                "a gradient is of a parameter that the module lacks", hint="give the module that is trained"
            )
        return name

    @property
    def stats(self) -> GradientStats:
        """What became of this rank's gradients at the last step."""
        return told(self._done)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps and this rank's remainders, by parameter; each rank has its own to save."""
        return {"step": self.step, "residuals": self._thresholder.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave on this rank, copied; UsageError of a state that is not of this module."""
        missing = {"step", "residuals"} - state.keys()
        if missing:
            raise UsageError(f"the state has no {sorted(missing)[0]}", hint="load what state_dict() gave")
        self._thresholder.load(state["residuals"], self._names.values())
        self.step = int(state["step"])


def gradient_threshold_hook(state: GradientThresholdState, bucket: Any) -> torch.futures.Future[Tensor]:
    """Zero the small elements of this rank's gradients, then average over ranks, as a hook of communication.

    For DistributedDataParallel: `ddp.register_comm_hook(state, gradient_threshold_hook)`. The average is that of
    DistributedDataParallel, a sum of g / n over n ranks, of g = g if abs(g) > T else 0; with error feedback (the
    default of the state) what a rank drops is added to its own next gradient (Lin et al. 2018, arXiv:1712.01887). The
    bytes that are sent are not fewer: zeros are sent like all else.

    Args:
        state: What to do, and what is kept from step to step.
        bucket: Gradients that are sent together, a torch.distributed.GradBucket.

    Returns:
        A future of the averaged bucket.

    Raises:
        UsageError: (a ValueError) of a gradient that cannot be thresholded, or a parameter that is not the module's.
        InputError: (a ValueError) where a gradient has nothing to work a threshold out from.

    Example:
        >>> import torch, tempfile, torch.distributed as dist
        >>> from torch.nn.parallel import DistributedDataParallel
        >>> with tempfile.NamedTemporaryFile() as file:  # one process, to show how; torchrun starts several
        ...     dist.init_process_group("gloo", init_method=f"file://{file.name}", rank=0, world_size=1)
        ...     model = DistributedDataParallel(torch.nn.Linear(3, 1))
        ...     state = GradientThresholdState(model, 0.5)
        ...     model.register_comm_hook(state, gradient_threshold_hook)
        ...     model(torch.tensor([[1.0, 0.3, -2.0]])).sum().backward()
        ...     dist.destroy_process_group()
        >>> model.module.weight.grad, state.stats.sparsity
        (tensor([[ 1.,  0., -2.]]), 0.25)
    """
    state.apply(bucket.parameters(), bucket.gradients(), is_last=bucket.is_last())
    ranks = dist.get_world_size(state.process_group)
    sent = bucket.buffer().div_(ranks)
    future = dist.all_reduce(sent, group=state.process_group, async_op=True).get_future()
    return cast("torch.futures.Future[Tensor]", future.then(lambda done: done.value()[0]))


gradient_threshold_hook.__annotations__.clear()  # register_comm_hook wants classes there, or nothing, and finds texts
