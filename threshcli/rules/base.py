"""The contract of a rule.

A rule is a frozen dataclass in a file of its own; the file's name is its command. Its docstring is the help: the
first line in the list of commands, the rest above the options. Its fields, made with `option`, are its
options; `slots` names its thresholds. Two kinds exist: a rule that *decides* writes one of two constants; any other
*keeps values* and replaces what it does not select.

A rule that looks `sideways` selects elements by what others are. It says how by `beside`; their mask is made before it
is applied, and `apply` gets that mask as its only cut. So it is element by element again.

`apply` is a pure function of a block and its cuts, element by element:
`apply(cat(a, b)) == cat(apply(a), apply(b))`. It sees no path, no device, no other element. It need not think of
NaN: comparisons with NaN are False, and the engine then does what `--nan` says (`nan` holds the policy; without one
it is `default_nan`). The contract tests run over every rule that is found here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, Field, dataclass, field, fields
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

from threshcli.dtypes import DType, Range, Real
from threshcli.errors import UsageError
from threshcli.kernels.base import Block, Cut, Kernels, Mask
from threshcli.spec import NanPolicy, Number, Numbers
from threshcli.stats import Measure


def option(default: Any, help: str, metavar: str | None = None, short: str | None = None) -> Any:
    """A field of a rule that is an option of its command."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "short": short})


class Slot(NamedTuple):
    """One threshold that a rule takes: the option's name, its short flag, and what it is when left out (None: it
    must be given). One that takes `many` is given several, in ascending order.

    Thresholds go by keys: the slot's name, or names with numbers from 1 where there may be many.
    """

    name: str
    help: str
    short: str | None = None
    default: float | None = None
    many: bool = False

    def keys(self, count: int) -> list[str]:
        """The keys of so many thresholds of this slot."""
        return [f"{self.name} {number}" for number in range(1, count + 1)] if self.many else [self.name]


def slot_of(key: str) -> str:
    """The name of the slot that a threshold's key belongs to."""
    return key.partition(" ")[0]


def _label(key: str) -> str:
    """What people call the threshold with this key."""
    return key if " " in key else f"--{key}"


def crossed(first: str, second: str, where: str = "") -> UsageError:
    """The error of two thresholds, by their keys, of which the first is above the second."""
    hint = "give them in ascending order" if " " in first else "exchange or mend the maps" if where else "exchange them"
    return UsageError(f"{_label(first)} is above {_label(second)}{where}", hint=hint)


THRESHOLD = Slot("threshold", "What to compare with: a number, a map (@FILE), or p90, top1000, otsu...", "-t")


class Groups(NamedTuple):
    """A rule selects, of every `m` neighbours along an axis, the `n` largest magnitudes, of equal ones the first; NaN
    is the largest. The last group may be short if it is `partial`, and keeps its share, rounded up."""

    n: int
    m: int
    axis: int
    partial: bool


class Components(NamedTuple):
    """A rule selects what is above the first of its two thresholds, and connected to what is above the second; `full`
    has elements that touch at corners connected, too."""

    full: bool


class Outcome(NamedTuple):
    """What a rule makes of a block, and the mask of the elements for which its comparison held."""

    out: Block
    selected: Mask


def selected_by(k: Kernels, cuts: Sequence[Cut]) -> Mask:
    """The mask that a rule that looks sideways gets as its only cut: a block of bool."""
    (stays,) = cuts
    if not isinstance(stays, Block):
        raise TypeError("a rule that looks sideways is applied with the mask of what it selects")
    return k.within(stays, Range(1, 1))


