"""The plans of a call's files: what was settled for one serves every other whose header says the same.

Thousands of small files are alike, mostly: the same dtype and shape under other names. What a header says, what becomes
of such a file, and what the engine has made of that, is worked out once; only paths are a file's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from threshcli import containers
from threshcli.containers.base import Contents
from threshcli.plan.files import FilePlan, Settled, file_plan, names_of, settle
from threshcli.plan.names import Job
from threshcli.plan.packs import Measured
from threshcli.plan.request import Request
from threshcli.plan.selection import Selection
from threshcli.plan.tensors import Known
from threshcli.storage.local import Source
from threshcli.thresholds.base import Maps

_ROOM = 1 << 18  # bytes of headers that are kept; a plan is some tens of times as large as its header
_SHORT = 1 << 12  # bytes of a header that is compared with the latest one before it is looked at
_Head = tuple[str, int, bytes]
_Kind = tuple[_Head, str, str | None]


@dataclass(slots=True)
class Planner:
    """Plans the files of a call, one by one. `strict` refuses patterns that match no tensor of a file."""

    request: Request
    maps: Maps
    strict: bool
    _contents: dict[_Head, Contents] = field(default_factory=dict)
    _settled: dict[_Kind, Settled] = field(default_factory=dict)
    _kinds: dict[tuple[_Head, str | None, str | None], _Kind | None] = field(default_factory=dict)
    _kept: int = 0
    _latest: tuple[_Head, Contents] | None = None

    def plan(
        self,
        job: Job,
        source: Source,
        known: Known | None = None,
        measured: Measured | None = None,
        recipe: Mapping[str, str] | None = None,
    ) -> FilePlan:
        """The plan of one input, open as `source`, as `plan_file` would make it; with a `recipe` as `settle` has it."""
        head, contents = self._read(source)
        given = known is not None or measured is not None or recipe is not None
        own = head is None or given or job.whole is not None
        kind = None if head is None or own else self._kind(head, job, contents)
        settled = None if kind is None else self._settled.get(kind)
        if settled is None:
            settled = settle(
                self.request,
                job,
                contents,
                self.maps,
                strict=self.strict,
                known=known,
                measured=measured,
                recipe=recipe,
            )
            if kind is not None:
                self._settled[kind] = settled
        else:
            settled = _named(settled, job)
        return file_plan(self.request, job, source, settled)

    def _read(self, source: Source) -> tuple[_Head | None, Contents]:
        """What a file holds, and what decides that."""
        latest = self._latest
        if latest is not None:
            _, size, begin = latest[0]
            if source.size == size and source.read(0, len(begin)) == begin:
                return latest
        container = containers.identify(source)
        first = container.head(source)
        if first is None or len(first) > _ROOM:
            return None, container.read(source)
        head = container.name, source.size, first
        contents = self._contents.get(head)
        if contents is None:
            contents = container.read(source)
            self._keep(head, contents)
        if containers.IDENTIFYING <= len(first) <= _SHORT:
            self._latest = head, contents  # no other container would be found by these bytes, and there are more
        return head, contents

    def _keep(self, head: _Head, contents: Contents) -> None:
        """Remember a header; when there is no room, all others are forgotten."""
        self._kept += len(head[2])
        if self._kept > _ROOM:
            self._contents.clear()
            self._settled.clear()
            self._kinds.clear()
            self._kept = len(head[2])
        self._contents[head] = contents

    def _kind(self, head: _Head, job: Job, contents: Contents) -> _Kind | None:
        """What a plan depends on beside the request; None where names or other files have a say."""
        place = head, _extension(job.output), _extension(job.residual)
        if place not in self._kinds:
            self._kinds[place] = self._worked_out(head, job, contents)
        return self._kinds[place]

    def _worked_out(self, head: _Head, job: Job, contents: Contents) -> _Kind | None:
        request = self.request
        if request.packing is not None or request.sidecar:
            return None
        if not all(step.by_header for step in request.steps):
            return None
        out = containers.for_output(job.output or "", request.names.to, contents.container).name
        left = None if job.residual is None else containers.for_output(job.residual, None, contents.container).name
        if all(tensor.name for tensor in contents.tensors):
            return head, out, left
        selects = any(entry.selection != Selection() for entry in request.entries)
        alike = out == contents.container and left in (None, out) and not selects
        return (head, out, left) if alike else None


def _named(settled: Settled, job: Job) -> Settled:
    """What is settled of a file that is as another: tensors without names have them from the file."""
    contents = settled.contents
    if all(tensor.name for tensor in contents.tensors):
        return settled
    names = names_of(contents, job.input)
    tensors = tuple([item.named(name) for item, name in zip(settled.tensors, names, strict=True)])
    return Settled(contents, tensors, *settled[2:])


def _extension(path: str | None) -> str | None:
    """By what an output's format is chosen."""
    return None if path is None else path[path.rfind("/") + 1 :].rpartition(".")[2]
