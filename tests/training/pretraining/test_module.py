from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from unetkit.data.unmasked import ImageData
from unetkit.foundation.errors import ConfigError
from unetkit.training.pretraining.corruption import Corruption
from unetkit.training.pretraining.module import PretrainModule

TINY: dict[str, Any] = {"encoder": "resnet18", "depth": 3, "decoder_channels": [8, 8, 8]}


def set_up(cells: Path, **settings: Any) -> PretrainModule:
    """A module with its network, as the trainer would set it up."""
    module = PretrainModule(**{**TINY, **settings})
    data = ImageData(str(cells), val=0.4, crop=64, batch_size=4, crops_per_epoch=8, workers=0)
    data.setup("fit")
    module._trainer = SimpleNamespace(  # type: ignore[assignment]
        datamodule=data, ckpt_path=None, global_rank=0, is_global_zero=True, world_size=1
    )
    module.setup("fit")
    return module


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_gives_as_many_channels_as_the_image_has(cells: Path, channels: int) -> None:
    module = set_up(cells, in_channels=channels)
    batch = next(iter(module.data.train_dataloader()))
    clean, damaged, hidden = module.damage(batch, 0)
    assert module.segmenter.network(damaged).shape == clean.shape == (4, channels, 64, 64)
    assert hidden.shape == (4, 1, 64, 64)


def test_the_target_is_the_normalised_image(cells: Path) -> None:
    module = set_up(cells)
    batch = next(iter(module.data.train_dataloader()))
    clean, damaged, _ = module.damage(batch, 0)
    expected = (batch["image"] - batch["center"][:, :, None, None]) / batch["scale"][:, :, None, None]
    torch.testing.assert_close(clean, expected)
    assert not torch.equal(damaged, clean)


def test_a_key_always_gives_the_same_damage(cells: Path) -> None:
    module = set_up(cells)
    batch = next(iter(module.data.train_dataloader()))
    assert torch.equal(module.damage(batch, 0, 3, 5)[1], module.damage(batch, 0, 3, 5)[1])
    assert not torch.equal(module.damage(batch, 0, 3, 5)[1], module.damage(batch, 0, 3, 6)[1])


@pytest.mark.parametrize("loss", ["l1", "mse", "smooth_l1"])
def test_hidden_pixels_count_more(loss: Any) -> None:
    module = PretrainModule(**TINY, loss=loss, hidden_weight=3)
    clean = torch.rand(2, 2, 8, 8)
    restored = clean + torch.rand(2, 2, 8, 8)
    hidden = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    hidden[..., :4] = True
    plain = {"l1": functional.l1_loss, "mse": functional.mse_loss, "smooth_l1": functional.smooth_l1_loss}[loss]
    more: dict[str, Any] = {"beta": 0.1} if loss == "smooth_l1" else {}
    parts = [plain(restored[..., part], clean[..., part], **more) for part in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(module._compare(restored, clean, hidden), (3 * parts[0] + parts[1]) / 4)


@pytest.mark.parametrize(("restore", "expected"), [(lambda clean: clean, 1.0), (None, 0.0)])
def test_the_score_is_1_for_a_perfect_and_0_for_a_flat_result(
    restore: Any, expected: float, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = set_up(cells)
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: float(value)}))
    batch = next(iter(module.data.val_dataloader()))
    clean = module.damage(batch, 0, 0)[0]
    result = clean if restore else clean.mean((2, 3), keepdim=True).expand_as(clean)
    monkeypatch.setattr(module, "best_network", lambda: lambda damaged: result - damaged)  # what is added
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert logged["val_r2"] == pytest.approx(expected, abs=1e-5)
    assert module.error.compute() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_weight": 0}, "hidden_weight: 0 is not possible"),
        ({"loss": "l3"}, "There is no loss 'l3'"),
        ({"lr": 0}, "lr: 0 is not possible"),
        ({"depth": 6}, "Use a depth of 3, 4 or 5"),
    ],
)
def test_settings_that_have_no_meaning_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PretrainModule(**{**TINY, "decoder_channels": None, **settings})


def test_where_nothing_is_hidden_all_pixels_count(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = set_up(cells, corruption=Corruption(hidden=0, noise=(0.5, 0.5)))
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: float(value)}))
    batch = next(iter(module.data.val_dataloader()))
    monkeypatch.setattr(module, "best_network", lambda: torch.zeros_like)  # the noisy image as it is
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert logged["val_r2"] == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("residual", [True, False])
def test_a_network_draws_the_image_or_what_is_added_to_it(residual: bool, cells: Path) -> None:
    module = set_up(cells, residual=residual)
    damaged = torch.rand(2, 1, 64, 64)
    restored = module.restore(lambda pixels: pixels * 0 + 0.25, damaged)
    torch.testing.assert_close(restored, damaged + 0.25 if residual else torch.full_like(damaged, 0.25))
    assert module.spec.residual is residual
    begins = module.restore(module.best_network().eval(), damaged)
    assert torch.equal(begins, damaged) is residual
