"""What was asked for, parsed and resolved once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any, NamedTuple, Self

from threshcli.dtypes import DType
from threshcli.errors import UsageError
from threshcli.packings.base import Packing
from threshcli.plan.fit import Fit
from threshcli.plan.maps import divided
from threshcli.plan.names import Names
from threshcli.plan.patience import patience
from threshcli.plan.selection import Selection
from threshcli.rules.base import Components, Rule, slot_of
from threshcli.spec import Axes
from threshcli.thresholds.base import Threshold


def by_slot(texts: Mapping[str, str]) -> dict[str, str]:
    """Texts of thresholds by the names of their slots, with commas between those of one slot."""
    found: dict[str, list[str]] = {}
    for key, text in texts.items():
        found.setdefault(slot_of(key), []).append(text)
    return {slot: ",".join(several) for slot, several in found.items()}


def without_folder(text: str) -> str:
    """`@folder/map.npy` as `@map.npy`: where a file was is nobody's business."""
    if not text.startswith("@"):
        return text
    path, _ = divided(text[1:])
    return f"@{PurePath(path).name}{text[1 + len(path) :]}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A rule with all that decides what it writes: its thresholds by key, how those are found that are worked out, the
    dtype of what it makes. `name` is the rule's, `specs` are the thresholds as written."""

    rule: Rule
    name: str
    thresholds: Mapping[str, Threshold]
    specs: Mapping[str, str]
    fit: Fit = field(default_factory=Fit)
    axes: Axes | None = None
    """The axes along which elements are neighbours; None for all."""
    out_dtype: DType | None = None
    broadcast: bool = False
    prefix: str = ""
    """What stands before its keys where there are several steps: `2.` for the second."""

    def __post_init__(self) -> None:
        """UsageError where axes are named and nothing looks along them."""
        looks = self.rule.spatial or any(source.spatial for source in self.thresholds.values())
        if self.axes is not None and not looks:
            raise UsageError(
                "--axes is for what looks at neighbours: thresholds from a window, hysteresis",
                hint="leave it out; --scope axis:N gives each index along an axis its own threshold",
            )

    @property
    def place(self) -> int:
        """How many steps there are before it."""
        return int(self.prefix[:-1]) - 1 if self.prefix else 0

    @property
    def is_fitted(self) -> bool:
        """Whether a threshold is to be worked out from data."""
        return any(source.from_data for source in self.thresholds.values())

    @property
    def by_header(self) -> bool:
        """Whether a header says all that there is to know for a plan, so that tensors alike are planned alike."""
        return self.fit.mask is None and all(source.by_header for source in self.thresholds.values())

    @property
    def passes(self) -> int:
        """How often elements are read: once to write, before that to work out thresholds, and to follow components."""
        return 1 + self.is_fitted + self.looks_far

    @property
    def looks_far(self) -> bool:
        """Whether components are followed through the whole of a tensor before it is worked on."""
        return isinstance(self.rule.beside, Components)

    def params(self) -> dict[str, object]:
        """The options that decide the values written, as the report states them."""
        stated: dict[str, object] = dict(by_slot(self.specs))
        for item in self.rule.options():
            value = getattr(self.rule, item.name)
            if item.name != "nan" and value is not None:
                stated[item.name] = value.plain if hasattr(value, "plain") else value
        stated["nan"] = str(self.rule.nan_policy)
        stated |= self.fit.params()
        if self.axes is not None:
            stated["axes"] = str(self.axes)
        if self.out_dtype is not None:
            stated["out_dtype"] = self.out_dtype.name
        if self.broadcast:
            stated["broadcast"] = True
        return stated

    def exact(self) -> dict[str, str]:
        """Those of the options that are numbers, as they were written, where Python's own are not the same."""
        options = {item.name: getattr(self.rule, item.name) for item in self.rule.options()}
        found = {name: str(value) for name, value in options.items() if hasattr(value, "plain")}
        return found | self.fit.exact()


