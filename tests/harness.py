"""The command line in process, with streams of its own; and files as users have them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from threshcli.cli.app import run
from threshcli.cli.outside import Outside


@dataclass(frozen=True)
class Ran:
    """What a command line did: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def tensor(self) -> Any:
        """The first tensor of the first file of a JSON report."""
        return self.json["files"][0]["tensors"][0]

    @property
    def lines(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


def thresh(*arguments: object, env: dict[str, str] | None = None) -> Ran:
    """Run `thresh` with these arguments."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    status = run([str(argument) for argument in arguments], Outside(out, err, env or {}))
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]  # it is a BytesIO
    return Ran(status, *texts)
