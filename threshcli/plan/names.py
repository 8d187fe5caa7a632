"""Which output belongs to which input, settled for a whole call before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from threshcli import containers
from threshcli.errors import UsageError

_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("dir", "stem", "ext", "name", "rule", "i")


class Job(NamedTuple):
    """One input file, and where its output and its residual go (None: nowhere)."""

    input: str
    output: str | None
    residual: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How outputs are named: one of `output` (a path or template), `out_dir`, `in_place`; none for a dry run."""

    output: str | None = None
    out_dir: str | None = None
    in_place: bool = False
    residual: str | None = None
    to: str | None = None
    rule: str = ""
    dry_run: bool = False

    def jobs(self, inputs: Sequence[str]) -> list[Job]:
        """The jobs of these inputs, in their order; UsageError where two would meet on one output."""
        self._check_choice(len(inputs))
        jobs = []
        for index, path in enumerate(inputs):
            residual = None if self.residual is None else self._fill(self.residual, path, index)
            jobs.append(Job(path, self._output(path, index), residual))
        self._check_meetings(jobs)
        return jobs

    def _check_choice(self, inputs: int) -> None:
        given = [name for name, value in self._choices() if value]
        if not inputs:
            raise UsageError("no input files", hint="name one, for instance weights.safetensors")
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} exclude each other", hint="choose where the output goes once")
        if not given and not self.dry_run:
            raise UsageError("nowhere to write", hint="say -o FILE, -O FOLDER or --in-place; -n shows the plan only")
        if self.output == "-":
            raise UsageError("tensors cannot be written to standard output yet", hint="name a file: -o OUT.npy")
        for option, template in (("-o", self.output), ("--residual", self.residual)):
            if template is not None and inputs > 1 and not _FIELD.search(template):
                raise UsageError(
                    f"{option} names one file, and there are {inputs} inputs",
                    hint=f"use -O FOLDER, or a template such as {option} '{{dir}}/{{stem}}-{self.rule}{{ext}}'",
                )

    def _choices(self) -> tuple[tuple[str, object], ...]:
        return ("-o", self.output), ("-O", self.out_dir), ("--in-place", self.in_place)

    def _output(self, path: str, index: int) -> str | None:
        if self.in_place:
            if self.to is not None:
                raise UsageError("--in-place keeps the format", hint="use -o or -O with --to")
            return path
        if self.out_dir is not None:
            name = PurePath(path)
            suffix = containers.for_output("", self.to, "").extensions[0] if self.to is not None else name.suffix
            return str(Path(self.out_dir) / f"{name.stem}{suffix}")
        return None if self.output is None else self._fill(self.output, path, index)

    def _fill(self, template: str, path: str, index: int) -> str:
        source = PurePath(path)
        values = (str(source.parent), source.stem, source.suffix, source.name, self.rule, str(index))
        known = dict(zip(_FIELDS, values, strict=True))
        for found in _FIELD.findall(template):
            if found not in known:
                fields = " ".join(f"{{{item}}}" for item in _FIELDS)
                raise UsageError(f"{{{found}}} is no field of a template", hint=f"there are {fields}")
        return _FIELD.sub(lambda match: known[match[1]], template)

    def _check_meetings(self, jobs: list[Job]) -> None:
        taken: dict[str, str] = {}
        for job in jobs:
            for path in (job.output, job.residual):
                if path is None:
                    continue
                real = os.path.realpath(path)
                if real in taken:
                    raise UsageError(
                        f"{taken[real]} and {job.input} would both be written to {path}",
                        hint="use a template such as -o '{dir}/{stem}-{rule}{ext}'",
                    )
                taken[real] = job.input


def display_name(path: str) -> str:
    """What an unnamed tensor of this file is called: the file's stem."""
    return "stdin" if path == "-" else PurePath(path).stem
