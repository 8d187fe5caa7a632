"""Which output belongs to which input, settled for a whole call before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from threshcli import containers
from threshcli.containers.base import Reader
from threshcli.errors import ThreshError, UsageError
from threshcli.plan.index import Index, is_index, members, read_index
from threshcli.plan.inputs import Files, Input, Inputs
from threshcli.plan.places import Marks, Places
from threshcli.storage.spool import STDIN
from threshcli.storage.streams import STDOUT

_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("dir", "stem", "ext", "name", "rel", "rule", "i")
_FOLDERS = ("dir", "rel")


class Job(NamedTuple):
    """One input file, and where its output and its residual go (None: nowhere). A shard is worked on as a part of the
    `whole`, the checkpoint with this index."""

    input: str
    output: str | None
    residual: str | None = None
    whole: str | None = None


class Jobs(Sequence[Job]):
    """The jobs of files, each made when it is asked for: those of a batch are many, and their names are known."""

    def __init__(self, files: Files, make: Callable[[Input, int], Job], numbers: range | None = None) -> None:
        self._files, self._make = files, make
        self._numbers = range(len(files)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> Job: ...

    @overload
    def __getitem__(self, at: slice) -> Jobs: ...

    def __getitem__(self, at: int | slice) -> Job | Jobs:
        if isinstance(at, slice):
            return Jobs(self._files, self._make, self._numbers[at])
        return self._make(self._files[self._numbers[at]], self._numbers[at])

    def __iter__(self) -> Iterator[Job]:
        return (self._make(self._files[number], number) for number in self._numbers)


class _Template:
    """A path with fields; UsageError for fields that there are not."""

    def __init__(self, text: str, rule: str) -> None:
        self._words = _FIELD.split(text)  # text and the names of fields in turn
        self._rule = rule
        for field in self._words[1::2]:
            if field not in _FIELDS:
                known = " ".join(f"{{{name}}}" for name in _FIELDS)
                raise UsageError(f"{{{field}}} is no field of a template", hint=f"there are {known}")

    def filled(self, item: Input, number: int) -> str:
        """The path for an input, the `number`-th of the call."""
        if len(self._words) == 1:
            return self._words[0]
        folder, name = os.path.split(_named(item.path))
        stem, ext = os.path.splitext(name)
        rel = os.path.splitext(item.rel)[0]
        values = {"dir": folder or ".", "stem": stem, "ext": ext, "name": name, "rel": rel}
        values |= {"rule": self._rule, "i": str(number)}
        return "".join(values[word] if place % 2 else word for place, word in enumerate(self._words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How outputs are named: one of `output` (a path or template), `out_dir`, `in_place`; none for a dry run. With
    `keep_tree` the folders of the inputs are kept below `out_dir`."""

    output: str | None = None
    out_dir: str | None = None
    keep_tree: bool = False
    in_place: bool = False
    residual: str | None = None
    to: str | None = None
    rule: str = ""
    dry_run: bool = False

    @property
    def makes_folders(self) -> bool:
        """Whether the folders of outputs are made where they are missing: those that a path has from an input."""
        templates = (self.output or "", self.residual or "")
        from_inputs = any(field in _FOLDERS for text in templates for field in _FIELD.findall(text))
        return self.out_dir is not None or from_inputs

    @property
    def to_stdout(self) -> bool:
        """Whether standard output carries a tensor file."""
        return not self.dry_run and (self.output in STDOUT or self.residual in STDOUT)

    def jobs(self, inputs: Inputs | Sequence[str]) -> Sequence[Job]:
        """The jobs of this call's share of the inputs (or of plain paths), in their order; UsageError where two
        inputs, of any share, would meet on one output, or an output is another's input."""
        if not isinstance(inputs, Inputs):
            inputs = Inputs(Files(inputs))
        self._check_choice(inputs)
        output = None if self.output is None else _Template(self.output, self.rule)
        residual = None if self.residual is None else _Template(self.residual, self.rule)
        suffix = None if self.to is None else containers.for_output("", self.to, "").extensions[0]

        def job(item: Input, number: int) -> Job:
            into = self._output(item, suffix) if output is None else output.filled(item, number)
            left = None if residual is None else residual.filled(item, number)
            return Job(item.path, _standard(into), _standard(left))

        jobs = Jobs(inputs.files, job)
        for number, path in enumerate(inputs.files.paths):
            if is_index(path):
                self._check_index(jobs[number])
        self._check_meetings(jobs, inputs.files.paths)
        return inputs.share(jobs)

    def known(self, job: Job, reader: Reader) -> Job:
        """The job of an input that is open: with -O the output of standard input, which has no name of its own, has the
        extension of its format."""
        if not self._lacks_extension(job):
            return job
        return job._replace(output=f"{job.output}{containers.identify(reader).extensions[0]}")

    def _lacks_extension(self, job: Job) -> bool:
        return job.input in STDIN and self.out_dir is not None and self.to is None

    def _outputs(self, job: Job) -> list[str | None]:
        """What the output of a job may be called."""
        if not self._lacks_extension(job):
            return [job.output]
        return [f"{job.output}{container.extensions[0]}" for container in containers.registered().values()]

    def _check_choice(self, inputs: Inputs) -> None:
        given = [name for name, value in self._choices() if value]
        if not inputs.files and not inputs.is_part:
            raise UsageError("no input files", hint="name one")
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} exclude each other", hint="choose where the output goes once")
        if not given and not self.dry_run:
            raise UsageError("nowhere to write", hint="say -o FILE, -O FOLDER or --in-place; -n shows the plan only")
        if self.keep_tree and self.out_dir is None:
            raise UsageError("--keep-tree is for -O", hint="say -O FOLDER, or use a template: -o 'FOLDER/{rel}{ext}'")
        if self.in_place and self.to is not None:
            raise UsageError("--in-place keeps the format", hint="use -o or -O with --to")
        if self.in_place and any(path in STDIN for path in inputs.files.paths):
            raise UsageError("standard input cannot be replaced", hint="say -o FILE, or -o - for standard output")
        for option, template in (("-o", self.output), ("--residual", self.residual)):
            if template is not None and len(inputs.files) > 1 and not _FIELD.search(template):
                raise UsageError(
                    f"{option} names one file, and there are {len(inputs.files)} inputs",
                    hint=f"use -O FOLDER, or a template such as {option} '{{dir}}/{{stem}}-{self.rule}{{ext}}'",
                )

    def _check_index(self, job: Job) -> None:
        """UsageError of what a checkpoint that an index stands for cannot have."""
        for option, value in (("--to", self.to), ("--residual", self.residual)):
            if value is not None:
                raise UsageError(
                    f"{job.input} stands for a whole checkpoint, which has no {option}",
                    hint="name its shards in place of the index",
                )
        if job.output is not None and not is_index(job.output):
            raise UsageError(
                f"{job.output} is no name for the index of a checkpoint",
                hint=f"use -O FOLDER, or -o FOLDER/{os.path.basename(job.input)}: the shards go beside it",
            )
        if job.output is not None and not self.in_place and _folder(job.output) == _folder(job.input):
            raise UsageError(
                f"{job.output} is beside {job.input}, and the shards, which go beside it, keep their names",
                hint="write to another folder: -O FOLDER; or say --in-place",
            )

    def _choices(self) -> tuple[tuple[str, object], ...]:
        return ("-o", self.output), ("-O", self.out_dir), ("--in-place", self.in_place)

    def _output(self, item: Input, suffix: str | None) -> str | None:
        if self.in_place:
            return item.path
        if self.out_dir is None:
            return None
        name = item.rel if self.keep_tree else os.path.basename(_named(item.path))
        return os.path.join(self.out_dir, name if suffix is None else os.path.splitext(name)[0] + suffix)

    def _ends(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, str]]:
        """What the jobs write, and under which names they may."""
        for job in jobs:
            for path in (*self._outputs(job), job.residual, *_shards(job)):
                if path is not None:
                    yield job, path

    def _check_meetings(self, jobs: Sequence[Job], inputs: Sequence[str]) -> None:
        places, taken, there = Places(), Marks(), Marks()
        for _, path in self._ends(jobs):
            place, exists = places.target(path)
            taken.add(place)
            if exists and not self.in_place:
                there.add(place)
        if taken.repeat:
            self._check_apart(jobs, places)
        read: dict[str, list[str]] = {}
        for path in inputs if there else ():
            for place in (places.target(name)[0] for name in members(path)):
                if place in there:
                    read.setdefault(place, []).append(path)
        for job, path in self._ends(jobs) if read else ():
            if any(other != job.input for other in read.get(places.target(path)[0], ())):
                raise UsageError(
                    f"{path} is the output of {job.input}, and an input itself",
                    hint="write to another folder: -O FOLDER",
                )

    def _check_apart(self, jobs: Iterable[Job], places: Places) -> None:
        """UsageError where two outputs are one."""
        makers: dict[str, str] = {}
        for job, path in self._ends(jobs):
            place = places.target(path)[0]
            if place in makers:
                raise self._meeting(makers[place], job.input, path)
            makers[place] = job.input

    def _meeting(self, first: str, second: str, path: str) -> UsageError:
        if first == second:
            return UsageError(f"output and residual of {first} would both be {path}", hint="give them two names")
        hint = "use a template such as -o '{dir}/{stem}-{rule}{ext}'"
        if self.out_dir is not None and not self.keep_tree:
            hint = "use --keep-tree, or a template such as -o '{dir}/{stem}-{rule}{ext}'"
        return UsageError(f"{first} and {second} would both be written to {path}", hint=hint)


