"""What a user chooses for an exported model: plain data that a command's help imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["onnx", "torchscript", "bioimageio", "huggingface"]
"""Forms of exported models, see `unetkit.sharing.forms`."""


@dataclass(frozen=True)
class SharingOptions:
    """How a model is exported.

    Args:
        format: "onnx" and "torchscript" are one file, raw or normalised pixels in, probabilities out. "bioimageio" is a
            package (.zip) of bioimage.io. "huggingface" is a folder for the Hugging Face Hub. By default what the name
            of the result says: .onnx, .pt or .zip.
        fixed: For a model that measures every image: the values of this image become part of the export, which then
            takes raw pixels; or "training" for the range of the training images.
        half: Store weights in 16 bits: the file is half as large.
        check: Image, or folder of images, on which the export is run and compared with unetkit.
        smp_layout: For huggingface: the layout that `smp.from_pretrained` opens.
    """

    format: Format | None = None
    fixed: Path | None = None
    half: bool = False
    check: Path | None = None
    smp_layout: bool = False


DEFAULT_SHARING = SharingOptions()
"""The form that the name says, in 32 bits."""
