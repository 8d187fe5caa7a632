"""What `sweep` tells of a tensor: what each of many thresholds would keep of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from threshcli.dtypes import Compare, DType
from threshcli.engine.population import Population
from threshcli.errors import InputError
from threshcli.executors.examine import Subject
from threshcli.findings import SweepRow, TensorSweep
from threshcli.kernels.base import Rank, Scalar
from threshcli.spec import Number
from threshcli.studies.base import Study, tried
from threshcli.studies.sweep import Cut, Part, Swept, Tie, sweep
from threshcli.thresholds.base import Answer, Fixed, Terms, Worked

_Found = Fixed | str
"""A threshold of a population, or why it has none."""


@dataclass(slots=True)
class Sweep:
    """Looks at tensors, or at their magnitudes. With one population for all of them `survey` works the thresholds out
    before; else each tensor has its own."""

    sources: Sequence[Number | Worked]
    terms: Terms = field(default_factory=Terms)
    compare: Compare = "gt"
    _shared: list[_Found] | None = None
    _starts: Iterator[int] = field(default_factory=lambda: iter(()))

    def survey(self, subjects: Sequence[Subject]) -> None:
        """Work the thresholds out over all tensors together, to be looked at one by one in the same order then."""
        population = Population([subject.piece for subject in subjects])
        self._starts = iter([population.start(index) for index in range(len(subjects))])
        studies = self._studies({subject.tensor.dtype for subject in subjects}, population.elements)
        answers = subjects[0].desk.answers(population, studies, "all inputs together") if subjects else []
        self._shared = self._found(answers)

    def look(self, subject: Subject) -> TensorSweep:
        """The passes that the thresholds need, shared by all of them, and one more that counts."""
        elements, start = subject.piece.view.elements, next(self._starts, 0)
        found = self._shared
        if found is None:
            found = self._found(subject.answers(*self._studies({subject.tensor.dtype}, elements)))
        found = [self._checked(item) for item in found]
        dtype = subject.tensor.dtype.compared
        cuts = [self._cut(item, dtype, start, elements) for item in found if isinstance(item, Fixed)]
        swept: Swept
        (swept,) = subject.answers(sweep(self.terms.lens, dtype, cuts))
        kept = iter(swept.kept)
        return TensorSweep(
            **subject.about(),
            rows=tuple(
                _row(item, next(kept), swept.usable, dtype)
                if isinstance(item, Fixed)
                else SweepRow(spec=source.text, reason=item)
                for source, item in zip(self.sources, found, strict=True)
            ),
            nan=elements - swept.usable.elements,
            zeros=swept.usable.zeros,
            energy=_float(swept.usable.energy),
        )

    def _studies(self, dtypes: set[DType], elements: int) -> list[Study[Answer | InputError]]:
        """The studies of the thresholds that are worked out, from so many elements of these dtypes."""
        return [tried(source.begin(self.terms, dtypes)) for source in self._worked if elements]

    @property
    def _worked(self) -> list[Worked]:
        return [source for source in self.sources if isinstance(source, Worked)]

    def _found(self, answers: Sequence[Answer | InputError]) -> list[_Found]:
        """The thresholds in the order in which they were asked for; without answers there were no elements."""
        rest = iter(answers)
        found: list[_Found] = []
        for source in self.sources:
            if isinstance(source, Number):
                found.append(Fixed(source.text, source.value))
                continue
            answer = next(rest, None)
            if isinstance(answer, Answer):
                found.append(Fixed(source.text, answer.values[0], answer.above, answer))
            else:
                found.append("there are no elements" if answer is None else answer.what)
        return found

    def _checked(self, item: _Found) -> _Found:
        """What no rule would take is no threshold."""
        if self.terms.magnitude and isinstance(item, Fixed) and item.value < 0:
            return "is negative, and magnitudes never are"
        return item

    def _cut(self, item: Fixed, dtype: DType, start: int, elements: int) -> Cut:
        """What elements have to reach, exactly as a rule compares them; ties lie at positions of the population, of
        which the tensor has `elements` from `start` on."""
        magnitude = self.terms.magnitude
        if item.above is None:
            return Cut(Scalar(item.value).range(dtype, self.compare, magnitude).low)
        above = min(max(item.above - start, 0), elements)
        if above in (0, elements):
            return Cut(Rank(item.value, above > 0).range(dtype, self.compare, magnitude).low)
        beside = Cut(Rank(item.value, False).range(dtype, self.compare, magnitude).low)
        seen = self.terms.lens.dtype(dtype)
        code = seen.encode(item.value)
        key = None if code is None else seen.key(item.value) if seen.is_float else int(item.value)
        return beside if key is None or seen.value(key) != item.value else Cut(beside.key, Tie(key, above))


def _row(item: Fixed, kept: Part, usable: Part, dtype: DType) -> SweepRow:
    found = item.found
    return SweepRow(
        spec=item.spec,
        value=item.plain(item.value, dtype),
        kept=kept.elements,
        energy=_float(kept.energy),
        energy_share=_share(kept.energy, usable.energy),
        zeros_after=usable.elements - kept.elements + kept.zeros,
        asked=None if found is None else found.asked,
        tied=None if found is None else found.tied,
    )


def _share(part: Fraction, whole: Fraction) -> float | None:
    """A part of a whole; 0 and 1 stand for none and all, and for nothing else."""
    if not whole:
        return None
    share = float(part / whole)
    if share == 1.0 and part < whole:
        return math.nextafter(1.0, 0.0)
    return math.ulp(0.0) if share == 0.0 and part else share


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