def _folder(path: str) -> str:
    return os.path.realpath(os.path.dirname(path))


def _standard(path: str | None) -> str | None:
    """A path, with one name for standard output."""
    return "-" if path in STDOUT else path


def _named(path: str) -> str:
    """The path that outputs are named after."""
    return "stdin" if path in STDIN else path


def shard_jobs(job: Job, index: Index) -> list[Job]:
    """The jobs of the shards of an index: their outputs go beside that of the index."""
    outputs = [None] * len(index.listed) if job.output is None else index.beside(job.output)
    return [Job(path, output, None, index.path) for path, output in zip(index.shards, outputs, strict=True)]


def parts(job: Job) -> list[Job]:
    """The jobs of the shards in place of that of an index, else a job itself."""
    return shard_jobs(job, read_index(job.input)) if is_index(job.input) else [job]


def _shards(job: Job) -> list[str]:
    """The outputs of the shards that an index stands for, if it can be read."""
    if job.output is None or not is_index(job.input):
        return []
    try:
        return read_index(job.input).beside(job.output)
    except ThreshError:
        return []  # told when its turn comes


def touched(job: Job) -> list[str]:
    """The files that a job reads or writes, those of the shards that an index stands for among them."""
    return [path for path in (*members(job.input), job.output, job.residual, *_shards(job)) if path is not None]


def display_name(path: str) -> str:
    """What an unnamed tensor of this file is called: the file's stem."""
    name = _named(path).rstrip("/").rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem.strip(".") else name  # as os.path.splitext, in less time
