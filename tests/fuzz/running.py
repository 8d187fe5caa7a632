"""Case after case, and what went wrong with which."""

from __future__ import annotations

import gc
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.oracle import Broken, Memory, Overdue, in_space, in_time
from tests.fuzz.readers import READERS, Bench, Outcome, Reader


@dataclass(frozen=True)
class Failure:
    """A case that broke a promise."""

    reader: str
    seed: int
    number: int
    origin: str
    data: bytes
    what: str

    @property
    def kind(self) -> str:
        """What failures of the same cause have in common: the innermost of our lines, and the class of the error."""
        lines = [line.strip() for line in self.what.splitlines()]
        own = [line for line in lines if line.startswith("File ") and "/threshcli/" in line]
        return f"{own[-1] if own else ''} {lines[-1].split(':')[0]}"

    def told(self) -> str:
        """How to see it again, and what happened."""
        again = f"python -m tests.fuzz --reader {self.reader} --seed {self.seed} --first {self.number} --mutations 1"
        dump = self.data.hex(" ", 4) if len(self.data) <= 512 else self.data[:256].hex(" ", 4) + " ..."
        lines = self.what.splitlines()
        if len(lines) > 60:
            lines[20:-30] = ["..."]
        return "\n".join((f"{self.reader}, made of {self.origin!r}, {len(self.data):,} bytes: {again}", dump, *lines))


@dataclass
class Tally:
    """What became of a reader's cases."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def cases(self) -> int:
        return self.outcomes.total()


def fuzz(name: str, seed: int, numbers: Iterable[int], until: float | None = None) -> Tally:
    """Try cases of a reader, by their numbers, until they end or the time (of `time.monotonic`) has come."""
    tally, reader, began = Tally(), READERS[name], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="thresh-fuzz-") as made, warnings.catch_warnings(record=True) as warned:
        bench = Bench(Path(made) / "in", Path(made) / "out")
        for folder in (bench.folder, bench.out):
            folder.mkdir()
        known = reader.seeds(bench.folder)
        for path in bench.folder.glob("seed.*"):
            path.unlink()
        _warm_up(reader, bench, known)
        warnings.simplefilter("always")
        memory = Memory()
        with in_space():
            for number in numbers:
                if until is not None and time.monotonic() > until:
                    break
                random = Random(f"{seed} {name} {number}")
                origin, data = reader.case(random, known)
                warned.clear()
                outcome, what = _outcome(reader, bench, random, data, memory)
                if what is None and warned:
                    what = f"{warned[0].category.__name__}: {warned[0].message}"
                tally.outcomes[outcome] += 1
                if what is not None:
                    tally.failures.append(Failure(name, seed, number, origin, data, what))
    tally.seconds = time.monotonic() - began
    return tally


def _warm_up(reader: Reader, bench: Bench, known: dict[str, bytes]) -> None:
    """Ask all there is once, so that what is imported does not count as a case's. Sound files are taken."""
    for data in known.values():
        file = bench.folder / f"case.{reader.extension}"
        file.write_bytes(data)
        reader.ask(file, data)
    for words in reader.calls:
        bench.run(file, words)
    gc.collect()


def _outcome(reader: Reader, bench: Bench, random: Random, data: bytes, memory: Memory) -> tuple[Outcome, str | None]:
    """What became of a case, and what went wrong with it."""
    try:
        with in_time():
            outcome = reader.attempt(bench, random, data)
        memory.check()
    except Broken as error:
        return "broken", f"Broken: {error}"
    except (Exception, Overdue):
        return "broken", traceback.format_exc()
    return outcome, None