@dataclass(frozen=True)
class Rule(ABC):
    """Base of all rules; see the top of this module."""

    slots: ClassVar[tuple[Slot, ...]] = (THRESHOLD,)
    magnitude: ClassVar[bool] = False
    """Whether the rule compares abs(x); a negative threshold is refused then."""
    residual: ClassVar[bool] = False
    """Whether `--residual` can write what the rule drops."""
    keeps_nan: ClassVar[bool] = True
    """Whether NaN has anything to do with what is written: not where that is the threshold itself."""
    spatial: ClassVar[bool] = False
    """Whether it looks at neighbours, along the axes of `--axes`."""
    sideways: ClassVar[bool] = False
    """Whether what it selects depends on other elements: `beside` says how, and `apply` gets the mask."""
    norms: ClassVar[bool] = False
    """Whether the summary shows norms."""

    _: KW_ONLY
    nan: NanPolicy | None = option(None, "What becomes of NaN.", "keep|below|above|fill=V|error")

    @abstractmethod
    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        """The elements of `x` as `out`, by the rule; one cut a slot, in their order."""

    @property
    def decides(self) -> bool:
        """Whether the rule writes constants in place of what it compares."""
        return self.levels is not None

    @property
    def levels(self) -> tuple[Number, Number] | None:
        """What a rule that decides writes for selected and other elements; None for rules that keep values."""
        return None

    def written(self, count: int) -> Sequence[Number] | None:
        """All constants that a rule that decides writes, given so many thresholds, from that of elements above none to
        that of those above all; None for rules that keep values."""
        return None if self.levels is None else self.levels[::-1]

    @property
    def filler(self) -> Number | None:
        """What a rule that keeps values writes in place of those it does not select, if that is one number."""
        return getattr(self, "fill", None)

    @property
    def beside(self) -> Groups | Components | None:
        """What a rule that looks sideways selects; None for all others."""
        return None

    @property
    def default_nan(self) -> NanPolicy:
        """NaN passes rules that keep values; for a decision it is a comparison that failed."""
        return NanPolicy("below" if self.decides else "keep")

    @property
    def nan_policy(self) -> NanPolicy:
        return self.nan or self.default_nan

    def with_nan(self, k: Kernels, x: Block, made: Block, out: DType) -> Block:
        """What `apply` has made of `x`, but NaN elements as `nan_policy` says; the policy `error` is the caller's."""
        policy, levels = self.nan_policy, self.levels
        if policy.action == "below" and levels is None:
            return made
        value: Block | Number = x
        if policy.fill is not None:
            value = policy.fill
        elif policy.action == "above" and levels:
            value = levels[0]
        elif policy.action == "below" and levels:
            value = levels[1]
        return k.where(k.isnan(x), value, made, out)

    def operator(self) -> str:
        """The comparison as the summary shows it, for instance `x > T`."""
        signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
        compare = getattr(self, "compare", None)
        left = "|x|" if self.magnitude else "x"
        return f"{left} {signs[compare]} T" if compare else ""

    def check(self, given: frozenset[str]) -> None:
        """Complain (UsageError) of options that make no sense together; `given` names the slots in use."""
        missing = [slot.name for slot in self.slots if slot.default is None and slot.name not in given]
        if missing:
            raise UsageError(
                f"--{missing[0]} is missing",
                hint="it takes a number such as 0.5, a map: @map.npy, or what is worked out from the data: p90, otsu",
            )
        own = self.default_nan  # which may be given by its name, too
        if self.nan not in (None, own) and self.nan_policy.action in ("below", "above") and self.levels is None:
            raise UsageError(
                f"--nan {self.nan} needs a rule that decides between two values",
                hint="use keep, fill=V or error, or the rule binary",
            )

    def check_values(self, dtype: DType, values: dict[str, Real]) -> None:
        """Complain (UsageError) of thresholds that are numbers, by key in ascending order, where this dtype cannot take
        them."""
        for key, value in values.items():
            if isinstance(value, float) and math.isnan(value):
                raise UsageError(f"{_label(key)} is NaN", hint="nothing compares with NaN; give a number")
            if self.magnitude and value < 0:
                raise UsageError(f"{_label(key)} is negative, and magnitudes never are", hint="give 0 or more")
        for (first, low), (second, high) in pairwise(values.items()):
            if low > high:
                raise crossed(first, second)

    def check_cuts(self, count: int, out: DType) -> None:  # noqa: B027 - most rules have nothing to complain of
        """Complain (UsageError) where so many thresholds cannot make elements of `out`."""

    def check_shape(self, shape: Sequence[int]) -> None:  # noqa: B027 - most rules take any shape
        """Complain (UsageError) of a tensor's shape where the rule cannot work on it."""

    def constants(self) -> list[tuple[str, Number]]:
        """The numbers that the rule may write, with the options they came from."""
        found = [(f"--{item.name}", getattr(self, item.name)) for item in self.options()]
        found.append(("--nan fill", self.nan_policy.fill))
        lists = [(name, value.items if isinstance(value, Numbers) else (value,)) for name, value in found]
        return [(name, value) for name, values in lists for value in values if isinstance(value, Number)]

    def output(self, dtype: DType) -> DType:
        """The dtype of what the rule makes of elements of this dtype, unless the user says otherwise."""
        return dtype

    def stays_finite(self, dtype: DType, out: DType) -> bool:
        """Whether finite elements of this dtype stay finite: no constant is infinite, and no cast overflows."""
        return out is dtype and all(not isinstance(number.value, float) for _, number in self.constants())

    def arithmetic(self, dtype: DType) -> DType:
        """The type in which elements of this dtype meet a number that is a threshold: it is rounded to that if it is a
        float. Their own, unless the rule calculates in another."""
        return dtype.compared

    def refusal(self, dtype: DType, out: DType) -> str | None:
        """Why the rule cannot make elements of `out` of those of `dtype`, or None where it can."""
        if dtype.is_real and out.is_real:
            return None
        if dtype.kind == "opaque":
            return f"{dtype.name} can only be copied"
        if dtype.part is not None and not self.magnitude:
            return f"{dtype.name} has no order"
        return None if dtype.part and out.part else f"{dtype.name} does not become {out.name}"

    def moves_all(self, dtype: DType, out: DType, found: Measure, cuts: Sequence[Cut]) -> bool:
        """Whether it is certain, of a block without NaN, that what is selected becomes another value but zero, and all
        else zero: counting is cheap then."""
        return False

    def remedy(self, dtype: DType) -> str:
        """What to do where all tensors are refused, the first for its dtype: a hint."""
        if dtype.part is not None:
            if self.magnitude:
                return "leave --out-dtype out, or give a complex one"
            return "rules that compare abs(x) take it, such as gradient"
        if dtype.is_real:
            return "give a real --out-dtype"
        return "list names and dtypes with: thresh info FILE"

    @classmethod
    def options(cls) -> list[Field[Any]]:
        """The fields that are options, the rule's own first."""
        found = [item for item in fields(cls) if "help" in item.metadata]
        return sorted(found, key=lambda item: item.name == "nan")
