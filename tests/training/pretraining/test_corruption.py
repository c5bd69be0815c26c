from __future__ import annotations

from typing import Any

import pytest
import torch

from unetkit.foundation.errors import ConfigError
from unetkit.training.pretraining.corruption import Corruption, corrupt


def damaged(clean: torch.Tensor, seed: int = 0, **choices: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return corrupt(clean, Corruption(**choices), torch.Generator().manual_seed(seed))


@pytest.fixture
def clean() -> torch.Tensor:
    return torch.rand(8, 2, 96, 80, generator=torch.Generator().manual_seed(1)) * 3 + 5


def test_nothing_is_done_where_nothing_is_asked_for(clean: torch.Tensor) -> None:
    result, hidden = damaged(clean, noise=(0, 0), hidden=0)
    assert torch.equal(result, clean)
    assert not hidden.any()


def test_the_seed_decides_and_the_images_stay(clean: torch.Tensor) -> None:
    before = clean.clone()
    one, same, other = damaged(clean), damaged(clean), damaged(clean, seed=1)
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[1], other[1])
    assert torch.equal(clean, before)


def test_about_the_share_is_hidden_in_squares_and_the_rest_is_as_it_was(clean: torch.Tensor) -> None:
    result, hidden = damaged(clean, noise=(0, 0), hidden=0.4, square=8)
    assert hidden.shape == (8, 1, 96, 80)
    assert hidden.float().mean() == pytest.approx(0.4, abs=0.05)
    visible = ~hidden.expand_as(clean)
    assert torch.equal(result[visible], clean[visible])
    edges = (hidden[..., 1:] != hidden[..., :-1]).any(2).any(0).any(0).nonzero().flatten() + 1
    assert len(set((edges % 8).tolist())) == 1  # all squares of a batch lie on one grid


def test_hidden_squares_are_filled_with_the_mean_or_blurred(clean: torch.Tensor) -> None:
    result, hidden = damaged(clean, noise=(0, 0), hidden=1, blurred=0)
    assert hidden.all()
    torch.testing.assert_close(result, clean.mean((1, 2, 3), keepdim=True).expand_as(clean))
    result, hidden = damaged(clean, noise=(0, 0), hidden=1, blurred=1, square=4)
    assert hidden.all()
    torch.testing.assert_close(result[:, :, 40, 30], clean[:, :, 38:43, 28:33].mean((2, 3)))
    torch.testing.assert_close(result[:, :, 0, 0], clean[:, :, :3, :3].mean((2, 3)))


def test_noise_is_a_share_of_each_crops_own_spread(clean: torch.Tensor) -> None:
    clean[0] *= 100
    clean[1] = 7
    result, _ = damaged(clean, noise=(0.5, 0.5), hidden=0)
    shares = (result - clean).std((1, 2, 3)) / clean.std((1, 2, 3)).clamp(min=1e-9)
    assert shares[0] == pytest.approx(0.5, rel=0.03)
    assert shares[2] == pytest.approx(0.5, rel=0.03)
    assert torch.equal(result[1], clean[1])  # a flat crop


@pytest.mark.parametrize("values", [{"noise": (0.4, 0.1)}, {"hidden": 1.5}, {"blurred": -1}, {"square": 1}])
def test_values_that_have_no_meaning_are_errors(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"corruption.{next(iter(values))}: "):
        Corruption(**values)
