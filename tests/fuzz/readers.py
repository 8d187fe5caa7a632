"""Every reader: what it is given, how it is asked, what must hold of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zipfile import BadZipFile

from tests.fuzz import against, archives, arrays, recipes, seeds, structured
from tests.fuzz.mutations import Damage, damaged, spliced
from tests.fuzz.oracle import Broken, check_told, check_within
from tests.fuzz.seeds import Seeds
from tests.harness import listed, thresh
from threshcli import containers
from threshcli.containers.base import Contents
from threshcli.errors import InputError, InternalError, UsageError
from threshcli.plan.index import read_index
from threshcli.plan.maps import read_report
from threshcli.plan.recipes import read_recipe
from threshcli.storage.local import Source

Outcome = str
"""What became of a case: `refused`, `accepted`, or `alone` where the format's own library refuses it."""


@dataclass(frozen=True)
class Bench:
    """A folder with what belongs to the files of one reader, and an empty one beside it for outputs."""

    folder: Path
    out: Path

    def run(self, file: Path, words: Sequence[str]) -> list[Path]:
        """A command line; gives its outputs, which there are only if it did all it was asked for."""
        self.clear()
        before, content = listed(self.folder), file.read_bytes()
        put = {"FILE": file, "OTHER": self.folder / "x.safetensors", "OUT": self.out}
        put["INDEX"] = self.folder / "model.safetensors.index.json"
        made = [word.format(**put) for word in words]
        ran = thresh(*made)
        if ran.status == InternalError.exit_code:  # where it was
            self.clear()
            ran = thresh(*made, "--debug")
        if listed(self.folder) != before:
            raise Broken(f"left {set(listed(self.folder)) - set(before)} beside the input")
        if (ran.status or "--in-place" not in words) and file.read_bytes() != content:
            raise Broken(f"changed its input, with status {ran.status}")
        check_told(ran, listed(self.out))
        return sorted(self.out.iterdir())

    def clear(self) -> None:
        """Take away what was put out before."""
        for path in self.out.iterdir():
            path.unlink()


@dataclass(frozen=True)
class Reader:
    """A way into the code: the extension of its files, seeds (made in a folder that may hold more), well-formed lies, a
    direct call, and command lines for a share of the cases."""

    extension: str
    seeds: Callable[[Path], Seeds]
    lie: Damage
    ask: Callable[[Path, bytes], Outcome]
    commands: str
    """One a line."""
    share: float = 0.06

    @property
    def calls(self) -> list[list[str]]:
        """The words of each command line."""
        return [line.split() for line in self.commands.splitlines() if line]

    def case(self, random: Random, known: Seeds) -> tuple[str, bytes]:
        """The name of a seed, and what was made of it."""
        name, other = random.choice(list(known)), random.choice(list(known))
        data, way = known[name], random.random()
        if way < 0.5:
            try:
                data = self.lie(random, data)
            except (BadZipFile, ValueError):  # a seed of another format
                data = damaged(random, data)
        if way > 0.9:
            data = spliced(random, data, known[other])
        elif way > 0.45:
            data = damaged(random, data)
        return name, data

    def attempt(self, bench: Bench, random: Random, data: bytes) -> Outcome:
        """Try a case all ways; Broken, or any exception, where a promise does not hold."""
        file = bench.folder / f"case.{self.extension}"
        file.write_bytes(data)
        outcome = self.ask(file, data)
        if random.random() < self.share or (outcome != "refused" and random.random() < 10 * self.share):
            words = random.choice(self.calls)
            made = bench.run(file, words)
            for path in made:
                if path.suffix in (".npy", ".pt", ".safetensors") and outcome == "accepted" and words[0] == "binary":
                    against.readable(path.read_bytes())
            if words[:4] == ["binary", "{FILE}", "-t", "0.5"] and made and outcome == "accepted":
                against.check_binary(data, made[0].read_bytes(), self.extension)
        return outcome


_JUDGES: dict[str, against.Judge] = {"npy": against.npy, "safetensors": against.safetensors, "pt": against.pt}


def _container(file: Path, data: bytes) -> Outcome:
    try:
        with Source(str(file)) as source:
            contents: Contents = containers.identify(source).read(source)
    except InputError:
        return "refused"
    check_within(contents, len(data))
    return "accepted" if _JUDGES[contents.container](data, contents) else "alone"


def _index(file: Path, data: bytes) -> Outcome:
    try:
        found = read_index(str(file))
    except InputError:
        return "refused"
    if found.renamed(found.listed, 12) == b"" or any("/" in name for name in found.listed):
        raise Broken("names a file elsewhere")
    return "accepted"


def _report(file: Path, data: bytes) -> Outcome:
    try:
        read_report(str(file))
    except InputError:
        return "refused"
    return "accepted"


