from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from unetkit.foundation.errors import ConfigError
from unetkit.models.image_head import ImageClassifier, image_logits, to_image_probabilities
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import TrimmedUnet, trim
from unetkit.models.unet import build_network

SPEC = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), image_classes=("a", "b"), image_size=64)


def test_masks_are_those_of_the_network_without_a_head() -> None:
    network, plain = build_network(SPEC).eval(), build_network(replace(SPEC, image_classes=(), image_size=0)).eval()
    weights = network.state_dict()
    extra = weights.keys() - plain.state_dict().keys()
    assert extra == {"image_head.3.weight", "image_head.3.bias"}
    plain.load_state_dict({name: value for name, value in weights.items() if name not in extra})
    pixels = torch.rand(2, 1, 64, 64)
    assert torch.equal(network(pixels), plain(pixels))
    assert isinstance(trim(network), TrimmedUnet)


def test_the_head_is_a_linear_layer_on_the_mean_of_the_deepest_features() -> None:
    network = build_network(SPEC).eval()
    pixels = torch.rand(2, 1, 64, 64)
    linear = network.image_head[3]
    expected = network.encoder(pixels)[-1].mean((2, 3)) @ linear.weight.T + linear.bias
    assert torch.allclose(image_logits(network, pixels), expected, atol=1e-5)


def test_whole_images_leave_the_statistics_of_batch_norm_to_the_crops() -> None:
    network = build_network(SPEC).train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    frozen = [name for name, module in network.named_modules() if not module.training]
    image_logits(network, torch.rand(2, 1, 64, 64) + 5).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert frozen == [name for name, module in network.named_modules() if not module.training]
    assert network.encoder.conv1.weight.grad.abs().sum() > 0


def test_a_classifier_is_a_copy_of_its_own() -> None:
    segmenter = Segmenter(SPEC).eval()
    classifier = ImageClassifier(segmenter)
    pixels, center, scale = torch.rand(1, 1, 64, 64) * 255, torch.tensor([[10.0]]), torch.tensor([[50.0]])
    expected = to_image_probabilities(image_logits(segmenter.network, (pixels - 10) / 50))
    with torch.no_grad():
        for weight in segmenter.network.parameters():
            weight.zero_()
    assert torch.allclose(classifier(pixels, center, scale), expected)


def test_probabilities_of_one_class_are_its_own_and_of_several_add_up_to_one() -> None:
    assert to_image_probabilities(torch.zeros(3, 1)).tolist() == [[0.5]] * 3
    assert torch.allclose(to_image_probabilities(torch.randn(3, 4)).sum(1), torch.ones(3))


def test_a_network_of_whole_images_alone_is_an_encoder_and_the_head() -> None:
    spec = replace(SPEC, task="classification")
    network, both = build_network(spec).eval(), build_network(SPEC).eval()
    assert {name.split(".")[0] for name in network.state_dict()} == {"encoder", "image_head"}
    missing = both.load_state_dict(network.state_dict(), strict=False).missing_keys
    assert all(name.startswith(("decoder", "segmentation_head")) for name in missing)
    pixels = torch.rand(2, 1, 64, 64)
    assert network(pixels).shape == (2, spec.network_channels) == (2, 2)
    torch.testing.assert_close(network(pixels), image_logits(both, pixels))
    assert ModelSpec.from_json(spec.to_json(), "file") == spec
    with pytest.raises(ConfigError, match="needs image_classes"):
        replace(spec, image_classes=(), image_size=0)


@pytest.mark.parametrize("changes", [{"image_size": 0}, {"image_size": 60}, {"image_classes": ()}])
def test_image_classes_need_a_size_that_the_network_takes(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="does not go with"):
        replace(SPEC, **changes)
