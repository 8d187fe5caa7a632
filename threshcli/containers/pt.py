"""`.pt`: a zip archive of a pickle, which has the structure, and of storages, which are raw bytes.

torch is not needed, and not imported (that alone takes longer than most files): `_zip` finds the bytes, `_pickle` reads
the structure without running anything, `_checkpoint` finds the tensors in it. What `torch.load(weights_only=True)`
would refuse to call is refused here too, and what it would call is not called either.

Writing (`_rebuild`, `_pickler`) repeats the structure with other tensors in it, in the layout of torch.save.
"""

from __future__ import annotations

from collections.abc import Mapping

from threshcli.containers.base import Container, Contents, OutTensor, Reader, Skeleton

_ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06")
_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")


class Pt(Container):
    """What torch.save writes: nested dicts and lists of tensors and plain values."""

    name = "pt"
    extensions = (".pt", ".pth", ".bin", ".ckpt")

    def sniff(self, head: bytes) -> bool:
        return head.startswith((*_ARCHIVE, _LEGACY))

    def read(self, reader: Reader) -> Contents:
        from threshcli.containers import _archive

        return _archive.read(self.name, reader)

    def reach(self, reader: Reader) -> int:
        return super().reach(reader) if reader.read(0, 4) == _ARCHIVE[0] else 0  # others are refused

    def skeleton(
        self, tensors: tuple[OutTensor, ...], origin: Contents | None, provenance: Mapping[str, str]
    ) -> Skeleton:
        from threshcli.containers import _archive

        return _archive.skeleton(tensors, origin, provenance)

    def keeps_byte_order(self, container: str) -> bool:
        """Of archives alone: torch does not swap what an untyped storage holds (uint16), so none is made big-endian."""
        return container == self.name

    def axes(self, order: tuple[int, ...]) -> tuple[int, ...]:
        return order
