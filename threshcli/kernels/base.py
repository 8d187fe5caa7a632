"""The contract of kernels: what a rule, a threshold and the engine may ask of an array.

A *block* is one tile's elements on the device: a flat array of storage bits and their dtype. A *mask* is one bool an
element. Both belong to the kernels that made them and live until `reset`, which the engine calls before each
tile: buffers are reused, so nothing may be kept across tiles. One instance serves one worker.

Both sets of kernels give the same bytes: comparisons are exact in every dtype, `where` moves bits and never
calculates, NaN compares False with everything (so it is in no mask but `isnan`'s). What does calculate, `calculate` and
`clip`, knows float32 and float64 only and rounds each result once, so that a rule's formula says what it gives to the
last bit. Rules are written against this interface alone.

Complex elements are met through `complex.ComplexKernels`, which know them by their parts and magnitudes; without those
around them kernels know real elements, and of complex ones what `magnitudes`, `split`, `join` and `choose` say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from threshcli.dtypes import Compare, DType, Range, Real
from threshcli.spec import Number
from threshcli.stats import Measure

MapCompare = Literal["gt", "ge", "lt", "le", "eq"]
Operator = Literal["+", "-", "*", "/"]
Mask = Any
"""One bool an element, in the representation of the kernels that made it."""


class Block(NamedTuple):
    """One tile of elements on the device: storage bits and their dtype."""

    data: Any
    dtype: DType

    def parts(self, many: int) -> list[Block]:
        """So many equal parts, one behind the other."""
        return [self] if many == 1 else [Block(part, self.dtype) for part in self.data.reshape(many, -1)]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A threshold that is one number for the whole tensor."""

    value: Real
    _ranges: dict[tuple[DType, Compare, bool], Range] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def range(self, dtype: DType, compare: Compare, magnitude: bool) -> Range:
        """The keys of the elements for which the comparison holds; worked out once."""
        found = self._ranges.get((dtype, compare, magnitude))
        if found is None:
            found = self._ranges[dtype, compare, magnitude] = dtype.interval(compare, self.value, magnitude=magnitude)
        return found


@dataclass(frozen=True, slots=True)
class Rank(Scalar):
    """A threshold that stands beside elements of just this value: they are above it or they are not, whatever the
    comparison says of equality, and the value is never rounded."""

    above: bool = False

    def range(self, dtype: DType, compare: Compare, magnitude: bool) -> Range:
        found = self._ranges.get((dtype, compare, magnitude))
        if found is None:
            found = self._ranges[dtype, compare, magnitude] = self._beside(dtype, compare, magnitude)
        return found

    def _beside(self, dtype: DType, compare: Compare, magnitude: bool) -> Range:
        value, above = self.value, self.above
        if dtype.is_float:
            value = dtype.value(dtype.key(self.value))
            above = self.above if value == self.value else value > self.value
        return dtype.interval(_beside(compare, above), value, magnitude=magnitude)


class Tied(NamedTuple):
    """A threshold by rank, a number or one value an element, that some of the elements equal to it are above (where
    the mask is True) and others are not."""

    value: Scalar | Block
    above: Mask


def _beside(compare: Compare, above: bool) -> Compare:
    """The comparison that puts elements equal to a threshold above it, or not above it."""
    if compare in ("gt", "ge"):
        return "ge" if above else "gt"
    return "lt" if above else "le"


Cut = Scalar | Block | Tied
"""A threshold as a rule meets it: one number, or a block with one value an element; by rank, with its ties."""


