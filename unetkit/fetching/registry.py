"""Weights to start from that have a name: one table of where they lie, their licence, and what they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unetkit.foundation.errors import ModelError

HUB = "hf:"
"""Beginning of the address of a repository on Hugging Face. Others are addresses of files."""


@dataclass(frozen=True)
class WeightsFile:
    """The weights of one encoder.

    Attributes:
        address: Where they lie: `hf:owner/name`, fetched by the library that builds the encoder, or the address of a
            file.
        licence: Their licence, as an SPDX identifier.
        sha256: Hash of the file in hexadecimal; "" where nobody has published one. Then the hash that the file had when
            it was fetched is noted beside it, and compared each time.
    """

    address: str
    licence: str
    sha256: str = ""


@dataclass(frozen=True)
class KnownWeights:
    """Weights of several encoders that were trained alike.

    Attributes:
        name: What `model.weights` calls them.
        trained_on: What they were trained on, for people.
        citation: Whom to cite.
        home: Where to read more.
        files: A file for each encoder, by the names of `unetkit.models.encoders`.
    """

    name: str
    trained_on: str
    citation: str
    home: str
    files: Mapping[str, WeightsFile]

    def file_of(self, encoder: str) -> WeightsFile:
        """Return the file of an encoder.

        Raises:
            ModelError: There is none; it names the encoders that have one.
        """
        if encoder not in self.files:
            raise ModelError(
                f"There are no weights '{self.name}' for the encoder {encoder}.",
                f"Set model.encoder to one of {', '.join(self.files)}; or choose other weights (model.weights).",
            )
        return self.files[encoder]


def _imagenet() -> dict[str, WeightsFile]:
    resnets = [f"resnet{layers}" for layers in (18, 34, 50, 101, 152)]
    vggs = [f"vgg{layers}{norm}" for layers in (11, 13, 16, 19) for norm in ("", "_bn")]
    smp = (*resnets, "resnext50_32x4d", "resnext101_32x8d", *vggs, "inceptionv4", "inceptionresnetv2")
    tags = {18: "ra4_e3600_r224_in1k", 34: "ra4_e3600_r224_in1k", 50: "a1h_in1k", 101: "a1h_in1k"}
    timm = {f"resnetv2_{layers}": f"resnetv2_{layers}.{tag}" for layers, tag in tags.items()}
    return {
        **{name: WeightsFile(f"{HUB}smp-hub/{name}.imagenet", "BSD-3-Clause") for name in smp},
        **{name: WeightsFile(f"{HUB}timm/{file}", "Apache-2.0") for name, file in timm.items()},
    }


def _nasa(encoder: str, ending: str) -> WeightsFile:
    folder = "https://nasa-public-data.s3.amazonaws.com/microscopy_segmentation_models"
    return WeightsFile(f"{folder}/{encoder}_pretrained_{ending}.pth.tar", "MIT")


_NASA_ENCODERS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"),
    *("vgg11_bn", "vgg13_bn", "vgg16_bn", "inceptionv4", "inceptionresnetv2"),
)
_NASA_CITATION = (
    "Stuckner, Harder and Smith 2022, Microstructure segmentation with deep learning encoders pre-trained on a large "
    "microscopy dataset, npj Computational Materials 8:200, https://doi.org/10.1038/s41524-022-00878-5"
)
_NASA_HOME = "https://github.com/nasa/pretrained-microscopy-models"

KNOWN_WEIGHTS: dict[str, KnownWeights] = {
    weights.name: weights
    for weights in (
        KnownWeights(
            "imagenet",
            "ImageNet-1k: 1.3 million photographs of 1000 classes",
            "Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge, "
            "https://doi.org/10.1007/s11263-015-0816-y",
            "https://smp.readthedocs.io/en/latest/encoders.html",
            _imagenet(),
        ),
        KnownWeights(
            "micronet",
            "MicroNet: 100,000 micrographs of 54 classes of materials, mostly of electron microscopes",
            _NASA_CITATION,
            _NASA_HOME,
            {encoder: _nasa(encoder, "microscopynet_v1.0") for encoder in _NASA_ENCODERS}
            | {
                "resnet50": _nasa("resnet50", "microscopynet_v1.1"),  # trained again: v1.0 was poor
                "resnext101_32x8d": _nasa("resnext101", "microscopynet_v1.0"),  # its file has a shorter name
            },
        ),
        KnownWeights(
            "image-micronet",
            "ImageNet-1k, then MicroNet: 100,000 micrographs of 54 classes of materials",
            _NASA_CITATION,
            _NASA_HOME,
            # NASA's own code names no file of resnext101_32x8d here
            {
                encoder: _nasa(encoder, "imagenet-microscopynet_v1.0")
                for encoder in _NASA_ENCODERS
                if encoder != "resnext101_32x8d"
            },
        ),
    )
}
"""All known weights by name. The addresses of MicroNet are those of NASA's `get_pretrained_microscopynet_url`; VGG
without batch norm is left out, as NASA reports that it has learned nothing (2 % accuracy)."""
