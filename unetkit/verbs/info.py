"""`unetkit info`."""

from __future__ import annotations

from pathlib import Path


def info_command(file: Path | None = None, /) -> None:
    """Show what an image or a model file holds; without one, versions and devices of this machine.

    Args:
        file: TIFF, PNG, JPEG, OME-Zarr, model.safetensors, or the name of a built-in model.
    """
    from unetkit.foundation.console import show
    from unetkit.report.info import describe

    show(describe(file))
