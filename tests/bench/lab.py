"""The place where bars are measured: a folder, the size of inputs, the number of rounds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import Command, Cost, race, remove

_HERE = Path(__file__).parent
GIB = 1 << 30


@dataclass(slots=True)
class Lab:
    """Inputs are made when asked for, and kept until `clear`."""

    folder: Path
    size: int
    rounds: int
    _made: dict[str, Path] = field(default_factory=dict)

    def input(self, dtype: str = "float32", extension: str = ".npy", *, times: int = 1, seed: str = "x") -> Path:
        """A file of `times` the size, of random numbers; another `seed` is another file."""
        path = self.folder / f"{seed}-{dtype}-{times}{extension}"
        return self._make(path, lambda: [str(_HERE / "data.py"), str(path), dtype, str(times * self.size)])

    def small_input(self, extension: str) -> Path:
        """A file of 4 KiB."""
        path = self.folder / f"tiny{extension}"
        return self._make(path, lambda: [str(_HERE / "data.py"), str(path), "float32", "4096"])

    def checkpoint(self) -> Path:
        """A .pt of the size, written by torch."""
        path = self.folder / "x.pt"
        return self._make(path, lambda: [str(_HERE / "peers.py"), "make_pt", str(self.input()), str(path)])

    def small(self, kind: str, count: int) -> Path:
        """A folder of `count` small `files`, or a .safetensors of `count` small `tensors`."""
        path = self.folder / (kind if kind == "files" else f"{kind}.safetensors")
        return self._make(path, lambda: [str(_HERE / "data.py"), str(path), kind, str(count)])

    def arranged(self, kind: str, elements: int) -> Path:
        """An .npy of so many float32: `normal`, or arranged so that a sample misleads."""
        path = self.folder / f"{kind}-{elements}.npy"
        return self._make(path, lambda: [str(_HERE / "data.py"), str(path), kind, str(elements)])

    def shaped(self, dtype: str, shape: tuple[int, ...]) -> Path:
        """An .npy of a shape."""
        lengths = "x".join(map(str, shape))
        path = self.folder / f"{dtype}-{lengths}.npy"
        return self._make(path, lambda: [str(_HERE / "data.py"), str(path), dtype, lengths])

    def made(self, name: str, *arguments: str) -> Path:
        """A file of a name, made by a script that gets it as its last argument."""
        path = self.folder / name
        return self._make(path, lambda: [*arguments, str(path)])

    def _make(self, path: Path, arguments: Callable[[], list[str]]) -> Path:
        if path.name not in self._made:
            subprocess.run([sys.executable, *arguments()], check=True, stdin=subprocess.DEVNULL)
            self._made[path.name] = path
        return path

    def output(self, name: str) -> Path:
        """A path to write to."""
        return self.folder / name

    def thresh(self, *arguments: object, writes: Path | None = None, status: int = 0) -> Command:
        """A command line of thresh."""
        script = Path(sys.executable).with_name("thresh")
        start = (str(script),) if script.exists() else (sys.executable, "-m", "threshcli")
        return Command((*start, *map(str, arguments)), () if writes is None else (writes,), status)

    def python(self, code: str) -> Command:
        """A line of Python."""
        return Command((sys.executable, "-c", code))

    def peer(self, name: str, source: Path, target: Path, *, inside: bool = False) -> Command:
        """A script of `peers`."""
        argv = (sys.executable, str(_HERE / "peers.py"), name, str(source), str(target))
        return Command(argv, (target,), inside=inside)

    def cp(self, source: Path) -> Command:
        """The yardstick."""
        target = self.output("copy")
        return Command((shutil.which("cp") or "cp", str(source), str(target)), (target,))

    def race(self, rounds: int | None = None, /, **commands: Command) -> dict[str, Cost]:
        """The commands in turn."""
        return race(commands, rounds or self.rounds, self.folder)

    def clear(self) -> None:
        """Remove all inputs."""
        for path in self._made.values():
            remove(path)
        self._made.clear()
