"""The contract of a threshold source: where the values to compare with come from.

A source is one file here with one frozen dataclass. `parse` recognises its way of writing and returns None for any
other, so that sources do not know each other. `bind` fits it to one tensor before any data is read and returns either a
`Fixed` number or a `Mapped` view of another file's elements; it raises UsageError where it cannot fit.

A source that is worked out from data derives from `Worked`: its `work` is a study (threshcli.studies.base) that asks
for passes over the data and ends in an `Answer`. It binds to `Pending`, which becomes `Fixed` or `Spread` when the
study has run over the tensor, the file or all files of the call; rules and engine see no difference: a rule meets a
number or a block, never a source. NumPy and the studies are imported late, in `work`: complaints need no arrays.

A source that looks at a window around each element derives from `Windowed`: its `window` says what is made of that. It
is pending, too, until a map has been made of the tensor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from threshcli.containers.base import Contents
from threshcli.dtypes import DType, Real
from threshcli.errors import InputError, UsageError
from threshcli.spec import Axes, Number
from threshcli.tiles import View

if TYPE_CHECKING:
    from threshcli.studies.base import Lens, Study
    from threshcli.windows.base import Window

Ties = Literal["first", "all", "none"]
Extremes = tuple[float | int, float | int]


class Fitted(NamedTuple):
    """The tensor that a threshold is bound to: its name, its shape, its dtype, the order of axes in which it is walked,
    whether a map may broadcast to it; the file that holds it, the slot that the threshold is for, and the axes along
    which elements are neighbours (None: all)."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    order: tuple[int, ...]
    broadcast: bool
    file: str = ""
    slot: str = "threshold"
    axes: Axes | None = None


class Answer(NamedTuple):
    """A threshold that was worked out over a population.

    `values` is the number, or several cuts in ascending order. A cut by rank also says which elements equal to it count
    as above it: those at positions before `above` (0: none). `asked` is how many elements were to stay, `tied` how
    many are equal to the cut, `usable` of how many elements it was worked out, `unusable` how many were left out.
    """

    values: tuple[Real, ...]
    above: int | None = None
    asked: int | None = None
    tied: int | None = None
    usable: int = 0
    unusable: int = 0
    warning: str | None = None


class Fixed(NamedTuple):
    """One number for the whole tensor; if it was worked out, with what is known of that. A cut by rank has elements
    equal to it, those at flat positions before `above`, that count as above it."""

    spec: str
    value: Real
    above: int | None = None
    found: Answer | None = None

    def compared(self, value: Real, dtype: DType) -> Real:
        """A number as it is compared with elements of a dtype: rounded to floats, unless it stands at a rank."""
        return dtype.value(dtype.key(value)) if dtype.is_float and self.above is None else value

    @property
    def values(self) -> tuple[Real, ...]:
        """The number, or all cuts of a source that gives several."""
        return (self.value,) if self.found is None else self.found.values

    def plain(self, value: Real, dtype: DType) -> float | int:
        """One of the values as it is compared, as Python's own number: a float where elements are floats and it is one,
        for integers whole where it is and was written so."""
        return _plain(self.spec if self.found is None else "", self.compared(value, dtype), dtype.is_float)


@lru_cache(maxsize=256, typed=True)  # of a thousand tensors alike it is asked a thousand times
def _plain(text: str, compared: Real, is_float: bool) -> float | int:
    if isinstance(compared, float):
        return compared
    return float(compared) if is_float and float(compared) == compared else Number(text, compared).plain


class Spread(NamedTuple):
    """One number for each index along an axis, as it was worked out; positions of cuts by rank count inside the slice
    of that index."""

    spec: str
    axis: int
    found: tuple[Answer, ...]


class Mapped(NamedTuple):
    """One value an element: where they lie in the file `path`, seen with the tensor's shape in its walking order.

    One that was `made` from the data in this call lies in a file without a header; where it is NaN, nothing compares
    with it. Its `extremes` are known.
    """

    spec: str
    path: str
    fingerprint: tuple[int, ...]
    dtype: DType
    view: View
    made: bool = False
    extremes: tuple[float, float] | None = None


class Pending(NamedTuple):
    """A source whose study has not run yet, or whose map has not been made."""

    spec: str
    source: Worked | Windowed


Bound = Fixed | Spread | Mapped | Pending


class Maps(ABC):
    """Headers of map files, each read once; the plan hands it to `bind`."""

    @abstractmethod
    def contents(self, path: str) -> tuple[Contents, tuple[int, ...], str]:
        """What the file holds, its fingerprint, and where to read it; InputError if it cannot be read."""

    @abstractmethod
    def divided(self, text: str) -> tuple[str, str | None]:
        """The file of a map, and the tensor that is chosen in it, of FILE::NAME or FILE."""

    @abstractmethod
    def report(self, path: str) -> dict[str, Any]:
        """A report that was written with --json; InputError if it is none."""


