"""Rules that look sideways: hysteresis against scikit-image, N:M against a rule that does not.

Run as a script, `python sideways.py make KIND LENGTH FILE` writes an image, and `python sideways.py ours|theirs KIND
FILE` prints the seconds that the mask of such an image in memory takes.
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

_LENGTH = 4096  # of the images' axes, at the full size
LIMITS = {"smooth": (0.5, 0.7), "noise": (0.407, 0.9), "volume": (0.5, 0.7), "spiral": (0.5, 0.8)}
"""The kinds of images, and their thresholds: those of noise are where components percolate, and hardest to follow."""


def hysteresis(lab: Lab, name: str) -> Sequence[Row]:
    """Masks of what is in memory already, one worker each, and the whole command from file to file."""
    from tests.bench.measure import Command
    from tests.bench.table import Row

    rows = []
    length = max(64, int(_LENGTH * min(1.0, lab.size / (1 << 30)) ** 0.5))
    for kind, (low, high) in LIMITS.items():
        source, target = lab.made(f"{kind}.npy", __file__, "make", kind, str(length)), lab.output("out.npy")
        alone = {
            who: Command((sys.executable, __file__, who, kind, str(source)), inside=True) for who in ("ours", "theirs")
        }
        limits = ("--low", low, "--high", high, "--out-dtype", "bool")
        whole = lab.thresh("hysteresis", source, *limits, "-o", target, writes=target)
        costs = lab.race(**alone, whole=whole)
        theirs = costs["theirs"].wall
        rows.append(
            Row(f"{name}: {kind}", "wall", costs["ours"].wall, theirs, theirs, "scikit-image on the same array")
        )
        rows.append(Row(f"{name}: {kind}", "wall", costs["whole"].wall, theirs, None, "the whole command, to compare"))
        lab.clear()
    return rows


def pattern(lab: Lab, name: str) -> Sequence[Row]:
    """2:4 against `gradient`, which looks at each element alone."""
    from tests.bench.table import Row

    source, target = lab.input(), lab.output("out.npy")
    costs = lab.race(
        ours=lab.thresh("nm", source, "-t", "2:4", "-o", target, writes=target),
        gradient=lab.thresh("gradient", source, "-t", 0.5, "-o", target, writes=target),
    )
    ours, theirs = costs["ours"], costs["gradient"]
    return [
        Row(name, "wall", ours.wall, theirs.wall, 2 * theirs.wall, "2 x gradient"),
        Row(name, "peak", ours.peak, theirs.peak, 100_000_000, "100 MB"),
    ]


def image(kind: str, length: int) -> Any:
    """Float32 between 0 and 1: as many elements, whatever the kind, but a volume, which has half of them."""
    import numpy as np

    random = np.random.default_rng(4)
    if kind == "spiral":
        return spiral(length)
    shape = (length // 32, length // 16, length // 16) if kind == "volume" else (length, length)
    noise = random.random(shape, np.float32)
    if kind == "noise":
        return noise
    filters: Any = import_module("scipy.ndimage")
    smooth = filters.gaussian_filter(noise, 2 if kind == "volume" else 8)
    smooth -= smooth.min()
    return smooth / smooth.max()


def spiral(length: int) -> Any:
    """One path that winds to the middle; its outer end is high."""
    import numpy as np

    out = np.zeros((length, length), np.float32)
    first, last = 0, length - 1
    while first < last:
        out[first, max(first - 2, 0) : last + 1] = out[first : last + 1, last] = 0.6
        out[last, first : last + 1] = out[first + 2 : last + 1, first] = 0.6
        first, last = first + 2, last - 2
    out[0, 0] = 0.9
    return out


def ours(kind: str, x: Any) -> Callable[[], Any]:
    from threshcli.sideways.components import hysteresis_mask

    low, high = limits(kind)
    return lambda: hysteresis_mask(x > low, x > high)


def theirs(kind: str, x: Any) -> Callable[[], Any]:
    filters: Any = import_module("skimage.filters")  # not typed, and imported by those alone who compare with it
    low, high = limits(kind)
    return lambda: filters.apply_hysteresis_threshold(x, low, high)


def limits(kind: str) -> tuple[Any, Any]:
    """The thresholds of a kind as float32, which scikit-image compares as they are."""
    import numpy as np

    low, high = LIMITS[kind]
    return np.float32(low), np.float32(high)


def main(task: str, kind: str, *rest: str) -> None:
    import numpy as np

    from tests.bench.inside import tell_seconds  # late: the path to it is set when this runs

    if task == "make":
        np.save(rest[1], image(kind, int(rest[0])))
        return
    work = (ours if task == "ours" else theirs)(kind, np.load(rest[0]))
    tell_seconds(work)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    main(*sys.argv[1:])
