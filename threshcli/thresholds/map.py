"""A map as a threshold: one value for each element, from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from threshcli.containers.base import Contents, Tensor
from threshcli.errors import UsageError
from threshcli.near import near_names
from threshcli.thresholds.base import Fitted, Mapped, Maps, Threshold
from threshcli.thresholds.report import is_report
from threshcli.tiles import View


@dataclass(frozen=True)
class MapThreshold(Threshold):
    """`@maps.safetensors` goes by tensor name, `@maps.safetensors::NAME` and `@map.npy` serve every tensor.

    The map has the tensor's shape, or may be broadcast to it if that was asked for. Any real dtype will do: elements
    and thresholds are compared exactly.
    """

    form: ClassVar[str] = "@map.npy, @maps.safetensors, @maps.pt::NAME"
    meaning: ClassVar[str] = "one value per element, from a file"

    text: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        if not text.startswith("@") or is_report(text):
            return None
        path, chosen, name = text[1:].partition("::")
        if not path or (chosen and not name):
            raise UsageError(f"{text!r} names no map", hint="write @map.npy or @maps.safetensors::NAME")
        return cls(text)

    def bind(self, tensor: Fitted, maps: Maps) -> Mapped:
        file, chosen = maps.divided(self.text[1:])
        contents, fingerprint, path = maps.contents(file)
        found = _choose(contents, file, chosen, tensor.name)
        if not found.dtype.is_real:
            raise UsageError(f"the map {self.text} holds {found.dtype.name}, which has no order")
        view = self._fit(found.view, tensor)
        return Mapped(self.text, path, fingerprint, found.dtype, view.permuted(tensor.order))

    def _fit(self, view: View, tensor: Fitted) -> View:
        if view.shape == tensor.shape:
            return view
        fitted = view.broadcast(tensor.shape)
        if fitted is not None and tensor.broadcast:
            return fitted
        what = f"the map {self.text} has shape {list(view.shape)}, the tensor {list(tensor.shape)}"
        if fitted is not None:
            raise UsageError(what, hint="--broadcast spreads the map over the tensor")
        raise UsageError(what, hint="a map has one value per element: make it with the tensor's shape")


def _choose(contents: Contents, path: str, chosen: str | None, name: str) -> Tensor:
    """The tensor of a map file that is chosen, or serves the tensor of this name."""
    by_name = {item.name: item for item in contents.tensors}
    wanted = chosen if chosen is not None else name
    if chosen is None and set(by_name) == {""}:
        return by_name[""]
    if wanted in by_name:
        return by_name[wanted]
    held = ", ".join(map(repr, near_names(wanted, by_name))) or "no tensors"
    raise UsageError(
        f"the map {path} has no tensor {wanted!r}; it holds {held}",
        hint=f"choose one with -t @{path}::NAME",
    )
