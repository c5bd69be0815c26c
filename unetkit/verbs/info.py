"""`unetkit info`."""

from __future__ import annotations

from pathlib import Path


def info_command(file: Path | None = None, /) -> None:
    """Show what an image or a model holds; without one, versions and devices of this machine, and what it keeps.

    Args:
        file: TIFF, PNG, JPEG, OME-Zarr; model.safetensors, the name of a built-in model, a package of bioimage.io, an
            ONNX file, a folder of segmentation-models-pytorch, or hf:owner/name.
    """
    from unetkit.foundation.console import show
    from unetkit.report.info import describe

    show(describe(file))