class Kernels(ABC):
    """What every set of kernels can do with tiles; see the top of this module."""

    def session(self) -> AbstractContextManager[object]:
        """What a worker's thread needs around it while it uses these kernels."""
        return nullcontext()

    def scratch(self) -> AbstractContextManager[object]:
        """Blocks and masks that are made inside of this are forgotten after it."""
        return nullcontext()

    @abstractmethod
    def reset(self) -> None:
        """Forget all blocks and masks: their buffers may be reused."""

    @abstractmethod
    def buffer(self, nbytes: int) -> memoryview:
        """A host buffer of so many bytes to read a tile into; lives until `reset`."""

    @abstractmethod
    def load(self, raw: memoryview, dtype: DType, *, swapped: bool = False) -> Block:
        """The block of these little-endian (or, if `swapped`, big-endian) bytes. May alter and keep `raw`.
        Bytes of bool above 1 become 1."""

    @abstractmethod
    def store(self, block: Block, *, swapped: bool = False) -> memoryview:
        """The bytes of a block, on the host; lives until `reset`."""

    @abstractmethod
    def within(self, x: Block, keys: Range, *, magnitude: bool = False) -> Mask:
        """True where the key of x, or of abs(x), lies in the range."""

    @abstractmethod
    def against(self, x: Block, compare: MapCompare, other: Block, *, magnitude: bool = False) -> Mask:
        """True where `x compare other` (or `abs(x) compare other`) holds, exactly, for any two real dtypes."""

    @abstractmethod
    def isnan(self, x: Block) -> Mask:
        """True where x is NaN."""

    @abstractmethod
    def invert(self, mask: Mask) -> Mask:
        """Not mask."""

    @abstractmethod
    def both(self, a: Mask, b: Mask) -> Mask:
        """a and b."""

    @abstractmethod
    def count(self, mask: Mask) -> int:
        """How many are True."""

    @abstractmethod
    def first(self, mask: Mask) -> int | None:
        """The index of the first True, or None."""

    @abstractmethod
    def select(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        """a where mask, else b; blocks are of `dtype`, ints are codes of it. Bits are moved, never computed."""

    @abstractmethod
    def put(self, block: Block, mask: Mask, code: int) -> None:
        """Write a number, by its code, into a block of a real dtype that was made here, where the mask holds."""

    @abstractmethod
    def cast(self, x: Block, dtype: DType) -> Block:
        """The values in another real dtype: rounded once to nearest, ties to even, where it cannot hold them; NaN
        stays NaN. From floating point to integers only values that are whole and in range may occur."""

    @abstractmethod
    def limit(self, cut: Block, dtype: DType, *, up: bool) -> Block:
        """The values of a map as limits in `dtype`: floats rounded to nearest; for integers rounded up or down to
        the next integer and held inside the range."""

    @abstractmethod
    def calculate(self, a: Block | int, operator: Operator, b: Block | int, *, into: Block | None = None) -> Block:
        """`a operator b` of float32 or float64, rounded once; ints are codes of the block's dtype. The result may take
        the memory of `into`, a block that nobody needs any more. NaN gives some NaN."""

    @abstractmethod
    def clip(self, x: Block, limit: Block | int) -> Block:
        """x, of float32 or float64, limited to [-limit, limit] for a limit that is not negative. NaN gives some NaN."""

    @abstractmethod
    def measure(self, x: Block, *, moments: bool = False, precise: bool = True) -> Measure:
        """Extremes and counts of x, with `moments` its sums; not `precise` may take squares in float32 in runs of
        256 elements before it sums in float64."""

    def seen(self, x: Block) -> Block:
        """What is compared of a block: its elements, of complex ones the magnitudes."""
        return x

    @abstractmethod
    def magnitudes(self, x: Block) -> Block:
        """abs(x) of complex elements, in the type of their parts; `_magnitudes` says how it is rounded."""

    @abstractmethod
    def split(self, x: Block) -> tuple[Block, Block]:
        """The real and the imaginary parts of complex elements."""

    @abstractmethod
    def join(self, real: Block, imaginary: Block, dtype: DType) -> Block:
        """The complex elements of `dtype` with these parts."""

    @abstractmethod
    def choose(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        """`select` for complex elements; an int is the code of a real number."""

    def scaled(self, x: Block, factor: Block, dtype: DType) -> Block:
        """Complex elements times real numbers, in the type of these, rounded once more to the complex `dtype`."""
        parts = (self.calculate(self.cast(part, factor.dtype), "*", factor) for part in self.split(x))
        real, imaginary = (self.cast(part, dtype.compared) for part in parts)
        return self.join(real, imaginary, dtype)

    def where(self, mask: Mask, a: Block | Number, b: Block | Number, dtype: DType) -> Block:
        """a where mask, else b, as `dtype`: numbers are encoded, blocks of another dtype cast."""
        return self.select(mask, self._operand(a, dtype), self._operand(b, dtype), dtype)

    def compare(self, x: Block, compare: Compare, cut: Cut, *, magnitude: bool = False) -> Mask:
        """True where `x compare cut` (or `abs(x) compare cut`) holds; a number is rounded to a float x's dtype."""
        if isinstance(cut, Tied):
            above, other = (self._with_ties(x, compare, cut.value, above, magnitude) for above in (True, False))
            return self.mix(cut.above, above, other)
        if isinstance(cut, Scalar):
            return self.within(x, cut.range(x.dtype, compare, magnitude), magnitude=magnitude)
        return self.against(x, compare, cut, magnitude=magnitude)

    def _with_ties(self, x: Block, compare: Compare, value: Scalar | Block, above: bool, magnitude: bool) -> Mask:
        """The comparison where all elements equal to the value are above it, or none is."""
        if isinstance(value, Scalar):
            return self.within(x, Rank(value.value, above).range(x.dtype, compare, magnitude), magnitude=magnitude)
        return self.against(x, _beside(compare, above), value, magnitude=magnitude)

    def mix(self, mask: Mask, a: Mask, b: Mask) -> Mask:
        """a where mask, else b, of masks."""
        neither = self.both(self.invert(self.both(mask, a)), self.invert(self.both(self.invert(mask), b)))
        return self.invert(neither)

    def bound(self, cut: Cut, dtype: DType, *, up: bool) -> Block | int:
        """A cut as a limit in `dtype` (see `limit`): a code for a number, a block for a map."""
        if isinstance(cut, Tied):
            return self.bound(cut.value, dtype, up=up)
        return dtype.limit(cut.value, up=up) if isinstance(cut, Scalar) else self.limit(cut, dtype, up=up)

    def each(self, x: Block, make: Callable[[Block], Block], key: Hashable) -> Block:
        """make(x), for something that makes of each element another by its code alone, and is the same for the same
        `key`: a table of what it makes may serve dtypes of few codes."""
        return make(x)

    def zeros(self, x: Block) -> int:
        """How many elements are zero, of either sign."""
        return self.count(self.within(x, Range(0, 0))) if x.dtype.signed else 0

    def moments(self, x: Block, *, clean: bool, precise: bool, sums: bool = True) -> tuple[list[float], list[float]]:
        """`sums` (zeros perhaps, unless wanted) and `squares` of a Measure; `clean`: x has no NaN and no infinity."""
        found = self.measure(x, moments=True, precise=precise)
        return found.sums, found.squares

    def measures(self, x: Block, many: int) -> list[Measure]:
        """The measures of so many equal parts of x, each without sums."""
        return [self.measure(part) for part in x.parts(many)]

    def moments_of(
        self, x: Block, many: int, *, clean: bool, precise: bool, sums: bool = True
    ) -> list[tuple[list[float], list[float]]]:
        """The `moments` of so many equal parts of x."""
        return [self.moments(part, clean=clean, precise=precise, sums=sums) for part in x.parts(many)]

    def between(self, x: Block, low: tuple[Compare, Cut], high: tuple[Compare, Cut]) -> Mask:
        """True where both comparisons hold; one pass where both cuts are numbers."""
        (first, a), (second, b) = low, high
        if isinstance(a, Scalar) and isinstance(b, Scalar):
            left, right = a.range(x.dtype, first, False), b.range(x.dtype, second, False)
            return self.within(x, Range(max(left.low, right.low), min(left.high, right.high)))
        return self.both(self.compare(x, first, a), self.compare(x, second, b))

    def changed(self, x: Block, y: Block, nan: int) -> int:
        """How many values differ between two blocks of any dtypes (NaN equals NaN, -0.0 equals 0.0); `nan` is the
        number of NaN in x."""
        equal = self.count(self.against(x, "eq", y))
        both = self.count(self.both(self.isnan(x), self.isnan(y))) if nan else 0
        return self.elements(x) - equal - both

    @abstractmethod
    def elements(self, x: Block) -> int:
        """How many elements a block has."""

    def everywhere(self, mask: Mask) -> bool:
        """Whether a mask is True for all elements; may be False where that cannot be known."""
        return self.count(self.invert(mask)) == 0

    def _operand(self, value: Block | Number, dtype: DType) -> Block | int:
        if isinstance(value, Number):
            return value.stored(dtype)
        return value if value.dtype is dtype else self.cast(value, dtype)
