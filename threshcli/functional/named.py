"""Any rule by its name: a rule that has no function of its own yet, or a name that is only known when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from threshcli.errors import UsageError
from threshcli.functional.calling import call
from threshcli.functional.making import rule_named

if TYPE_CHECKING:
    from threshcli.functional.binding import Data, ThresholdLike

__all__ = ["apply_rule"]


def apply_rule(
    rule: str,
    input: Data,
    *thresholds: ThresholdLike | Sequence[ThresholdLike] | None,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
    **options: Any,
) -> Data:
    """What the rule of this name makes of a tensor or an array.

    Args:
        rule: Name of the rule, which is that of its command: "binary", "gradient", "clamp", ...
        input: Tensor or array of any shape and any dtype that the rule takes, on any device.
        *thresholds: One for each that the rule takes, in the order of its help (`low` before `high`; a list where it
            takes many): a number, a map, a spec such as "p90", or a threshold that was worked out.
        broadcast: Let maps broadcast to the input.
        out_dtype: Dtype of the result; the rule's choice by default.
        out: Where the result goes.
        **options: The rule's own options, as the command has them.

    Returns:
        A tensor or array of the input's shape and device.

    Raises:
        UsageError: (a ValueError) of a name, a threshold or an option that cannot be meant.
        InputError: (a ValueError) of NaN where that is to be refused, or where no threshold can be worked out.

    Example:
        >>> import numpy as np
        >>> apply_rule("band", np.array([1, 5, 9]), 2, 8, outside=True)
        array([1, 0, 9])
    """
    kind = rule_named(rule)
    slots = kind.slots
    if len(thresholds) > len(slots):
        what = f"{rule} takes {len(slots)} thresholds, not {len(thresholds)}"
        raise UsageError(what, hint="give several cuts as a list")
    given = {slot.name: value for slot, value in zip(slots, thresholds, strict=False)}
    return call(rule, input, given, options, broadcast=broadcast, out_dtype=out_dtype, out=out, looks=kind.sideways)
