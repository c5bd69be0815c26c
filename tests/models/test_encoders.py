from __future__ import annotations

import pytest
import torch
from torch import nn

from unetkit.models.encoders import first_centre
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network


@pytest.mark.parametrize("encoder", ["resnet18", "resnetv2_18", "vgg11", "inceptionv4", "inceptionresnetv2"])
def test_the_deepest_features_look_at_where_they_are_said_to(encoder: str) -> None:
    spec = ModelSpec(
        encoder, depth=3, decoder_channels=(8, 8, 8), task="classification", image_classes=("a",), image_size=8
    )
    network = build_network(spec).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.fill_(1 / layer.weight[0].numel())
    torch.manual_seed(0)  # at random, since pooling takes the first of even values
    pixels = torch.rand(1, 1, 192, 192, requires_grad=True)
    features = network.encoder(pixels)[-1]  # type: ignore[operator]
    features[0, :, 12].sum().backward()
    assert pixels.grad is not None
    seen = pixels.grad[0, 0].double().sum(1)
    centre = float((seen * torch.arange(192)).sum() / seen.sum())
    assert centre == pytest.approx(first_centre(encoder, 8) + 12 * 8, abs=1.5)
