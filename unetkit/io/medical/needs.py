"""What the extra `medical` brings, and the errors where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from unetkit.foundation.errors import ImageError, OutputError

INSTALL = "Run `pip install unetkit[medical]`."


def has(module: str) -> bool:
    """Return whether a module is there. Nothing is imported."""
    return find_spec(module) is not None


def require_reader(module: str, path: object, kind: str, package: str = "") -> None:
    """Raise an ImageError that says what to install, unless the module that reads a kind of file is there."""
    if not has(module):
        raise ImageError(f"{path} is {kind}, which needs the package {package or module}.", INSTALL)


def require_writer(module: str, path: object, kind: str) -> None:
    """Raise an OutputError that says what to install, unless the module that writes a kind of file is there."""
    if not has(module):
        raise OutputError(f"{path}: to write {kind}, the package {module} is needed.", INSTALL)
