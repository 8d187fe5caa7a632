"""What was asked for, parsed and resolved once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from threshcli.dtypes import DType
from threshcli.errors import UsageError
from threshcli.plan.fit import Fit
from threshcli.plan.names import Names
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
    return "@" + PurePath(text).name if text.startswith("@") else text


@dataclass(frozen=True, kw_only=True)
class Request:
    """A rule, its thresholds by key, the names of outputs, and how to go about it. `specs` are the thresholds as
    written."""

    rule: Rule
    command: str
    thresholds: Mapping[str, Threshold]
    specs: Mapping[str, str]
    names: Names
    selection: Selection = field(default_factory=Selection)
    fit: Fit = field(default_factory=Fit)
    axes: Axes | None = None
    """The axes along which elements are neighbours; None for all."""
    out_dtype: DType | None = None
    broadcast: bool = False
    overwrite: bool = False
    skip_existing: bool = False
    fsync: bool | None = None
    provenance: bool = True
    device: str = "cpu"
    jobs: int = 1
    max_memory: int = 64 << 20
    moments: bool = False
    """Whether means and norms are wanted by the report."""

    def __post_init__(self) -> None:
        """UsageError where axes are named and nothing looks along them."""
        looks = self.rule.spatial or any(source.spatial for source in self.thresholds.values())
        if self.axes is not None and not looks:
            raise UsageError(
                "--axes is for what looks at neighbours: thresholds from a window, hysteresis",
                hint="leave it out; --scope axis:N gives each index along an axis its own threshold",
            )

    @property
    def is_fitted(self) -> bool:
        """Whether a threshold is to be worked out from data."""
        return any(source.from_data for source in self.thresholds.values())

    @property
    def passes(self) -> int:
        """How often a file is read: once to write, before that to work out thresholds, and to follow components."""
        return 1 + self.is_fitted + isinstance(self.rule.beside, Components)

    def params(self) -> dict[str, object]:
        """The options that decide the values written, as the report and the provenance state them."""
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
        return stated

    def recipe(self, used: Mapping[str, object], stated_elsewhere: Mapping[str, object]) -> dict[str, str]:
        """Text for the metadata of an output: what was done, by which thresholds if they were worked out (`used`), and
        nothing of when, where or by whom. What is `stated_elsewhere` of the thresholds stands in for their text."""
        stated = {
            name: without_folder(value) if isinstance(value, str) else value
            for name, value in {**self.params(), **stated_elsewhere}.items()
        }
        exact = {
            item.name: str(getattr(self.rule, item.name))
            for item in self.rule.options()
            if hasattr(getattr(self.rule, item.name), "plain")
        }
        more = {"thresholds": used} if used else {}
        return {"thresh": json.dumps({"rule": self.command, **stated, **exact, **more}, sort_keys=True)}
