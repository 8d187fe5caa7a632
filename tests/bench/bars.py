"""The bars: what each measures, and the most that it allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from tests.bench.accelerator import accelerator
from tests.bench.lab import GIB, Lab
from tests.bench.ranks import hard_ranks, ranks
from tests.bench.refusals import refusals
from tests.bench.sideways import hysteresis, pattern
from tests.bench.table import Row
from tests.bench.training import training
from tests.bench.windows import windows

_MOST_MEMORY = 100_000_000
_IN_MEMORY = "100 MB"


@dataclass(frozen=True, slots=True)
class AgainstCopy:
    """A rule on a file of the full size, with its summary, against `cp` of that file.

    `{map}` in the arguments stands for a file of thresholds; `thrifty` says that the processors' time has a bar too.
    """

    factor: float
    arguments: str
    dtype: str = "float32"
    extension: str = ".npy"
    thrifty: bool = False

    def __call__(self, lab: Lab, name: str) -> Sequence[Row]:
        source, target = lab.input(self.dtype, self.extension), lab.output(f"out{self.extension}")
        maps = {"{map}": str(lab.input(seed="map"))} if "{map}" in self.arguments else {}
        rule, *options = (_replaced(word, maps) for word in self.arguments.split())
        costs = lab.race(ours=lab.thresh(rule, source, *options, "-o", target, writes=target), cp=lab.cp(source))
        ours, theirs = costs["ours"], costs["cp"]
        limit = self.factor * theirs.wall + 0.25
        rows = [Row(name, "wall", ours.wall, theirs.wall, limit, f"{self.factor:g} cp + 0.25 s")]
        if self.thrifty:
            most = 0.25 + 0.5 * lab.size / GIB
            rows.append(Row(name, "cpu", ours.cpu, theirs.cpu, most, "0.25 s + 0.5 s a GiB"))
        return [*rows, Row(name, "peak", ours.peak, theirs.peak, _MOST_MEMORY, _IN_MEMORY)]


def _replaced(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def help_page(lab: Lab, name: str) -> Sequence[Row]:
    """What a look at the help costs, and a mistake."""
    costs = lab.race(
        shown=lab.thresh("--help"),
        mistaken=lab.thresh("binary", "x.npy", "--nonsense", status=2),
        theirs=lab.python("import typer, rich.table"),
    )
    theirs, rule = costs["theirs"].wall, "2.5 x import typer, rich.table"
    return [
        Row(f"{name}: {what}", "wall", costs[what].wall, theirs, 2.5 * theirs, rule) for what in ("shown", "mistaken")
    ]


def tiny(lab: Lab, name: str) -> Sequence[Row]:
    """A one-liner on a small file."""
    files = {extension: lab.small_input(extension) for extension in (".npy", ".safetensors")}
    targets = {extension: lab.output(f"out{extension}") for extension in files}
    costs = lab.race(
        theirs=lab.python("import torch"),
        **{
            extension: lab.thresh("binary", path, "-t", 0.5, "-o", targets[extension], writes=targets[extension])
            for extension, path in files.items()
        },
    )
    theirs, rows = costs["theirs"].wall, []
    for extension in files:
        ours = costs[extension].wall
        rows.append(Row(f"{name} {extension}", "wall", ours, theirs, theirs / 3, "a third of import torch"))
        rows.append(Row(f"{name} {extension}", "wall", ours, None, 0.5, "0.5 s"))
    return rows


def checkpoint(lab: Lab, name: str) -> Sequence[Row]:
    """A .pt against torch.save alone of what is in memory already: neither side pays for `import torch`, ours since it
    does without, theirs since the clock runs inside."""
    source, target = lab.checkpoint(), lab.output("out.pt")
    costs = lab.race(
        ours=lab.thresh("gradient", source, "-t", 0.5, "-o", target, writes=target),
        save=lab.peer("save_pt", source, lab.output("saved.pt"), inside=True),
        cp=lab.cp(source),
    )
    ours, save, copy = costs["ours"], costs["save"], costs["cp"]
    return [
        Row(name, "wall", ours.wall, save.wall, 1.2 * save.wall, "1.2 torch.save"),
        Row(name, "wall", ours.wall, copy.wall, None, "cp, to compare"),
        Row(name, "peak", ours.peak, save.peak, 3 * _MOST_MEMORY, "300 MB"),
    ]


def memory(lab: Lab, name: str) -> Sequence[Row]:
    """A file four times as large takes no more memory."""
    peaks = {}
    for times in (1, 4):
        source, target = lab.input(times=times), lab.output("out.npy")
        command = lab.thresh("binary", source, "-t", 0.5, "-o", target, writes=target)
        peaks[times] = lab.race(min(lab.rounds, 2), ours=command)["ours"].peak
    return [Row(name, "peak", peaks[4], peaks[1], 1.1 * peaks[1], "that of a quarter, + 10%")]


def scripts(lab: Lab, name: str) -> Sequence[Row]:
    """What people write themselves, and what they take from elsewhere."""
    source, target = lab.input(), lab.output("out.npy")
    peers = ["torch_script", "numpy_script"]
    peers += ["opencv_without_counts"] * (find_spec("cv2") is not None)
    peers += ["numexpr_without_counts"] * (find_spec("numexpr") is not None)
    costs = lab.race(
        ours=lab.thresh("binary", source, "-t", 0.5, "-o", target, writes=target),
        **{peer: lab.peer(peer, source, lab.output("peer.npy")) for peer in peers},
    )
    ours, script = costs["ours"], costs["torch_script"]
    rows = [
        Row(f"{name}: torch_script", "wall", ours.wall, script.wall, script.wall / 10, "a tenth"),
        Row(f"{name}: torch_script", "peak", ours.peak, script.peak, script.peak / 40, "a fortieth"),
    ]
    for peer in peers[1:]:
        rows.append(Row(f"{name}: {peer}", "wall", ours.wall, costs[peer].wall, None, "to compare"))
        rows.append(Row(f"{name}: {peer}", "peak", ours.peak, costs[peer].peak, None, "to compare"))
    return rows


def many_files(lab: Lab, name: str) -> Sequence[Row]:
    """Many small files in one call; ten times as many take no more memory, but for their names."""
    count = max(10, 10_000 * lab.size // GIB) if lab.size < GIB else 10_000
    folder, target = lab.small("files", count), lab.output("out")
    files = sorted(folder.iterdir())
    costs = lab.race(
        ours=lab.thresh("binary", *files, "-t", 0.5, "-O", target, writes=target),
        tenth=lab.thresh("binary", *files[::10], "-t", 0.5, "-O", target, writes=target),
        copied=lab.peer("copy_loop", folder, lab.output("copies")),
    )
    ours, theirs, fewer = costs["ours"], costs["copied"], costs["tenth"].peak
    label = f"{name}: {count:,}"
    return [
        Row(label, "wall", ours.wall, theirs.wall, 3 * theirs.wall, "3 x a loop of copies"),
        Row(label, "peak", ours.peak, theirs.peak, _MOST_MEMORY, _IN_MEMORY),
        Row(label, "peak", ours.peak, fewer, fewer + 2000 * count, "a tenth of them, 2 kB a name"),
    ]


def many_tensors(lab: Lab, name: str) -> Sequence[Row]:
    """Many small tensors in one file."""
    source, target = lab.small("tensors", 1000), lab.output("out.safetensors")
    costs = lab.race(
        ours=lab.thresh("gradient", source, "-t", 0.5, "-o", target, writes=target),
        torch=lab.peer("safetensors_naive_torch", source, lab.output("torch.safetensors")),
        numpy=lab.peer("safetensors_naive", source, lab.output("numpy.safetensors")),
    )
    ours, torch, numpy = (costs[who].wall for who in ("ours", "torch", "numpy"))
    return [
        Row(f"{name}: 1,000", "wall", ours, torch, torch, "load, where, save in torch"),
        Row(f"{name}: 1,000", "wall", ours, numpy, numpy, "the same in NumPy"),
    ]


BARS: dict[str, Callable[[Lab, str], Sequence[Row]]] = {
    "help": help_page,
    "tiny": tiny,
    "binary": AgainstCopy(1.0, "binary -t 0.5", thrifty=True),
    "gradient": AgainstCopy(1.0, "gradient -t 0.5", thrifty=True),
    "soft": AgainstCopy(1.0, "soft -t 0.5"),
    "bool": AgainstCopy(0.7, "binary -t 0.5 --out-dtype bool", thrifty=True),
    "variable": AgainstCopy(1.5, "variable -t @{map}"),
    "safetensors": AgainstCopy(1.0, "gradient -t 0.5", extension=".safetensors", thrifty=True),
    "float64": AgainstCopy(1.25, "gradient -t 0.5", "float64"),
    "float16": AgainstCopy(1.25, "gradient -t 0.5", "float16"),
    "bfloat16": AgainstCopy(1.25, "gradient -t 0.5", "bfloat16", ".safetensors"),
    "int8": AgainstCopy(1.25, "gradient -t 20", "int8"),
    "uint8": AgainstCopy(1.25, "binary -t 100", "uint8"),
    "ranks": ranks,
    "hard": hard_ranks,
    "windows": windows,
    "hysteresis": hysteresis,
    "nm": pattern,
    "pt": checkpoint,
    "memory": memory,
    "scripts": scripts,
    "files": many_files,
    "tensors": many_tensors,
    "training": training,
    "accelerator": accelerator,
    "refusals": refusals,
}
