from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unetkit.training.run.average import move_average


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def test_the_average_moves_as_torch_has_it() -> None:
    torch.manual_seed(0)
    average, current = network().requires_grad_(False), network()
    reference = AveragedModel(average, multi_avg_fn=get_ema_multi_avg_fn(0.75), use_buffers=True)
    reference.n_averaged.fill_(1)
    for _ in range(3):
        current(torch.rand(2, 1, 8, 8))  # moves the statistics of batch norm
        with torch.no_grad():
            for parameter in current.parameters():
                parameter.add_(torch.randn_like(parameter))
        reference.update_parameters(current)
        move_average(average, current, 0.75)
    expected = {name: value for name, value in reference.module.state_dict().items() if value.is_floating_point()}
    assert any(name.endswith("running_var") for name in expected)
    torch.testing.assert_close({name: average.state_dict()[name] for name in expected}, expected)


def test_nothing_kept_is_an_exact_copy() -> None:
    average, current = network(), network()
    move_average(average, current, 0.0)
    for one, other in zip(average.parameters(), current.parameters(), strict=True):
        assert torch.equal(one, other)
