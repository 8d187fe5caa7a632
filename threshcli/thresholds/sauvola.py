"""Sauvola's threshold of each element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from threshcli.dtypes import DType
from threshcli.errors import UsageError
from threshcli.spec import Axes
from threshcli.thresholds._window import number_of, sizes_in
from threshcli.thresholds.base import Extremes, Windowed

if TYPE_CHECKING:
    from threshcli.windows.base import Window

_AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True)
class Sauvola(Windowed):
    """`sauvola:15,0.2`, `sauvola:15,0.2,R=1`: Niblack's idea for pages, whose background has little spread.

    Formula: m * (1 + k * (s / R - 1)), with m and s as for `niblack`, k of 0.2 if left out, and R the largest standard
    deviation that there may be: half of the dtype's range for integers; for floats it is to be given, or `R=auto` takes
    half of the tensor's own range, max - min. Sauvola & Pietikainen 2000, doi:10.1016/S0031-3203(99)00055-2; as
    `skimage.filters.threshold_sauvola`.
    """

    form: ClassVar[str] = "sauvola:15,0.2, sauvola:15,0.2,R=auto"
    meaning: ClassVar[str] = "mean and standard deviation of a window around each element, for pages"
    commas: ClassVar[bool] = True

    k: float
    r: float | Literal["auto"] | None

    @property
    def needs_extremes(self) -> bool:
        return self.r == _AUTO

    @classmethod
    def parse(cls, text: str) -> Self | None:
        name, _, rest = text.partition(":")
        if name != "sauvola":
            return None
        sizes, *options = rest.split(",")
        r = options.pop() if options and options[-1].startswith("R=") else None
        if len(options) > 1:
            raise UsageError(f"{text!r} has too many options", hint="write sauvola:15,0.2 or sauvola:15,0.2,R=1")
        k = number_of(options[0], "k", text) if options else 0.2
        return cls(text, sizes_in(sizes, text), k, None if r is None else _range(r.removeprefix("R="), text))

    def check(self, rank: int, dtype: DType, axes: Axes | None) -> None:
        super().check(rank, dtype, axes)
        if self.r is None and dtype.compared.is_float:
            raise UsageError(
                f"{self.text} needs R for {dtype.name}, the largest standard deviation that there may be",
                hint=f"write {self.text},R=1, or {self.text},R=auto for half of max - min",
            )

    def window(self, sizes: tuple[int, ...], dtype: DType, extremes: Extremes) -> Window:
        from threshcli.windows.base import Window

        low, high = (dtype.keys.low, dtype.keys.high) if self.r is None else extremes
        r = self.r if isinstance(self.r, float) else high / 2 - low / 2
        return Window("sauvola", sizes, self.k, r or 1.0)  # of equal elements, which have no spread to be divided


def _range(text: str, spec: str) -> float | Literal["auto"]:
    if text == _AUTO:
        return _AUTO
    found = number_of(text, "R", spec)
    if found <= 0:
        raise UsageError(f"R of {spec!r} is not above 0", hint="it is the largest standard deviation that there may be")
    return found
