"""The network: smp's U-Net on an encoder, another architecture, or an encoder with an image head alone."""

from __future__ import annotations

from collections.abc import Sequence

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationModel
from segmentation_models_pytorch.base.heads import ClassificationHead
from torch import Tensor, nn

from unetkit.models.architectures import ARCHITECTURES
from unetkit.models.encoders import smp_name
from unetkit.models.inflation import inflate
from unetkit.models.spec import ModelSpec
from unetkit.models.volume_unet import build_volume_unet


class ImageNetwork(SegmentationModel):  # type: ignore[misc]  # smp has no types
    """A network that classifies whole images: an encoder with an image head on its deepest features. It has no masks.

    Args:
        spec: A spec of the task "classification".
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.encoder: nn.Module = smp.encoders.get_encoder(
            smp_name(spec.encoder), in_channels=spec.network_inputs, depth=spec.depth, weights=None
        )
        _drop_unused(self.encoder, spec)
        if spec.dims == 3:
            inflate(self.encoder, spec.pooling, spec.network_inputs)
        self.image_head = build_image_head(self.encoder, spec)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (N, image classes) of normalised images (N, C, h, w) or volumes (N, C, d, h, w)."""
        logits: Tensor = self.image_head(self.encoder(pixels)[-1])
        return logits


def build_image_head(encoder: nn.Module, spec: ModelSpec) -> nn.Module:
    """Build the layers that classify the mean of an encoder's deepest features: a linear one, or a hidden one first."""
    features: int = encoder.out_channels[-1]  # type: ignore[index, assignment]
    count, hidden, dropout = len(spec.image_classes), spec.image_head_hidden, spec.image_head_dropout
    mean = nn.AdaptiveAvgPool2d(1) if spec.dims == 2 else nn.AdaptiveAvgPool3d(1)
    if not hidden:
        head: nn.Sequential = ClassificationHead(features, count, dropout=dropout)
        head[0] = mean
        return head
    layers = [nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, count)]
    return nn.Sequential(mean, nn.Flatten(), *layers)


@torch.inference_mode(mode=False)
@torch.enable_grad()
def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network that a spec describes, with random weights.

    Returns:
        A module that maps (N, network_inputs, h, w) float32 to logits (N, network_channels, h, w), or volumes
        (N, network_inputs, d, h, w) to theirs; the sizes are multiples of `spec.strides`. Its parts are `encoder`,
        `decoder` and `segmentation_head`; beside them is `image_head` where the spec has image classes, which has no
        part in that (see `models.image_head`). For the task "classification" it is an `ImageNetwork`.
    """
    if spec.task == "classification":
        return ImageNetwork(spec)
    network: nn.Module = ARCHITECTURES[spec.arch].build(spec)
    if spec.planes > 1:
        _begin_with_the_middle(network, spec)
    return network


def _begin_with_the_middle(network: nn.Module, spec: ModelSpec) -> None:
    """Let a network of several planes begin as one of the plane in the middle: its neighbours have no weight yet.

    The first convolution is as strong as before: its variance lay on all planes.
    """
    weight = next(module.weight for module in network.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        middle = weight[:, spec.middle] * spec.planes**0.5
        weight.zero_()
        weight[:, spec.middle] = middle


def build_unet(spec: ModelSpec) -> nn.Module:
    """Build a U-Net on an encoder, with random weights.

    The contracting path is an encoder such as a ResNet, the expanding path doubles the resolution `depth` times and
    concatenates the skip features of the same resolution at each step (Ronneberger et al. 2015,
    https://arxiv.org/abs/1505.04597). That of volumes is the same with an axis more.
    """
    unet = smp.Unet(
        encoder_name=smp_name(spec.encoder),
        encoder_depth=spec.depth,
        encoder_weights=None,
        decoder_channels=spec.decoder_channels,
        in_channels=spec.network_inputs,
        classes=spec.network_channels,
    )
    _drop_unused(unet.encoder, spec)
    if spec.dims == 3:
        build_volume_unet(unet, spec)
    if spec.residual:  # it begins by adding nothing
        nn.init.zeros_(unet.segmentation_head[0].weight)
        nn.init.zeros_(unet.segmentation_head[0].bias)
    if spec.image_classes:
        unet.image_head = build_image_head(unet.encoder, spec)
    network: nn.Module = unet
    return network


def _drop_unused(encoder: nn.Module, spec: ModelSpec) -> None:
    """Leave out what an encoder of planes has beyond its depth: smp keeps these stages, which would be stored.

    Several processes that train would wait for their gradients, too.
    """
    side = 1 << spec.depth
    features = encoder.eval()(torch.zeros(1, spec.network_inputs, side, side))
    encoder.train()
    used = _weights_behind(features[1:])
    for parent in list(encoder.modules()):
        for name, part in list(parent.named_children()):
            own = set(part.parameters())
            if own and own.isdisjoint(used):
                setattr(parent, name, nn.Identity())


def _weights_behind(outputs: Sequence[Tensor]) -> set[Tensor]:
    """Return the weights that outputs were computed with; no gradient is, so they may be on the device "meta"."""
    weights, seen, ahead = set(), set(), [output.grad_fn for output in outputs]
    while ahead:
        step = ahead.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        if isinstance(weight := getattr(step, "variable", None), Tensor):
            weights.add(weight)
        ahead += [before for before, _ in step.next_functions]
    return weights
