"""A temperature in the weights, for every architecture and every kind of output."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.temperature import divide_logits

UNET: dict[str, Any] = {"encoder": "resnet18", "decoder_channels": (8, 8, 8)}
PLAIN: dict[str, Any] = {"arch": "plain_unet", "base_channels": 4}
VOLUME: dict[str, Any] = {**UNET, "dims": 3, "pooling": ((2, 2, 2),) * 3}


@torch.inference_mode()
@pytest.mark.parametrize("network", [UNET, PLAIN, VOLUME], ids=["unet", "plain", "volume"])
@pytest.mark.parametrize("outputs", [{}, {"instances": True}, {"classes": 3}], ids=["mask", "instances", "classes"])
def test_logits_of_the_mask_are_divided_and_a_distance_map_stays(network: Any, outputs: Any) -> None:
    spec = ModelSpec(depth=3, **network, **outputs)
    segmenter = Segmenter(spec).eval()
    pixels = torch.randn(1, 1, *(16,) * spec.dims)
    before = segmenter.network(pixels)
    divide_logits(segmenter, 2.0)
    after, mask = segmenter.network(pixels), spec.out_channels
    torch.testing.assert_close(after[:, :mask], before[:, :mask] / 2)
    torch.testing.assert_close(after[:, mask:], before[:, mask:])


@torch.inference_mode()
def test_classes_of_whole_images_stay_as_they_are() -> None:
    segmenter = Segmenter(ModelSpec(depth=3, **UNET, image_classes=("a", "b"), image_size=16)).eval()
    segmenter.network.segmentation_head[0].bias.fill_(1.0)
    before = {name: values.clone() for name, values in segmenter.state_dict().items()}
    divide_logits(segmenter, 2.0)
    changed = [name for name, values in segmenter.state_dict().items() if not values.equal(before[name])]
    assert changed == ["network.segmentation_head.0.weight", "network.segmentation_head.0.bias"]
