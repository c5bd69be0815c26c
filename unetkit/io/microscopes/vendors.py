"""The formats of microscopes that the extra `formats` reads: how each is recognised, and what reads it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from unetkit.foundation.errors import ImageError

INSTALL = "Run `pip install unetkit[formats]`."

DV_MARK = 96
"""Byte of a DeltaVision file at which its mark stands, in either byte order."""


@dataclass(frozen=True)
class Vendor:
    """A format of microscopes.

    Attributes:
        name: What `ImageInfo.format` calls it.
        maker: What it is called in messages.
        suffixes: Endings of the names of such files.
        marks: Bytes of which each such file has one.
        mark_at: Where in the file they stand.
        modules: Modules that read it.
    """

    name: str
    maker: str
    suffixes: tuple[str, ...]
    marks: tuple[bytes, ...]
    modules: tuple[str, ...]
    mark_at: int = 0

    def begins(self, start: bytes) -> bool:
        """Return whether a file with these first bytes is of this format."""
        return start[self.mark_at :].startswith(self.marks)

    def is_installed(self) -> bool:
        """Return whether what reads it is there. Nothing is imported."""
        return all(find_spec(module) is not None for module in self.modules)

    def require(self, path: Path) -> None:
        """Raise an ImageError that says what to install, unless it is there."""
        if not self.is_installed():
            missing = next(module for module in self.modules if find_spec(module) is None)
            raise ImageError(f"{path} is a {self.maker} file, which needs the package {missing}.", INSTALL)


CZI = Vendor("CZI", "Zeiss CZI", (".czi",), (b"ZISRAWFILE",), ("pylibCZIrw",))
ND2 = Vendor("ND2", "Nikon ND2", (".nd2",), (b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  \r\n\x87\n"), ("nd2",))
LIF = Vendor("LIF", "Leica LIF", (".lif",), (b"\x70\0\0\0",), ("liffile",))
DV = Vendor("DV", "DeltaVision", (".dv", ".r3d"), (b"\xa0\xc0", b"\xc0\xa0"), ("mrc",), mark_at=DV_MARK)

VENDORS = (CZI, ND2, LIF, DV)


def vendor_of(path: Path) -> Vendor | None:
    """Return the format that a file has by its name."""
    return next((one for one in VENDORS if path.suffix.lower() in one.suffixes), None)
