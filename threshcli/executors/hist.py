"""What `hist` tells of a tensor: rows of a histogram, where cuts lie among them, and how many elements they keep."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from threshcli.dtypes import Compare, DType
from threshcli.engine.outcome import thresholds_used
from threshcli.errors import InputError, UsageError
from threshcli.executors.examine import Subject
from threshcli.findings import Mark, TensorHist
from threshcli.kernels.base import Rank, Scalar
from threshcli.plan.maps import MapFiles
from threshcli.results import TensorResult
from threshcli.rules._solved import Solved, SolvedMagnitude
from threshcli.studies.base import tried
from threshcli.studies.counted import Ties, Value, edges, ends, extent, limits, reaching, rows_of
from threshcli.studies.summary import Looked
from threshcli.thresholds.base import Answer, Fitted, Fixed, Terms, Threshold, Worked


@dataclass(frozen=True, slots=True)
class _Cut:
    """One cut in one tensor: its value, what elements have to reach to be past it (None: none can), the ties that one
    by rank keeps, and on which side of it elements are removed."""

    spec: str
    slot: str
    value: Value
    limit: Value | None
    ties: Ties | None
    removing: Literal["below", "above"] | None


@dataclass(slots=True)
class Hist:
    """Looks at tensors, or at their magnitudes. `thresholds` go by slot: `threshold`, or `low` and `high`. After `most`
    tensors the others are only named. `warnings` fills with what is to be said of thresholds, by file."""

    thresholds: Mapping[str, Threshold]
    rows: int = 20
    terms: Terms = field(default_factory=Terms)
    compare: Compare = "gt"
    most: int | None = None
    warnings: dict[str, list[str]] = field(default_factory=dict)
    _maps: MapFiles = field(default_factory=MapFiles)
    _seen: int = 0

    def look(self, subject: Subject) -> TensorResult:
        """One pass for the extremes and what the thresholds begin with, one more that counts."""
        self._seen += 1
        if self.most is not None and self._seen > self.most:
            return TensorResult(**subject.about())
        dtype = subject.tensor.dtype.compared
        try:
            found = {slot: self._bind(slot, source, subject) for slot, source in self.thresholds.items()}
            looked, known = self._survey(subject, found)
            self._check(dtype, known)
        except UsageError as error:
            raise UsageError(f"tensor {subject.name!r}: {error.what}", hint=error.hint) from error
        about = subject.about() | {
            "nan": looked.nan,
            "inf": looked.inf,
            "min": looked.low,
            "max": looked.high,
            "threshold": thresholds_used(known, dtype),
        }
        return self._count(subject, looked, [cut for item in known.items() for cut in self._cuts(*item, dtype)], about)

    def _bind(self, slot: str, source: Threshold, subject: Subject) -> Fixed | Worked:
        """A threshold for this tensor: its number, or the source that works it out."""
        if isinstance(source, Worked):
            return source
        tensor = subject.tensor
        plain = tuple(range(len(tensor.shape)))
        fitted = Fitted(subject.name, tensor.shape, tensor.dtype, plain, True, subject.piece.file, slot)
        bound = source.bind(fitted, self._maps)
        if isinstance(bound, Fixed):
            return bound
        raise UsageError(
            f"--{slot} {bound.spec} has many thresholds for it, and a histogram is cut by one",
            hint="give a number, or what is worked out from the data: p90, otsu",
        )

    def _survey(self, subject: Subject, found: Mapping[str, Fixed | Worked]) -> tuple[Looked, dict[str, Fixed]]:
        """Where the elements lie, and the thresholds in numbers; those to be worked out are left out where there is
        nothing to work with, since then there is nothing to mark either."""
        known = {slot: bound for slot, bound in found.items() if isinstance(bound, Fixed)}
        if not subject.piece.view.elements:
            return Looked(), known
        due = {slot: source for slot, source in found.items() if isinstance(source, Worked)}
        looked, *answers = subject.answers(
            extent(self.terms.lens),
            *[tried(one.begin(self.terms, {subject.tensor.dtype})) for one in due.values()],
        )
        for (slot, source), answer in zip(due.items(), answers, strict=True):
            if isinstance(answer, Answer):
                known[slot] = Fixed(source.text, answer.values[0], answer.above, answer)
                if answer.warning:
                    said = self.warnings.setdefault(subject.piece.file, [])
                    said.append(f"tensor {subject.name!r}: {answer.warning}")
            elif looked.low is not None:
                raise InputError(f"tensor {subject.name!r} {answer.what}", hint=answer.hint) from answer
        return looked, {slot: known[slot] for slot in found if slot in known}

    def _check(self, dtype: DType, known: Mapping[str, Fixed]) -> None:
        """UsageError of thresholds that make no sense here: crossed, or negative for magnitudes."""
        rule = SolvedMagnitude() if self.terms.magnitude else Solved()
        rule.check_values(dtype, {slot: bound.value for slot, bound in known.items()})
        for slot, bound in known.items():
            if slot != "threshold" and bound.above is not None:
                raise UsageError(f"--{slot} {bound.spec} is a cut by rank", hint="give it as --threshold")
            if slot != "threshold" and bound.found is not None and len(bound.found.values) > 1:
                raise UsageError(f"--{slot} {bound.spec} gives several cuts", hint="give it as --threshold")

    def _cuts(self, slot: str, bound: Fixed, dtype: DType) -> list[_Cut]:
        """The cuts of one threshold, in ascending order; several cuts remove nothing."""
        seen, values, magnitude = self.terms.lens.dtype(dtype), bound.values, self.terms.magnitude
        compare: Compare = "ge" if slot == "low" else "le" if slot == "high" else self.compare
        removing: Literal["below", "above"] | None = "above" if slot == "high" else "below"
        found = []
        for value in values:
            scalar = Scalar(value) if bound.above is None else Rank(value, above=False)
            first, past = ends(scalar.range(dtype, compare, magnitude), seen)
            number, limit = bound.plain(value, dtype), past if slot == "high" else first
            ties = Ties(number, bound.above) if bound.above and _has(seen, value) else None
            found.append(_Cut(bound.spec, slot, number, limit, ties, removing if len(values) == 1 else None))
        return found

    def _count(self, subject: Subject, looked: Looked, cuts: Sequence[_Cut], about: dict[str, Any]) -> TensorHist:
        seen = self.terms.lens.dtype(subject.tensor.dtype)
        low, high = looked.low, looked.high
        found = () if low is None or high is None else edges(low, high, self.rows)
        at = limits(found, seen)
        ties = next((cut.ties for cut in cuts if cut.ties), None)
        reached, tied = [0] * (len(at) + len(cuts)), 0
        if looked.elements:
            ((reached, tied),) = subject.answers(reaching(self.terms.lens, (*at, *(cut.limit for cut in cuts)), ties))
        past = [count + (tied if cut.ties else 0) for count, cut in zip(reached[len(at) :], cuts, strict=True)]
        picture = _Picture(found, at, reached[: len(at)], high or 0, looked.elements - looked.nan)
        return TensorHist(**about | picture.described(cuts, past))


@dataclass(frozen=True, slots=True)
class _Picture:
    """Rows between `edges`: what elements have to reach to be at or above each edge, and how many do. `high` is the
    largest of the finite elements; `number` elements are not NaN, of which the infinite are in no row."""

    edges: Sequence[Value]
    limits: Sequence[Value | None]
    reached: Sequence[int]
    high: Value
    number: int

    def described(self, cuts: Sequence[_Cut], past: Sequence[int]) -> dict[str, Any]:
        """The fields of TensorHist; `past` says how many elements are past each cut."""
        counts = rows_of(self.reached)
        marks = tuple(self._mark(cut, number) for cut, number in zip(cuts, past, strict=True)) if counts else ()
        found: dict[str, Any] = {"edges": tuple(self.edges), "counts": counts, "marks": marks}
        sides = {cut.removing: number for cut, number in zip(cuts, past, strict=True) if cut.removing}
        if sides:
            over, under = sides.get("below", self.number), sides.get("above", 0)
            kept = [self._within(row, over) - self._within(row, under) for row in range(len(counts))]
            found["kept"] = over - under
            found["removed"] = self.number - found["kept"]
            found["removed_counts"] = tuple(count - stay for count, stay in zip(counts, kept, strict=True))
        return found

    def _within(self, row: int, past: int) -> int:
        """How many elements of a row are past a cut, from how many are past it at all."""
        most, least = self.reached[row], self.reached[row + 1]
        return min(max(past, least), most) - least

    def _mark(self, cut: _Cut, past: int) -> Mark:
        """Where a cut lies: before a row, or inside of one, after so many of its elements."""
        row, inside = self._place(cut)
        before = self.reached[row] - past if inside else None
        if before is not None and before == self.reached[row] - self.reached[row + 1]:
            row, before = row + 1, None  # the rest of the row is empty
        elif before == 0 and cut.value == self.edges[row]:
            before = None  # nothing lies between the edge and the cut but the edge itself
        return Mark(spec=cut.spec, slot=cut.slot, value=cut.value, removing=cut.removing, row=row, before=before)

    def _place(self, cut: _Cut) -> tuple[int, bool]:
        """The row of a cut, and whether it is inside."""
        starts: list[Any] = list(self.limits[:-1])
        if cut.ties and self.edges[0] <= cut.value <= self.high:
            return bisect_right(starts, cut.value) - 1, True
        if cut.limit is None or cut.limit > self.high:
            return len(starts), False
        row = bisect_right(starts, cut.limit) - 1
        return (0, False) if row < 0 else (row, starts[row] != cut.limit)


def _has(dtype: DType, value: Any) -> bool:
    """Whether elements of a dtype can be equal to a number."""
    return dtype.value(dtype.key(value)) == value if dtype.is_float else dtype.encode(value) is not None
