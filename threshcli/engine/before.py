"""What the first steps of several make of a tensor, for thresholds of the next that are worked out from that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from threshcli.engine.cuts import Cuts
from threshcli.engine.labelling import walked
from threshcli.engine.reading import Bytes
from threshcli.errors import InputError
from threshcli.kernels.base import Block, Kernels
from threshcli.kernels.complex import fitting
from threshcli.plan.tensors import TensorPlan, link_of
from threshcli.rules._chain import Chain
from threshcli.stats import Counts
from threshcli.thresholds.base import Mapped
from threshcli.tiles import Tile


class Before:
    """Steps with all of their thresholds known, over tiles of a tensor in C order of its axes."""

    def __init__(self, steps: Sequence[TensorPlan], maps: Callable[[Mapped], Bytes]) -> None:
        plain = tuple(range(len(steps[0].tensor.shape)))
        self._first = steps[0]
        self._chain = Chain(links=tuple(link_of(step) for step in steps))
        self._cuts = [Cuts(step.rule, walked(step, plain), maps) for step in steps]

    @property
    def is_everywhere_alike(self) -> bool:
        """Whether what becomes of an element does not depend on where it is."""
        return all(cuts.constant is not None for cuts in self._cuts)

    def made(self, k: Kernels, raw: memoryview, tile: Tile) -> Block:
        """What becomes of the elements of a tile."""
        dtype, out = self._first.tensor.dtype, self._chain.links[-1].out
        k = fitting(k, dtype)
        x = k.load(raw, dtype, swapped=self._first.tensor.view.swapped)
        counts = Counts()
        try:
            made = self._chain.apply(k, x, out, *(cut for one in self._cuts for cut in one.tile(k, tile, counts)))
        except InputError as error:
            raise InputError(f"tensor {self._first.name!r} {error.what}", hint=error.hint) from error
        return k.load(k.store(made.out), out.compared)
