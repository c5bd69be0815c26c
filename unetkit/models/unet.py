"""The network: smp's U-Net on a ResNet encoder."""

from __future__ import annotations

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.base.heads import ClassificationHead
from torch import nn

from unetkit.models.spec import ModelSpec


def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network that a spec describes, with random weights.

    The contracting path is a ResNet, the expanding path doubles the resolution `depth` times and concatenates the skip
    features of the same resolution at each step (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597).

    Returns:
        A module that maps (N, in_channels, h, w) float32 to logits (N, network_channels, h, w); h and w are
        multiples of `spec.stride`. Its parts are `encoder`, `decoder` and `segmentation_head`; beside
        them is `image_head` where the spec has image classes, which has no part in that (see `models.image_head`).
    """
    network: nn.Module = smp.Unet(
        encoder_name=spec.encoder,
        encoder_depth=spec.depth,
        encoder_weights=None,
        decoder_channels=spec.decoder_channels,
        in_channels=spec.in_channels,
        classes=spec.network_channels,
    )
    if spec.image_classes:
        network.image_head = ClassificationHead(network.encoder.out_channels[-1], len(spec.image_classes), dropout=0.2)
    return network
