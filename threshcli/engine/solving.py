"""From pending thresholds to numbers: which elements a threshold is worked out from, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from threshcli.engine.maps import MapSources
from threshcli.engine.population import Piece, Population
from threshcli.engine.studying import Desk
from threshcli.errors import UsageError
from threshcli.plan.files import FilePlan
from threshcli.plan.request import Step
from threshcli.plan.tensors import Known, TensorPlan
from threshcli.studies.base import Study
from threshcli.thresholds.base import Answer, Fixed, Maps, Spread, Windowed, Worked


class Planned(NamedTuple):
    """A planned file, and the path at which its bytes are to be had: of a pipe, those of the copy that was made."""

    plan: FilePlan
    path: str

    def of(self, step: Step) -> list[TensorPlan]:
        """The tensors that a step is applied to."""
        return [item for plan in self.plan.tensors for item in plan.steps if item.applied and item.step is step]


class Share(NamedTuple):
    """A tensor that has thresholds together with others: the number of its file, its place there, and its elements."""

    file: int
    place: int
    piece: Piece


@dataclass(frozen=True, slots=True)
class Solver:
    """Works out the thresholds of one step, wherever it is applied. The desk looks at the elements that it asks for."""

    step: Step
    desk: Desk
    maps: Maps
    opened: MapSources | None = None
    """Map files of the steps before, where there are any."""

    def each(self, planned: Planned) -> Known:
        """The thresholds of one file, for every scope but `global`."""
        if not self._sources:
            return {}
        scope = self.step.fit.scope
        if scope.kind == "file":
            shared = self.together(list(self.shares(0, planned)), "the file")
            return {place: bound for _, found in shared for place, bound in found.items()}
        known: dict[tuple[int, str], Fixed | Spread] = {}
        for item in planned.of(self.step):
            piece = self._piece(planned, item)
            if scope.kind == "axis":
                found: Mapping[str, Fixed | Spread] = self._along(item, piece, scope.axis % len(item.tensor.shape))
            else:
                answers = self._answers(Population([piece]), f"tensor {item.name!r}")
                found = {slot: self._fixed(slot, answer, 0, piece) for slot, answer in answers.items()}
            known |= {(item.out.source, self.step.prefix + slot): bound for slot, bound in found.items()}
        return known

    def shares(self, number: int, planned: Planned) -> Iterator[Share]:
        """The tensors of the `number`-th file that the step is applied to."""
        return (Share(number, item.out.source, self._piece(planned, item)) for item in planned.of(self.step))

    def together(self, shares: Sequence[Share], who: str) -> Iterator[tuple[int, Mapping[tuple[int, str], Fixed]]]:
        """The thresholds of tensors that are one population: of each the number of its file, and what it has there."""
        population = Population([share.piece for share in shares])
        answers = self._answers(population, who)
        for index, share in enumerate(shares):
            start = population.start(index)
            yield (
                share.file,
                {
                    (share.place, self.step.prefix + slot): self._fixed(slot, answer, start, share.piece)
                    for slot, answer in answers.items()
                },
            )

    @property
    def _sources(self) -> dict[str, Worked]:
        return {slot: source for slot, source in self.step.thresholds.items() if isinstance(source, Worked)}

    def _answers(self, population: Population, who: str) -> dict[str, Answer]:
        if not population.elements:
            return {slot: nobody(source) for slot, source in self._sources.items()}
        terms = self.step.fit.terms(self.step.rule.magnitude)
        dtypes = {piece.dtype for piece in population.pieces}
        studies = [source.begin(terms, dtypes) for source in self._sources.values()]
        found = self.desk.answers(population, studies, self._looked_at(who))
        return {slot: self.step.fit.modified(answer) for slot, answer in zip(self._sources, found, strict=True)}

    def _looked_at(self, who: str) -> str:
        """What errors call the elements that are looked at."""
        fit = self.step.fit
        texts = ["without its zeros"] * fit.ignore_zero + ["inside of the mask"] * (fit.mask is not None)
        return " ".join((who, *texts))

    def _fixed(self, slot: str, answer: Answer, start: int, piece: Piece) -> Fixed:
        """The share of one tensor, which begins at position `start` of the population, in an answer."""
        spec = self._sources[slot].text
        answer = inside(answer, piece.view.elements, start)
        return Fixed(spec, answer.values[0], answer.above, answer)

    def _along(self, item: TensorPlan, piece: Piece, axis: int) -> dict[str, Fixed | Spread]:
        """A threshold for each index along an axis; one that is nobody's where a tensor has no elements, since it may
        have any number of indices."""
        if not piece.view.elements:
            return {slot: self._fixed(slot, nobody(source), 0, piece) for slot, source in self._sources.items()}
        count = item.tensor.shape[axis]
        fit, size = self.step.fit, piece.view.elements // count
        terms = fit.terms(self.step.rule.magnitude)

        def begin() -> list[Study[Answer]]:
            return [source.begin(terms, {piece.dtype}) for source in self._sources.values()]

        found = self.desk.slices(piece, axis, begin, self._looked_at(f"tensor {item.name!r}"))
        return {
            slot: Spread(source.text, axis, tuple(inside(fit.modified(answers[place]), size) for answers in found))
            for place, (slot, source) in enumerate(self._sources.items())
        }

    def mapped(self, planned: Planned, memory: int, stack: ExitStack) -> Known:
        """Maps of the thresholds from windows, in a file that the stack closes; `memory` is for all workers."""
        if not any(isinstance(source, Windowed) for source in self.step.thresholds.values()):
            return {}
        from threshcli.engine.mapping import Mapmaker, Subject

        subjects = [
            Subject(item, self._piece(planned, item), self._looked_at(f"tensor {item.name!r}"))
            for item in planned.of(self.step)
        ]
        output = planned.plan.output
        return Mapmaker(self.step, self.desk, memory).maps(subjects, None if output is None else output.beside, stack)

    def _piece(self, planned: Planned, item: TensorPlan) -> Piece:
        plan, tensor, before = planned.plan, item.tensor, None
        if self.opened is not None:
            from threshcli.engine.before import Before  # late: few thresholds have steps before theirs

            steps = plan.tensors[item.out.source].steps[: self.step.place]
            before = Before(steps, self.opened.open)
            along = self.step.fit.scope.kind == "axis" or any(
                source.spatial for source in self.step.thresholds.values()
            )
            if along and not before.is_everywhere_alike:
                raise UsageError(
                    f"tensor {item.name!r}: step {self.step.place + 1}, {self.step.name}: the steps before it have not "
                    "the same threshold everywhere, so that a part of what they make cannot be looked at by itself",
                    hint="run the steps before it by themselves",
                )
        return Piece(plan.job.input, planned.path, plan.fingerprint, tensor.view, tensor.dtype, item.mask, before)


def nobody(source: Worked) -> Answer:
    """The answer over a population without elements, which needs no threshold."""
    return Answer(values=(Fraction(0),) * source.cuts)


def inside(answer: Answer, elements: int, start: int = 0) -> Answer:
    """An answer with the position of a cut by rank as one of so many elements, which begin at `start`."""
    return answer if answer.above is None else answer._replace(above=min(max(answer.above - start, 0), elements))
