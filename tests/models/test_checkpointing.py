from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from unetkit.models.checkpointing import checkpointed, find_blocks
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network

SPEC = ModelSpec(encoder="resnet18", depth=3, decoder_channels=(16, 8, 8))


def trained(network: nn.Module, pixels: Tensor, *, again: bool) -> dict[str, Tensor]:
    """Gradients, running statistics and output of a step."""
    if again:
        with checkpointed(network):
            output = network(pixels)
    else:
        output = network(pixels)
    output.square().mean().backward()
    gradients = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    return {**gradients, **dict(network.named_buffers()), "output": output.detach()}


VOLUME = replace(SPEC, dims=3, pooling=((1, 2, 2), (2, 2, 2), (2, 2, 2)))


@pytest.mark.parametrize(("spec", "frozen"), [(SPEC, False), (SPEC, True), (VOLUME, False), (VOLUME, True)])
def test_a_step_is_the_same_to_the_bit(spec: ModelSpec, frozen: bool) -> None:
    torch.manual_seed(0)
    network = build_network(spec)
    if frozen:
        network.freeze_encoder()  # type: ignore[operator]
    pixels = torch.randn(2, 1, *[32] * spec.dims)
    expected = trained(deepcopy(network), pixels, again=False)
    found = trained(network, pixels, again=True)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_afterwards_the_network_is_as_before() -> None:
    network = build_network(SPEC)
    before = {name: set(vars(part)) for name, part in network.named_modules()}
    with pytest.raises(RuntimeError), checkpointed(network):
        network(torch.zeros(1, 7, 32, 32))
    assert {name: set(vars(part)) for name, part in network.named_modules()} == before


def test_less_is_kept_for_the_gradients() -> None:
    network = build_network(SPEC)
    kept: list[int] = []

    def bytes_of(*, again: bool) -> int:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.nbytes) or tensor, lambda t: t):
            if again:
                with checkpointed(network):
                    network(torch.zeros(1, 1, 64, 64))
            else:
                network(torch.zeros(1, 1, 64, 64))
        return sum(kept)

    assert bytes_of(again=True) < 0.3 * bytes_of(again=False)
    assert len(list(find_blocks(network))) == 2 + 2 + 3  # deeper stages are left out
