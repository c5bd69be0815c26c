"""Encoders for the contracting path: the names that users give, and those of the libraries."""

from __future__ import annotations

from unetkit.foundation.errors import ConfigError, closest

ENCODERS: dict[str, str] = {
    **{name: name for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    **{name: name for name in ("resnext50_32x4d", "resnext101_32x8d")},
    **{f"resnetv2_{layers}": f"tu-resnetv2_{layers}" for layers in (18, 34, 50, 101, 152)},
    **{f"vgg{layers}{norm}": f"vgg{layers}{norm}" for layers in (11, 13, 16, 19) for norm in ("", "_bn")},
    **{name: name for name in ("inceptionv4", "inceptionresnetv2")},
}
"""Name in segmentation-models-pytorch of each encoder.

ResNet (He et al. 2015, https://arxiv.org/abs/1512.03385), ResNeXt (Xie et al. 2016, https://arxiv.org/abs/1611.05431),
the pre-activation ResNet "v2" (He et al. 2016, https://arxiv.org/abs/1603.05027; timm's), VGG with and without batch
norm (Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556), Inception-v4 and Inception-ResNet-v2 (Szegedy et
al. 2016, https://arxiv.org/abs/1602.07261). All halve the resolution on a grid that begins at the first pixel, which
tiling rests on. Encoders that normalise over the whole window (group norm, such as the "BiT" ResNets) are left out:
what they predict for a pixel depends on the tile that it lies in.
"""

PLANE_ENCODERS = ("inceptionv4", "inceptionresnetv2")
"""Encoders of planes only. Their kernels of 1 x 7 and 7 x 1 pixels have no counterpart in three axes."""


def first_centre(encoder: str, stride: int) -> float:
    """Return the row, in pixels of the input, that the first row of an encoder's deepest features looks at.

    The others follow at distances of `stride`. Convolutions with stride 2 keep every second place of their input from
    the first on; the pooling of VGG takes two together, so that its features look between them.
    """
    return (stride - 1) / 2 if encoder.startswith("vgg") else 0.0


def smp_name(encoder: str) -> str:
    """Return what segmentation-models-pytorch calls an encoder.

    Raises:
        ConfigError: There is no such encoder; it names the closest.
    """
    if encoder not in ENCODERS:
        raise ConfigError(f"There is no encoder '{encoder}'.", closest(encoder, ENCODERS))
    return ENCODERS[encoder]
