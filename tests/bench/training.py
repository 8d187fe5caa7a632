"""The thresholding of a training step, against what one would write by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.bench.lab import GIB, Lab
from tests.bench.measure import Command
from tests.bench.table import Row

_ELEMENTS = 25_000_000  # at the full size
_LARGEST = 30_000 * 256 / 25e6  # the share of the largest parameter, the embedding
_WAYS = ("idle", "foreach", "foreach_kthvalue", "hardshrink", "number", "number_feedback", "zero")


def training(lab: Lab, name: str) -> Sequence[Row]:
    """A model of 25 million parameters; the clock runs inside, around the pass over the gradients alone."""
    elements = _ELEMENTS * lab.size // GIB
    command = (sys.executable, "-m", "tests.bench.steps")
    costs = lab.race(**{way: Command((*command, way, str(elements)), inside=True) for way in _WAYS})
    room = costs["idle"].peak + 4 * elements * _LARGEST
    rows = []
    for way, by_hand in (("number", "foreach"), ("zero", "foreach_kthvalue")):
        ours, theirs = costs[way], costs[by_hand]
        rows.append(Row(f"{name}: {way}", "wall", ours.wall, theirs.wall, 1.2 * theirs.wall, f"1.2 x {by_hand}"))
        rows.append(Row(f"{name}: {way}", "peak", ours.peak, theirs.peak, room, "the largest gradient more than idle"))
    number, single, feedback = (costs[way].wall for way in ("number", "hardshrink", "number_feedback"))
    rows.append(Row(f"{name}: number", "wall", number, single, None, "hardshrink without counts, to compare"))
    rows.append(Row(f"{name}: number, fed back", "wall", feedback, number, None, "without feedback, to compare"))
    rows.append(Row(f"{name}: idle", "peak", costs["idle"].peak, None, None, "to compare"))
    return rows
