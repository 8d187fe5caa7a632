"""Thresholds that several tensors share: whether any dtype holds what all of these hold, which their headers tell."""

from __future__ import annotations

from collections.abc import Sequence

from threshcli.dtypes import DTYPES, FLOAT64, INT64, DType
from threshcli.errors import UsageError
from threshcli.plan.request import Request, Step
from threshcli.plan.tensors import TensorPlan


class Sharing:
    """The tensors that share thresholds under one kind of scope, as they are met: of each step and dtype how many
    elements there are, and the first name."""

    def __init__(self, request: Request, kind: str) -> None:
        steps = [step for step in request.steps if step.is_fitted and step.fit.scope.kind == kind]
        self._met: list[tuple[Step, dict[DType, tuple[int, str]]]] = [(step, {}) for step in steps]

    @property
    def is_asked_for(self) -> bool:
        """Whether any threshold is shared so."""
        return bool(self._met)

    def add(self, plans: Sequence[TensorPlan]) -> None:
        """The tensors of one more file."""
        for step, met in self._met:
            for item in (item for plan in plans for item in plan.steps if item.applied and item.step is step):
                elements, name = met.get(item.tensor.dtype, (0, item.name))
                met[item.tensor.dtype] = elements + item.view.elements, name

    def check(self) -> None:
        """UsageError where tensors share a threshold, and no dtype holds what all of them hold: mostly some counters
        are among the weights."""
        for _, met in self._met:
            try:
                shared_dtype({dtype.compared for dtype in met})
            except UsageError as error:
                fewest = min(met, key=lambda dtype: met[dtype][0])
                hint = f"leave out what is {fewest.name}, such as {met[fewest][1]!r}: --exclude GLOB"
                raise UsageError(error.what, hint=hint) from error


def check_shared(request: Request, kind: str, plans: Sequence[TensorPlan]) -> None:
    """The same for tensors that are known all at once."""
    sharing = Sharing(request, kind)
    sharing.add(plans)
    sharing.check()


def shared_dtype(dtypes: set[DType]) -> DType:
    """A dtype that holds every value of all of them; UsageError where there is none."""
    if len(dtypes) <= 1:
        return next(iter(dtypes), FLOAT64)
    wide = {dtype for dtype in dtypes if dtype.itemsize == 8 and not dtype.is_float}
    if not wide:
        return FLOAT64
    whole = [dtype for dtype in dtypes if not dtype.is_float]
    for candidate in (INT64, DTYPES["uint64"]):
        inside = (candidate.keys.low <= dtype.keys.low and dtype.keys.high <= candidate.keys.high for dtype in whole)
        if len(whole) == len(dtypes) and all(inside):
            return candidate
    names = " and ".join(sorted(dtype.name for dtype in dtypes))
    raise UsageError(
        f"one threshold over {names} cannot be exact: no dtype holds both", hint="choose tensors with --tensor GLOB"
    )
