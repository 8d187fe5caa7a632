"""Thresholds from windows: maps of what is in memory already, against scikit-image; and the whole command.

Run as a script, `python windows.py ours|theirs METHOD FILE`, it prints the seconds that the map alone takes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.lab import Lab
    from tests.bench.table import Row

_SIZE = 15
_METHODS = ("mean", "gaussian", "niblack", "sauvola", "median")
_SHAPES = ((4096, 4096), (128, 256, 256))
_SLOW = 4  # theirs takes minutes over a median: along each axis that is a part of the others


def windows(lab: Lab, name: str) -> Sequence[Row]:
    """Float32 and uint8, in two and three axes."""
    from tests.bench.measure import Command
    from tests.bench.table import Row

    rows = []
    for method in _METHODS:
        for shape in _SHAPES:
            scaled = tuple(_length(length, lab, _SLOW if method == "median" else 1, len(shape)) for length in shape)
            for dtype in ("float32", "uint8"):
                source, target = lab.shaped(dtype, scaled), lab.output("out.npy")
                alone = {
                    who: Command((sys.executable, __file__, who, method, str(source)), inside=True)
                    for who in ("ours", "theirs")
                }
                whole = lab.thresh("binary", source, "-t", _spec(method), "-o", target, writes=target)
                costs = lab.race(**alone, whole=whole)
                label = f"{name}: {method} {dtype} {len(shape)}-D"
                ours, theirs = costs["ours"].wall, costs["theirs"].wall
                rows.append(Row(label, "wall", ours, theirs, theirs, "scikit-image on the same array"))
                rows.append(Row(label, "wall", costs["whole"].wall, theirs, None, "the whole command, to compare"))
                lab.clear()
    return rows


def _length(length: int, lab: Lab, part: int, axes: int) -> int:
    return max(_SIZE, int(length / part * min(1.0, lab.size / (1 << 30)) ** (1 / axes)))


def _spec(method: str) -> str:
    return {"niblack": f"niblack:{_SIZE}", "sauvola": f"sauvola:{_SIZE},0.2,R=2"}.get(method, f"local-{method}:{_SIZE}")


def ours(method: str, x: Any) -> Callable[[], Any]:
    from threshcli.windows.base import Window
    from threshcli.windows.local import local_map

    window: Any = Window(method, (_SIZE,) * x.ndim, r=2.0)  # type: ignore[arg-type]  # one of the methods
    return lambda: local_map(x, window)


def theirs(method: str, x: Any) -> Callable[[], Any]:
    filters = import_module("skimage.filters")  # not typed, and imported by those alone who compare with it
    if method == "niblack":
        return lambda: filters.threshold_niblack(x, _SIZE)
    if method == "sauvola":
        return lambda: filters.threshold_sauvola(x, _SIZE, r=2.0)
    return lambda: filters.threshold_local(x, _SIZE, method)


def main(who: str, method: str, path: str) -> None:
    import numpy as np

    from tests.bench.inside import tell_seconds  # late: the path to it is set when this runs

    work = (ours if who == "ours" else theirs)(method, np.load(path))
    tell_seconds(work)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    main(*sys.argv[1:])
