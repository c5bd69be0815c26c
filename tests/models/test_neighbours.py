import pytest
import torch

from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network

PLAIN = {"arch": "plain_unet", "base_channels": 8}
ENCODED = {"encoder": "resnet18", "decoder_channels": (16, 8, 8)}


@pytest.mark.parametrize("settings", [PLAIN, ENCODED], ids=["plain", "resnet18"])
def test_a_network_begins_with_the_plane_in_the_middle_and_can_learn_from_its_neighbours(settings):
    torch.manual_seed(0)
    network = build_network(ModelSpec(in_channels=2, planes=3, depth=3, **settings)).eval()
    pixels = torch.rand(1, 6, 64, 64)
    other = pixels.clone()
    other[:, [0, 1, 4, 5]] = torch.rand(1, 4, 64, 64)
    torch.testing.assert_close(network(pixels), network(other))
    network(pixels).sum().backward()
    first = next(module.weight for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    gradient = first.grad.abs().sum((0, 2, 3))
    assert (gradient > 0).all()


def test_its_first_features_are_as_strong_as_those_of_a_single_plane():
    torch.manual_seed(0)
    strength = []
    for planes in (1, 5):
        network = build_network(ModelSpec(in_channels=3, planes=planes, depth=3, **PLAIN))
        first = next(module.weight for module in network.modules() if isinstance(module, torch.nn.Conv2d))
        strength.append(float(first.detach().pow(2).sum((1, 2, 3)).mean().sqrt()))
    assert strength[1] == pytest.approx(strength[0], rel=0.3)
