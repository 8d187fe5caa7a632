"""Thresholds that change as training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, get_args

from threshcli.errors import UsageError
from threshcli.functional.making import digits
from threshcli.thresholds.zero import Zero
from threshcli.training.choosing import Thresholds, parsed

__all__ = ["sparsity_warmup"]

Ramp = Literal["exponential", "linear"]


def sparsity_warmup(sparsity: float, steps: int, *, every: int = 1, ramp: Ramp = "exponential") -> Callable[[int], str]:
    """A schedule for `GradientThreshold` that raises the sparsity of gradients stage by stage.

    Sparse gradients hurt most in the first steps, when all of them are large (Lin et al. 2018, Deep Gradient
    Compression, arXiv:1712.01887, which goes 75 %, 93.75 %, 98.4375 %, 99.6 %, 99.9 % epoch by epoch).

    Args:
        sparsity: The share of zeros in the end, from 0 to 1.
        steps: Stages before that.
        every: Steps of the optimizer in a stage, for instance those of an epoch.
        ramp: "exponential" divides what is kept by the same factor from stage to stage: stage s of N keeps
            (1 - sparsity)^((s + 1) / (N + 1)); "linear" adds the same to the zeros: sparsity * (s + 1) / (N + 1).

    Returns:
        A function from the number of a step, from 0, to a threshold such as "zero75%".

    Raises:
        UsageError: (a ValueError) of a sparsity that is no share, or of stages and steps that are not counted in whole
            numbers, of 0 and of 1 or more.

    Example:
        >>> schedule = sparsity_warmup(0.9990234375, 4, every=100)
        >>> [schedule(step) for step in (0, 99, 100, 200, 300, 400, 10_000)]
        ['zero75%', 'zero75%', 'zero93.75%', 'zero98.4375%', 'zero99.609375%', 'zero99.90234375%', 'zero99.90234375%']
    """
    share = digits(sparsity)
    if share is None or not 0 <= share <= 1:
        raise UsageError(f"sparsity is {sparsity!r}", hint="give the share of zeros, from 0 to 1")
    for what, count, least in (("steps", steps, 0), ("every", every, 1)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise UsageError(f"{what} is {count!r}", hint=f"give a whole number of {least} or more")
    if ramp not in get_args(Ramp):
        raise UsageError(f"ramp is {ramp!r}", hint=f"it is one of {', '.join(map(repr, get_args(Ramp)))}")
    final = Fraction(share)

    def schedule(step: int) -> str:
        return _written(_sparsity(final, step // every, steps, ramp))

    return schedule


def _sparsity(final: Fraction, stage: int, stages: int, ramp: Ramp) -> Fraction:
    """The share of zeros at a stage."""
    if stage >= stages:
        return final
    way = Fraction(stage + 1, stages + 1)
    if ramp == "linear":
        return final * way
    return 1 - Fraction(float(1 - final) ** float(way))


def _written(share: Fraction) -> str:
    """A share of zeros as a threshold; a power is not more exact than twelve digits."""
    percent = round(100 * share, 12)
    return f"zero{Decimal(percent.numerator) / Decimal(percent.denominator):f}%"


def warmed(given: Thresholds, steps: int, ramp: Ramp) -> Thresholds:
    """Thresholds that reach their sparsity only after so many steps; UsageError where none of them is one."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise UsageError(f"warmup_steps is {steps!r}", hint="give a whole number of 0 or more")
    found = _warmed(given, steps, ramp) if steps else given
    if steps and found is given:
        raise UsageError("warmup_steps is for a sparsity", hint='give a threshold such as "zero99%", or a function')
    return found


def _warmed(given: Any, steps: int, ramp: Ramp) -> Any:
    if isinstance(given, Mapping):
        found = {pattern: _warmed(value, steps, ramp) for pattern, value in given.items()}
        return given if all(found[pattern] is value for pattern, value in given.items()) else found
    source = parsed(given) if isinstance(given, str) else None
    if not isinstance(source, Zero):
        return given

    def schedule(step: int) -> str:
        return given if step >= steps else _written(_sparsity(source.share, step, steps, ramp))

    return schedule