def _recipe(file: Path, data: bytes) -> Outcome:
    try:
        read_recipe(str(file), {})
    except (InputError, UsageError):
        return "refused"
    return "accepted"


_LOOKING = """
info {FILE}
info {FILE} --json
check {FILE}
check {FILE} --json
stats {FILE}
diff {FILE} {FILE}
hist {FILE} -t otsu
sweep {FILE} -t 0,p50
solve {FILE} -t energy90% --json
"""
_WRITING = """
binary {FILE} -t 0.5 -n
binary {FILE} -t 1 -o {OUT}/y.pt
binary {FILE} -t 0 --pack bits -o {OUT}/y.safetensors
binary {FILE} -t local-mean:3 -o {OUT}/y.pt
gradient {FILE} -t zero50% -o {OUT}/y.safetensors
gradient {FILE} -t 1 --pack bitmask -o {OUT}/y.safetensors
hard {FILE} -t p50 --scope file --out-dtype float32 -o {OUT}/y.safetensors
soft {FILE} -t 0.5 -o {OUT}/y.npy
levels {FILE} -t multiotsu:3 -o {OUT}/y.pt
nm {FILE} -t 2:4 --partial -o {OUT}/y.safetensors
hysteresis {FILE} --low 0 --high 1 -o {OUT}/y.npy
clamp {FILE} --low p10 --high p90 --scope axis:0 -o {OUT}/y.pt --sidecar -q
replace {FILE} -t 0.5 --value nan -o {OUT}/y.pt --json
run {FILE} {FILE} -n
unpack {FILE} -o {OUT}/y.safetensors
hard {FILE} -t p50 --scope axis:0 -o {OUT}/y.safetensors
binary {FILE} -t 0.5 --in-place -q
hard {OTHER} -t @{FILE} -o {OUT}/y.safetensors
binary {OTHER} -t otsu --estimate-mask {FILE} -o {OUT}/y.safetensors
diff {FILE} {OTHER} --json
unpack {OTHER} --like {FILE} -n
"""
_UNPACKING = """
unpack {FILE} -n
unpack {FILE} -o {OUT}/y.safetensors
unpack {FILE} -o {OUT}/y.pt
unpack {FILE} -o {OUT}/y.safetensors
unpack {FILE} -o {OUT}/y.pt
binary {FILE} -t 0 -o {OUT}/y.safetensors
info {FILE}
"""
_RUNNING = """
run {FILE} {OTHER} -n
run {FILE} {OTHER} -o {OUT}/y.safetensors
run {FILE} {OTHER} -o {OUT}/y.pt --sidecar
"""
_REPORTED = """
gradient {OTHER} -t @{FILE} -o {OUT}/y.safetensors
band {OTHER} --low @{FILE} --high 2 -n
levels {OTHER} -t @{FILE} -n
run {FILE} {OTHER} -n
solve {OTHER} -t @{FILE}
hist {OTHER} -t @{FILE}
sweep {OTHER} -t @{FILE}
"""
_CHECKPOINT = """
binary {FILE} -t 0 -k *.weight -O {OUT} -q
gradient {FILE} -t p50 --pack bitmask -k *proj* -O {OUT} -q
"""


_SHARDED = """
info {INDEX}
check {INDEX}
diff {INDEX} {INDEX}
solve {INDEX} -t p50 --scope global
binary {INDEX} -t 0 -O {OUT} -q
gradient {INDEX} -t p50 --pack bitmask -k *.weight -O {OUT} -q
hard {INDEX} -t zero50% --scope file -k *.weight -O {OUT} --json
"""


def _binary(extension: str) -> str:
    return f"binary {{FILE}} -t 0.5 -o {{OUT}}/y.{extension}\n" * 8 + _LOOKING + _WRITING


READERS = {
    "npy": Reader("npy", seeds.npy, arrays.npy, _container, _binary("npy")),
    "safetensors": Reader("safetensors", seeds.safetensors, structured.safetensors, _container, _binary("safetensors")),
    "pt": Reader("pt", seeds.pt, archives.pt, _container, _binary("pt")),
    "packed": Reader("safetensors", seeds.packed, structured.safetensors, _container, _UNPACKING, 0.2),
    "shard": Reader("safetensors", seeds.shard, structured.safetensors, _container, _SHARDED, 0.1),
    "index": Reader("index.json", seeds.index, structured.json_text, _index, _LOOKING + _CHECKPOINT),
    "recipe": Reader("toml", seeds.recipe, recipes.toml, _recipe, _RUNNING, 0.1),
    "report": Reader("json", seeds.report, structured.json_text, _report, _REPORTED, 0.2),
    "sidecar": Reader("thresh.json", seeds.sidecar, structured.json_text, _recipe, _RUNNING, 0.1),
}
