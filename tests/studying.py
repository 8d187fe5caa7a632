"""Studies run as unkindly as the contract allows: in any stretches, states from elsewhere, added in any order."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any, TypeVar

import numpy as np

from tests import reference
from threshcli.dtypes import DType, Real
from threshcli.kernels._numpy_convert import storage
from threshcli.studies.base import MAGNITUDE, VALUE, Array, Fold, Lens, Sample, Study

A = TypeVar("A")

LENSES = [VALUE, MAGNITUDE, Lens(centre=1.5)]


def stored(codes: Sequence[int] | Array, dtype: DType) -> Array:
    """Elements with these bits, as studies get them."""
    return np.array(codes, f"u{dtype.itemsize}").view(storage(dtype))


def seen(codes: Sequence[int], dtype: DType, lens: Lens) -> list[Real]:
    """The values of codes, looked at through a lens."""
    values = [reference.decode(code, dtype) for code in codes]
    if lens.centre is not None:
        off = [abs(float(value) - lens.centre) for value in values]
        return [value if not math.isfinite(value) else Fraction(value) for value in off]
    return [reference.size(value) if lens.magnitude else value for value in values]


@dataclass
class Runner:
    """Runs studies with stretches of up to `longest` elements, and remembers the passes and the
    bytes of the largest state of each."""

    longest: int = 1 << 30
    seed: int = 0
    passes: list[str] = field(default_factory=list)
    largest: dict[str, int] = field(default_factory=dict)

    def __call__(self, study: Study[A], data: Array, dtype: DType, mask: Array | None = None) -> A:
        state: Any = None
        try:
            while True:
                fold = study.send(state)
                self.passes.append(type(fold).__name__)
                state = self._pass(fold, data, dtype, mask)
        except StopIteration as ended:
            answer: A = ended.value
            return answer

    def _pass(self, fold: Fold[Any], data: Array, dtype: DType, mask: Array | None) -> Any:
        chance = Random(self.seed)
        ends = fold.stretches(data.size)
        cut = [part for start, stop in ([(0, data.size)] if ends is None else ends) for part in self._cut(start, stop)]
        chance.shuffle(cut)
        states = [pickle.dumps(fold.nothing(dtype))]
        for start, stop in cut:
            passing = data[start:stop].copy()
            found = fold.fold(Sample(passing, dtype, start, None if mask is None else mask[start:stop]))
            passing.view(np.uint8)[:] = 0xFF  # a buffer is used again
            states.insert(chance.randint(0, len(states)), pickle.dumps(found))
        while len(states) > 1:
            a, b = (states.pop(chance.randrange(len(states))) for _ in "ab")
            states.append(pickle.dumps(fold.add(pickle.loads(a), pickle.loads(b))))
            name = type(fold).__name__
            self.largest[name] = max(self.largest.get(name, 0), len(states[-1]))
        return pickle.loads(states[0])

    def _cut(self, start: int, stop: int) -> list[tuple[int, int]]:
        return list(pairwise([*range(start, stop, self.longest), stop])) if start < stop else []
