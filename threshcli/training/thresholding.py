"""One step of thresholding: from gradients with names to gradients without their small elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from threshcli.dtypes import Real
from threshcli.errors import InputError, UsageError
from threshcli.functional.held import take
from threshcli.functional.solving import Solved, solve, together
from threshcli.plan.fit import Fit
from threshcli.thresholds.base import Ties, Worked
from threshcli.training.choosing import Choice, Thresholds, check, choose
from threshcli.training.residuals import Residuals
from threshcli.training.statistics import Line
from threshcli.training.working import Work, refuse_unworkable, threshold_all

Scope = Literal["tensor", "global"]
"""Over what a threshold is worked out: each gradient, or all that share it together."""
_REMEDY = "give a number, or leave the parameter out by its name"


class Entry(NamedTuple):
    """A gradient, and the name or the number of its parameter."""

    key: str
    grad: Tensor


class Thresholder:
    """Thresholds gradients in place as it was told to, and keeps their remainders if that was asked for."""

    def __init__(
        self, threshold: Thresholds, *, names: Sequence[str] | None, scope: Scope, ties: Ties, error_feedback: bool
    ) -> None:
        for what, value, known in (("scope", scope, Scope), ("ties", ties, Ties)):
            if value not in get_args(known):
                raise UsageError(f"{what} is {value!r}", hint=f"it is one of {', '.join(map(repr, get_args(known)))}")
        check(threshold, names)
        self._threshold, self._named, self._scope = threshold, names is not None, scope
        self._fit = Fit(ties=ties)
        self._residuals = Residuals() if error_feedback else None

    @torch.no_grad()
    def apply(self, entries: Sequence[Entry], step: int) -> list[Line]:
        """Threshold the gradients of a step; UsageError, InputError where that cannot be, and then none has changed,
        but that remainders are in them already."""
        choices = choose(self._threshold, step, [entry.key for entry in entries], named=self._named)
        chosen = [(entry, choice) for entry, choice in zip(entries, choices, strict=True) if choice is not None]
        for entry, _ in chosen:
            refuse_unworkable(entry.key, entry.grad)
        rests: Sequence[Tensor | None] = [None] * len(chosen)
        if self._residuals is not None:
            rests = self._residuals.join([entry for entry, _ in chosen])
        cuts = self._cuts(chosen)
        return threshold_all(
            [Work(*entry, cut, rest) for (entry, _), cut, rest in zip(chosen, cuts, rests, strict=True)]
        )

    def _cuts(self, chosen: Sequence[tuple[Entry, Choice]]) -> list[Real | Solved]:
        """The thresholds, worked out where they are to be."""
        found: dict[int, Real | Solved] = {}
        shared: dict[Choice, list[int]] = {}
        for index, (entry, choice) in enumerate(chosen):
            if not isinstance(choice.value, Worked):
                found[index] = choice.value
            elif self._scope == "tensor":
                found[index] = self._own(choice.value, entry)
            else:
                shared.setdefault(choice, []).append(index)
        for choice, indices in shared.items():
            found.update(zip(indices, self._common(choice, [chosen[i][0] for i in indices]), strict=True))
        return [found[index] for index in range(len(chosen))]

    def _own(self, source: Worked, entry: Entry) -> Solved:
        try:
            return solve(source, take(entry.grad, entry.key), self._fit, magnitude=True, axis=None, mask=None)
        except InputError as error:
            raise InputError(f"the gradient of {entry.key}: {error.what}", hint=_REMEDY) from error

    def _common(self, choice: Choice, entries: Sequence[Entry]) -> list[Solved]:
        source = choice.value
        if not isinstance(source, Worked):
            raise TypeError("a number is nothing to work out")
        parts = [take(entry.grad, entry.key) for entry in entries]
        try:
            answers = together(source, parts, self._fit, magnitude=True)
        except InputError as error:
            raise InputError(f"the gradients: {error.what}", hint=_REMEDY) from error
        return [Solved(source.text, (answer,)) for answer in answers]

    def state(self) -> dict[str, Tensor]:
        """The remainders by key."""
        return {} if self._residuals is None else self._residuals.state()

    def load(self, residuals: Mapping[str, Any], keys: Iterable[str]) -> None:
        """Take over remainders of parameters with these keys."""
        strange = sorted(set(residuals) - set(keys))
        if strange:
            raise UsageError(f"there is no parameter {strange[0]}", hint="load the state of the same model")
        if residuals and self._residuals is None:
            raise UsageError(
                "the state has remainders of gradients", hint="use error_feedback=True, as when it was saved"
            )
        if self._residuals is not None:
            self._residuals.load(residuals)
