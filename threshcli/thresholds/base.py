"""The contract of a threshold source: where the values to compare with come from.

A source is one file here with one frozen dataclass. `parse` recognises its way of writing and returns None for any
other, so that sources do not know each other. `bind` fits it to one tensor before any data is read and returns either a
`Fixed` number or a `Mapped` view of another file's elements; it raises UsageError where it cannot fit.

A source that is worked out from data folds tiles into a small mergeable state first and is then bound to what came out
of it; rules and engine see no difference: a rule meets a number or a block, never a source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from threshcli.containers.base import Contents
from threshcli.dtypes import DType, Real
from threshcli.tiles import View


@dataclass(frozen=True, slots=True)
class Fitted:
    """The tensor that a threshold is bound to: its name, its shape, the order of axes in which it is walked, and
    whether a map may broadcast to it."""

    name: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    broadcast: bool


@dataclass(frozen=True, slots=True)
class Fixed:
    """One number for the whole tensor."""

    spec: str
    value: Real


@dataclass(frozen=True, slots=True)
class Mapped:
    """One value an element: where they lie in the file `path`, seen with the tensor's shape in its walking order."""

    spec: str
    path: str
    fingerprint: tuple[int, ...]
    dtype: DType
    view: View


Bound = Fixed | Mapped


class Maps(ABC):
    """Headers of map files, each read once; the plan hands it to `bind`."""

    @abstractmethod
    def contents(self, path: str) -> tuple[Contents, tuple[int, ...]]:
        """What the file holds, and its fingerprint; InputError if it cannot be read."""


@dataclass(frozen=True)
class Threshold(ABC):
    """Base of all sources; see the top of this module."""

    form: ClassVar[str]
    """How it is written, for help and error messages."""
    meaning: ClassVar[str]
    """What it means, in a few words."""

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self | None:
        """The source, if `text` is written its way; UsageError if it plainly should be but is wrong."""

    @abstractmethod
    def bind(self, tensor: Fitted, maps: Maps) -> Bound:
        """This source for one tensor; UsageError where it does not fit."""
