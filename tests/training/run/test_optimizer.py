from __future__ import annotations

import pytest
import torch
from torch import nn

from unetkit.training.run.optimizer import build_adamw


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def step(network: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    for number in range(count):
        optimizer.zero_grad()
        network(torch.full((2, 1, 8, 8), number / 3).cumsum(-1)).square().mean().backward()
        optimizer.step()


def test_a_step_on_a_processor_is_fused_and_that_of_pytorch() -> None:
    own, plain = network(), network()
    optimizer = build_adamw(own, 0.01, 0.1)
    assert optimizer.defaults["fused"]
    step(own, optimizer, 5)
    step(plain, torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1), 5)
    torch.testing.assert_close(own.state_dict(), plain.state_dict())


@pytest.mark.parametrize("fused", [None, True])
def test_training_goes_on_from_the_state_of_either_kind(fused: bool | None) -> None:
    own, plain = network(), network()
    before = torch.optim.AdamW(own.parameters(), lr=0.01, weight_decay=0.1, fused=fused)
    step(own, before, 3)
    after = build_adamw(own, 0.01, 0.1)
    after.load_state_dict(before.state_dict())
    step(own, after, 3)
    whole = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1)
    step(plain, whole, 3)
    step(plain, whole, 3)
    torch.testing.assert_close(own.state_dict(), plain.state_dict())


def test_frozen_weights_are_left_alone() -> None:
    frozen = network()
    frozen[0].requires_grad_(False)
    before = frozen[0].weight.clone()
    step(frozen, build_adamw(frozen, 0.01, 0.1), 2)
    assert torch.equal(frozen[0].weight, before)