@dataclass(frozen=True)
class Threshold(ABC):
    """Base of all sources; see the top of this module."""

    form: ClassVar[str]
    """How it is written, for help and error messages."""
    meaning: ClassVar[str]
    """What it means, in a few words."""
    spatial: ClassVar[bool] = False
    """Whether it looks at neighbours, along the axes of `--axes`."""
    commas: ClassVar[bool] = False
    """Whether there may be commas in what is written."""
    from_data: ClassVar[bool] = False
    """Whether it is found from the data, so that there is something to modify, and a population to choose."""
    by_header: ClassVar[bool] = False
    """Whether `bind` asks for no more of a tensor than its dtype and shape, so that tensors alike are bound alike."""

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self | None:
        """The source, if `text` is written its way; UsageError if it plainly should be but is wrong."""

    @abstractmethod
    def bind(self, tensor: Fitted, maps: Maps) -> Bound:
        """This source for one tensor; UsageError where it does not fit."""

    def bind_all(self, tensor: Fitted, maps: Maps) -> Sequence[Bound]:
        """All cuts of this source for one tensor, for slots that take many."""
        return (self.bind(tensor, maps),)


class Terms(NamedTuple):
    """What a source that is worked out from data is told: whether the rule compares abs(x), bins for histograms of
    floats, what becomes of elements equal to a cut by rank, whether elements are complex."""

    magnitude: bool = False
    bins: int = 256
    ties: Ties = "first"
    complex: bool = False

    @property
    def lens(self) -> Lens:
        """What is looked at: what the rule compares."""
        from threshcli.studies.base import MAGNITUDE, VALUE

        return MAGNITUDE if self.magnitude else VALUE


@dataclass(frozen=True)
class Worked(Threshold):
    """Base of the sources that are worked out from data; `text` is how it was written."""

    from_data: ClassVar[bool] = True
    by_header: ClassVar[bool] = True
    several: ClassVar[bool] = False
    """Whether it gives several cuts, for rules that take them."""
    keeps_largest: ClassVar[bool] = False
    """Whether it says how many of the largest elements stay."""
    ordered: ClassVar[bool] = False
    """Whether it needs x in order, even for rules that compare abs(x)."""
    alike: ClassVar[bool] = False
    """Whether it looks at the parts of complex x, for which all x have to be of one type."""

    text: str

    @property
    def cuts(self) -> int:
        """How many cuts it gives."""
        return 1

    def bind(self, tensor: Fitted, maps: Maps) -> Pending:
        return Pending(self.text, self)

    def check(self, dtypes: Collection[DType]) -> None:
        """UsageError where elements of these dtypes are none that it can be worked out from together."""
        strange = next((dtype for dtype in dtypes if dtype.part is not None), None)
        if strange is not None and self.ordered:
            hint = "use what looks at abs(x), such as universal or p90, or 2sigma"
            raise UsageError(f"has no {self.text}: {strange.name} has no order", hint=hint)
        if strange is not None and self.alike and len(set(dtypes)) > 1:
            names = " and ".join(sorted(dtype.name for dtype in dtypes))
            raise UsageError(f"has no {self.text}: {names} are not of one type", hint="use --scope tensor")

    def begin(self, terms: Terms, dtypes: Collection[DType]) -> Study[Answer]:
        """`work` over elements of these dtypes; the study raises InputError where `check` refuses them."""
        try:
            self.check(dtypes)
        except UsageError as error:
            raise InputError(error.what, hint=error.hint) from error
        parts = any(dtype.part is not None for dtype in dtypes)
        return (yield from self.work(terms._replace(complex=parts)))

    @abstractmethod
    def work(self, terms: Terms) -> Study[Answer]:
        """Work it out; raises InputError (`useless`) where there are elements, but none of use. A population without
        any elements never gets here."""

    def useless(self, left_out: str) -> InputError:
        """The error of a population that has nothing to work with; who runs the study puts its name before it."""
        what = f"has nothing to work out {self.text} from: no element is left that is not {left_out}"
        return InputError(what, hint="leave it out with --exclude, or give a number")

    def overflows(self) -> InputError:
        """The error of a population whose norm is beyond float64."""
        return InputError(f"has no {self.text}: its squares add up to more than float64 holds", hint="give a number")


@dataclass(frozen=True)
class Windowed(Threshold):
    """Base of the sources that look at a window around each element; `text` is how it was written, `sizes` are those of
    the window: one for all axes, or one for each."""

    spatial: ClassVar[bool] = True
    from_data: ClassVar[bool] = True
    by_header: ClassVar[bool] = True

    text: str
    sizes: tuple[int, ...]

    @property
    def needs_extremes(self) -> bool:
        """Whether the least and the largest element have to be known first."""
        return False

    def bind(self, tensor: Fitted, maps: Maps) -> Pending:
        self.check(len(tensor.shape), tensor.dtype, tensor.axes)
        return Pending(self.text, self)

    def check(self, rank: int, dtype: DType, axes: Axes | None) -> None:
        """UsageError where it cannot work on a tensor of this rank and dtype."""
        self.spans(rank, axes)

    def spans(self, rank: int, axes: Axes | None) -> tuple[int, ...]:
        """The size of the window along each axis of a tensor, 1 where elements are no neighbours."""
        along = tuple(range(rank)) if axes is None else axes.of(rank)
        if len(self.sizes) not in (1, len(along)):
            what = f"{self.text} has {len(self.sizes)} window sizes for {len(along)} axes"
            hint = "give one size for all axes, or one for each; --axes says which axes have neighbours"
            raise UsageError(what, hint=hint)
        found = [1] * rank
        for place, axis in enumerate(along):
            found[axis] = self.sizes[place % len(self.sizes)]
        return tuple(found)

    @abstractmethod
    def window(self, sizes: tuple[int, ...], dtype: DType, extremes: Extremes) -> Window:
        """What is made of windows of these sizes in a tensor; its `extremes` are those that were asked for."""