class Entry(NamedTuple):
    """What is done with the tensors that a selection chooses: step after step; without any they stay as they are."""

    selection: Selection
    steps: tuple[Step, ...]
    label: str = ""
    """What people call it, where there are several: `entry 2`."""
    optional: bool = False
    """Whether it may be that nothing matches it."""

    def check(self, names: Sequence[str]) -> None:
        """UsageError where a pattern matches none of these names, and should."""
        try:
            if not self.optional:
                self.selection.check(names)
        except UsageError as error:
            more = "; or let it be so: optional = true" if self.label else ""
            what = f"{self.label}: {error.what}" if self.label else error.what
            raise UsageError(what, hint=f"{error.hint}{more}") from error

    @classmethod
    def of(cls, selection: Selection, steps: Sequence[Step]) -> Self:
        """These steps, numbered where there are several."""
        several = len(steps) > 1
        return cls(
            selection, tuple(replace(step, prefix=f"{n}." if several else "") for n, step in enumerate(steps, 1))
        )


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which tensors become what (the first entry that chooses a tensor has it), the names of outputs, and how to go
    about it."""

    entries: tuple[Entry, ...]
    command: str
    names: Names
    packing: Packing | None = None
    """How the outputs of all that is worked on are packed, where they can be."""
    overwrite: bool = False
    skip_existing: bool = False
    fsync: bool | None = None
    provenance: bool = True
    sidecar: bool = False
    """Whether the recipe is written to a file beside each output, too."""
    noted: Mapping[str, Any] | None = None
    """What the recipe notes of the output that it is of, `thresholds` and `before`; None where people wrote it."""
    device: str = "cpu"
    jobs: int = 1
    max_memory: int = 64 << 20
    moments: bool = False
    """Whether means and norms are wanted by the report."""

    def __post_init__(self) -> None:
        """UsageError of what excludes each other."""
        if self.skip_existing and self.names.in_place:
            raise UsageError(
                "--in-place and --skip-existing exclude each other: each output is there before",
                hint="write to a folder: -O FOLDER",
            )

    @classmethod
    def of(cls, *, command: str, names: Names, selection: Selection | None = None, **options: Any) -> Self:
        """That of one rule, over the tensors that are selected (None: all); `options` are those of a Step and of this
        class."""
        known = {item.name for item in fields(Step)}
        step = Step(name=command, **{name: value for name, value in options.items() if name in known})
        more = {name: value for name, value in options.items() if name not in known}
        return cls(entries=(Entry(selection or Selection(), (step,)),), command=command, names=names, **more)

    def entries_for(self, names: Sequence[str]) -> list[Entry | None]:
        """Those which say what is done with tensors of these names."""
        with patience(len(names) * sum(len(entry.selection.regex) for entry in self.entries)):
            return [next((entry for entry in self.entries if entry.selection.chosen(name)), None) for name in names]

    def idle_patterns(self, names: Sequence[str]) -> list[str]:
        """UsageError where a pattern matches none of these names. Warnings in its place for a recipe that was noted of
        an output: another file of that call may have had what matches."""
        idle: list[str] = []
        for entry in self.entries:
            try:
                entry.check(names)
            except UsageError as error:
                if self.noted is None:
                    raise
                idle.append(error.what)
        return idle

    @property
    def steps(self) -> Iterator[Step]:
        """All steps of all entries, in order."""
        return (step for entry in self.entries for step in entry.steps)

    @property
    def is_fitted(self) -> bool:
        """Whether a threshold is to be worked out from data."""
        return any(step.is_fitted for step in self.steps)

    @property
    def later_places(self) -> list[int]:
        """The places of steps, but for the first, that have thresholds to be worked out."""
        return sorted({step.place for step in self.steps if step.is_fitted} - {0})

    @property
    def passes(self) -> int:
        """How often a file is read, at most."""
        most = max((step.passes for step in self.steps), default=1)
        measured = self.packing is not None and self.packing.measured
        return most + measured * max((1 + step.looks_far for step in self.steps), default=1)

    @property
    def operator(self) -> str:
        """The comparison in words for people, where there is one rule only."""
        steps = list(self.steps)
        return steps[0].rule.operator() if len(steps) == 1 else ""

    @property
    def decides(self) -> bool:
        """Whether all that is done is to write constants in place of what is compared."""
        last = [entry.steps[-1].rule.decides for entry in self.entries if entry.steps]
        return bool(last) and all(last)

    def params(self) -> dict[str, object]:
        """The options that decide the values written, as the report states them, where there is one rule only."""
        steps = list(self.steps)
        if len(steps) != 1 or len(self.entries) > 1:
            return {}
        stated = steps[0].params()
        return stated if self.packing is None else {**stated, "pack": self.packing.name}
