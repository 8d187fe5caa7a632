"""What the files of a run come to, as sums that grow by one file at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add
from typing import NamedTuple, Self

from threshcli.report import cuts
from threshcli.report.totals import Totals
from threshcli.results import FileResult, FileStatus, RunResult, RunStatus, TensorResult, ThresholdUsed

_STATES: tuple[FileStatus, ...] = ("written", "dry-run", "skipped", "read", "failed", "not-done")
_ONE = {state: tuple(int(state == other) for other in _STATES) for state in _STATES}


class Ranks(NamedTuple):
    """Cuts by rank: how many, how many elements they were asked to keep, and how many are equal to them."""

    many: int = 0
    asked: int = 0
    tied: int = 0

    @classmethod
    def of(cls, used: ThresholdUsed) -> Self:
        return cls(1, used.asked or 0, used.tied or 0)

    def plus(self, other: Ranks) -> Ranks:
        if not other.many:
            return self
        if not self.many:
            return other
        return Ranks(self.many + other.many, self.asked + other.asked, self.tied + other.tied)


_NO_RANKS = Ranks()


class Tally(NamedTuple):
    """Sums over files. Of the cuts by rank there are all, the first of each file (or of all shards of a checkpoint),
    and the very first: what was asked for a file, or for all files together, counts once."""

    states: tuple[int, ...] = (0,) * len(_STATES)
    tensors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    totals: Totals = Totals.of(())
    ranks: Ranks = _NO_RANKS
    by_file: Ranks = _NO_RANKS
    first: Ranks = _NO_RANKS
    unpacked: int = 0
    """Elements of tensors that were packed."""
    whole: str | None = None
    """The checkpoint that the latest file with cuts by rank is a shard of."""

    @classmethod
    def of(cls, file: FileResult) -> Self:
        """That of one file."""
        tensors = file.tensors
        ranks = [Ranks.of(used) for used in ranked(tensors)]
        first = ranks[0] if ranks else _NO_RANKS
        unpacked = sum([item.elements for item in tensors if item.packing])
        states, totals = _ONE[file.status], Totals.of(tensors)
        size, own = (file.bytes_in, file.bytes_out), file.whole if ranks else None
        return cls(
            states, len(tensors), *size, totals, _sum(ranks), first, first, unpacked, own
        )  # by place: this is done for each of many files

    @classmethod
    def looked_at(cls, states: Mapping[FileStatus, int], nbytes: int) -> Self:
        """That of files, of so many bytes together, of which only the states count."""
        return cls(states=tuple(states.get(state, 0) for state in _STATES), bytes_in=nbytes)

    @classmethod
    def of_run(cls, run: RunResult) -> Tally:
        """That of all files of a run."""
        found = Tally()
        for file in run.files:
            found = found.plus(Tally.of(file))
        return found

    def plus(self, other: Tally) -> Tally:
        """These sums and those of files that come later."""
        more = other.whole is not None and other.whole == self.whole  # another shard, of what was counted
        return Tally(
            states=tuple(map(add, self.states, other.states)),
            tensors=self.tensors + other.tensors,
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            totals=self.totals.plus(other.totals),
            ranks=self.ranks.plus(other.ranks),
            by_file=self.by_file.plus(_NO_RANKS if more else other.by_file),
            first=self.first if self.first.many else other.first,
            unpacked=self.unpacked + other.unpacked,
            whole=other.whole if other.ranks.many else self.whole,
        )

    @property
    def files(self) -> int:
        return sum(self.states)

    @property
    def failed(self) -> int:
        return self.counted("failed")

    def counted(self, state: FileStatus) -> int:
        """How many files have come to this."""
        return self.states[_STATES.index(state)]

    @property
    def status(self) -> RunStatus:
        """What has become of the run."""
        if not self.failed:
            return "ok"
        return "failed" if self.failed == self.files else "partial"

    def asked(self, scope: object) -> Ranks:
        """What was asked for, where thresholds have this scope."""
        return self.first if scope == "global" else self.by_file if scope == "file" else self.ranks


def ranked(tensors: Sequence[TensorResult]) -> list[ThresholdUsed]:
    """The cuts by rank of these tensors, the first of each."""
    found = []
    for item in tensors:
        if item.applied and item.threshold is not None:
            found += [used for used in cuts.slots_of(item) if used.asked is not None][:1]
    return found


def _sum(ranks: list[Ranks]) -> Ranks:
    found = _NO_RANKS
    for one in ranks:
        found = found.plus(one)
    return found
