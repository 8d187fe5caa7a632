"""Cuts by rank: exact order statistics of files, against torch.kthvalue of what is in memory already."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.lab import GIB, Lab
from tests.bench.table import Row

_ELEMENTS = 100_000_000  # at the full size
_MOST, _MOST_LARGE = 150_000_000, 200_000_000
_SPECS = ("p90", "top1000000", "zero90%")
_HARD = ("sorted", "clustered", "tied")


def ranks(lab: Lab, name: str) -> Sequence[Row]:
    """From file to file, the threshold worked out on the way, against kthvalue alone of what is in memory already, and
    against a script that goes from file to file as well."""
    elements = _ELEMENTS * lab.size // GIB
    source = lab.arranged("normal", elements)
    outputs = {spec: lab.output(f"{index}.npy") for index, spec in enumerate((*_SPECS, "0.5"))}
    costs = lab.race(
        kthvalue=lab.peer("kthvalue", source, lab.output("none"), inside=True),
        script=lab.peer("kthvalue_script", source, lab.output("script.npy")),
        **{
            spec: lab.thresh("gradient", source, "-t", spec, "-o", target, writes=target)
            for spec, target in outputs.items()
        },
    )
    theirs, script, rows = costs["kthvalue"], costs["script"].wall, []
    for spec in _SPECS:
        alone, both = "a tenth of kthvalue alone", "a tenth of a script with kthvalue"
        rows.append(Row(f"{name}: {spec}", "wall", costs[spec].wall, theirs.wall, theirs.wall / 10, alone))
        rows.append(Row(f"{name}: {spec}", "wall", costs[spec].wall, script, script / 10, both))
        rows.append(Row(f"{name}: {spec}", "wall", costs[spec].wall, costs["0.5"].wall, None, "-t 0.5, to compare"))
        rows.append(Row(f"{name}: {spec}", "peak", costs[spec].peak, theirs.peak, _MOST, "150 MB"))
    return rows


def hard_ranks(lab: Lab, name: str) -> Sequence[Row]:
    """Data that misleads a sample, and five times as much data."""
    elements, target, rows = _ELEMENTS * lab.size // GIB, lab.output("out.npy"), []
    for kind in _HARD:
        command = lab.thresh("gradient", lab.arranged(kind, elements), "-t", "zero90%", "-o", target, writes=target)
        cost = lab.race(min(lab.rounds, 2), ours=command)["ours"]
        rows.append(Row(f"{name}: {kind}", "wall", cost.wall, None, None, "to compare"))
        rows.append(Row(f"{name}: {kind}", "peak", cost.peak, None, _MOST, "150 MB"))
        lab.clear()
    command = lab.thresh("solve", lab.arranged("normal", 5 * elements), "-t", "p90", "-q")
    cost = lab.race(min(lab.rounds, 2), ours=command)["ours"]
    rows.append(Row(f"{name}: five times", "wall", cost.wall, None, None, "to compare"))
    rows.append(Row(f"{name}: five times", "peak", cost.peak, None, _MOST_LARGE, "200 MB"))
    return rows
