from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from safetensors.torch import save_file

from unetkit.data.datamodule import SegmentationData
from unetkit.foundation.errors import ConfigError
from unetkit.models.segmenter import save_model
from unetkit.models.unet import build_network
from unetkit.training.run.schedule import Schedule
from unetkit.training.run.trainer import make_trainer
from unetkit.training.segmentation.module import SegmentationModule

TINY: dict[str, Any] = {"encoder": "resnet18", "depth": 3, "decoder_channels": [8, 8, 8], "lr": 0.003}
State = dict[str, torch.Tensor]


class Recorder(Callback):
    """Keeps the network's state and the learning rate after each step."""

    def __init__(self) -> None:
        self.start: State = {}
        self.states: list[State] = []
        self.rates: list[float] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = copy_of(pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.states.append(copy_of(pl_module))


def copy_of(module: LightningModule) -> State:
    assert isinstance(module, SegmentationModule)
    return {name: value.clone() for name, value in module.segmenter.network.state_dict().items()}


def data_of(cells: Path, **settings: Any) -> SegmentationData:
    defaults = {"val": 0.4, "crop": 64, "batch_size": 4, "crops_per_epoch": 8, "workers": 0, "augment": "none"}
    return SegmentationData(str(cells), **{**defaults, **settings})


def trained(cells: Path, folder: Path, epochs: int = 2, **settings: Any) -> tuple[SegmentationModule, Recorder]:
    recorder = Recorder()
    trainer = make_trainer(folder, accelerator="cpu", precision="32-true", max_epochs=epochs, callbacks=[recorder])
    torch.manual_seed(0)
    module = SegmentationModule(**{**TINY, **settings})
    trainer.fit(module, datamodule=data_of(cells))
    return module, recorder


def set_up(cells: Path, crop: int = 64, **settings: Any) -> SegmentationModule:
    """A module with its network, as the trainer would set it up."""
    module = SegmentationModule(**{**TINY, **settings})
    data = data_of(cells, crop=crop)
    data.setup("fit")
    module._trainer = SimpleNamespace(datamodule=data, ckpt_path=None, is_global_zero=True, world_size=1)  # type: ignore[assignment]
    module.setup("fit")
    return module


def encoder_of(state: State) -> State:
    return {name: value for name, value in state.items() if name.startswith("encoder.")}


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("in_channels", "expected"), [("auto", 1), (3, 3)])
def test_the_first_convolution_takes_the_channels_of_the_images_or_those_asked_for(
    cells: Path, in_channels: Any, expected: int
) -> None:
    module = set_up(cells, in_channels=in_channels)
    assert module.spec.in_channels == expected
    assert module.segmenter.network.encoder.conv1.weight.shape[1] == expected  # type: ignore[union-attr]
    assert module.data.train_dataloader().dataset[(0, 0)]["image"].shape == (expected, 64, 64)


@pytest.mark.parametrize(("depth", "channels"), [(3, [24, 16, 8]), (4, None), (5, [8, 8, 8, 8, 8])])
def test_depth_and_decoder_channels_shape_the_network(cells: Path, depth: int, channels: list[int] | None) -> None:
    module = set_up(cells, depth=depth, decoder_channels=channels)
    assert module.spec.stride == 2**depth
    assert len(module.spec.decoder_channels) == depth
    assert module.spec.decoder_channels == tuple(channels or (128, 64, 32, 16))
    assert module.segmenter.network(torch.zeros(2, 1, 64, 64)).shape == (2, 1, 64, 64)


def test_the_averaged_weights_and_batch_norm_statistics_are_the_moving_average(cells: Path, tmp_path: Path) -> None:
    module, recorder = trained(cells, tmp_path, epochs=4, ema_decay=0.3)
    expected = {name: value.double() for name, value in recorder.states[0].items()}
    for step, state in enumerate(recorder.states[1:], start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = {name: decay * expected[name] + (1 - decay) * state[name].double() for name in state}
    averaged = module.best_network().state_dict()
    compared = [name for name in expected if not name.endswith("num_batches_tracked")]
    assert any(name.endswith("running_var") for name in compared)
    for name in compared:
        torch.testing.assert_close(averaged[name].double(), expected[name], rtol=1e-4, atol=1e-6)
    assert not equal(encoder_of(copy_of(module)), encoder_of(dict(averaged)))


def test_with_valid_padding_the_middle_of_a_crop_is_scored_with_its_weights(cells: Path) -> None:
    plain = {"arch": "plain_unet", "base_channels": 2, "padding": "valid", "encoder": "resnet34"}
    module = set_up(cells, 128, **plain, decoder_channels=None, loss="weighted_bce")
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch = next(iter(module.data.train_dataloader()))
    module.eval()
    loss = module.training_step(batch, 0)
    network = module.segmenter.network
    logits = network.predict_inside(module.segmenter.normalizer(batch["image"], batch["center"], batch["scale"]))  # type: ignore[operator]
    assert logits.shape[2:] == (36, 36)
    middle = slice(46, 82)
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, 0], batch["mask"][:, middle, middle].float(), reduction="none"
    )
    torch.testing.assert_close(loss, (each * batch["weight"][:, middle, middle]).mean())


@pytest.mark.parametrize(("settings", "momentum"), [({}, 0.99), ({"momentum": 0.5}, 0.5)])
def test_sgd_has_the_momentum_of_the_paper_or_that_asked_for(
    settings: dict[str, Any], momentum: float, cells: Path, tmp_path: Path
) -> None:
    module, _ = trained(cells, tmp_path, epochs=1, optimizer="sgd", lr=1e-4, **settings)
    optimizer = module.trainer.optimizers[0]
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == momentum


@pytest.mark.parametrize("settings", [{"optimizer": "adam"}, {"momentum": 0.9}, {"optimizer": "sgd", "momentum": 1.0}])
def test_an_optimizer_that_is_not_possible_is_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SegmentationModule(**TINY, **settings)


def test_without_averaging_the_trained_network_is_scored_and_kept(cells: Path) -> None:
    module = set_up(cells, ema_decay=0)
    assert module.best_network() is module.segmenter.network


def test_the_network_is_compiled_where_that_is_asked_for(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda forward: compiled.append(forward) or forward)
    set_up(cells)
    assert not compiled
    set_up(cells, compile=True)
    assert len(compiled) == 1


def test_a_frozen_encoder_keeps_its_weights_and_batch_norm_statistics(cells: Path, tmp_path: Path) -> None:
    module, recorder = trained(cells, tmp_path, freeze_encoder=True)
    assert equal(encoder_of(recorder.states[-1]), encoder_of(recorder.start))
    assert not equal(recorder.states[-1], recorder.start)  # the decoder learns
    averaged = encoder_of(dict(module.best_network().state_dict()))
    for name, value in encoder_of(recorder.start).items():
        torch.testing.assert_close(averaged[name], value)
    module.train()
    module.segmenter.network(torch.rand(2, 1, 64, 64))
    assert equal(encoder_of(copy_of(module)), encoder_of(recorder.start))


def test_at_its_epoch_the_encoder_is_let_go_and_the_rate_lowered(cells: Path, tmp_path: Path) -> None:
    module, recorder = trained(
        cells, tmp_path, epochs=2, freeze_encoder=True, unfreeze_at_epoch=1, unfreeze_lr_factor=0.1, schedule="constant"
    )
    start, before, after = (encoder_of(s) for s in (recorder.start, recorder.states[1], recorder.states[2]))
    assert equal(before, start)
    assert not torch.equal(after["encoder.conv1.weight"], start["encoder.conv1.weight"])
    assert not torch.equal(after["encoder.bn1.running_mean"], start["encoder.bn1.running_mean"])
    assert recorder.rates == pytest.approx([0.003, 0.003, 0.0003, 0.0003])
    assert all(parameter.requires_grad for parameter in module.segmenter.network.parameters())


def test_weights_from_a_file_are_loaded_and_it_says_so(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    donor = build_network(SegmentationModule(**TINY, in_channels=3).spec)
    path = tmp_path / "encoder.safetensors"
    save_file({name: value.contiguous() for name, value in donor.encoder.state_dict().items()}, path)  # type: ignore[union-attr]
    module = set_up(cells, weights=str(path))
    own = module.segmenter.network.state_dict()
    source = donor.state_dict()
    assert torch.equal(own["encoder.layer1.0.conv1.weight"], source["encoder.layer1.0.conv1.weight"])
    adapted = source["encoder.conv1.weight"].sum(1, keepdim=True)  # RGB to grey
    torch.testing.assert_close(own["encoder.conv1.weight"], adapted)
    assert equal(dict(module.best_network().state_dict()), dict(own))
    out = capsys.readouterr().out
    assert "encoder.safetensors" in out
    assert "loaded" in out


def test_training_with_instances_lowers_the_loss(cells: Path) -> None:
    torch.manual_seed(0)
    module = set_up(cells, instances=True)
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    batch = next(iter(module.data.train_dataloader()))
    assert batch["distance_map"].shape == batch["mask"].shape
    optimizer = torch.optim.Adam(module.segmenter.network.parameters(), 0.003)
    losses = []
    for _ in range(8):
        loss = module.training_step(batch, 0)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_a_model_without_instances_gives_one_with_instances_all_but_the_head(cells: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    donor = set_up(cells).segmenter
    save_model(donor, tmp_path / "model.safetensors")
    own = copy_of(set_up(cells, instances=True, weights=str(tmp_path / "model.safetensors")))
    source = donor.network.state_dict()
    assert own.keys() == source.keys()
    assert {name for name in own if own[name].shape != source[name].shape} == {
        "segmentation_head.0.weight",
        "segmentation_head.0.bias",
    }
    assert all(torch.equal(own[name], source[name]) for name in own if "head" not in name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unfreeze_at_epoch": 3}, "freeze_encoder: true"),
        ({"ema_decay": 1.0}, "ema_decay: 1 is not possible"),
        ({"lr": 0}, "lr: 0 is not possible"),
        ({"instance_weight": 0}, "instance_weight: 0 is not possible"),
        ({"instances": True, "classes": 3}, "instances: true is not possible for 3 classes"),
        ({"weight_decay": -1}, "weight_decay is below 0"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"class_names": ["background"]}, "1 class_names do not fit 2 classes"),
        ({"encoder": "resnet43"}, "Did you mean 'resnet34'"),
        ({"depth": 6}, "Use a depth of 3, 4 or 5"),
        ({"decoder_channels": [8]}, "Give 5 numbers"),
        ({"classes": 1}, "Count the background too"),
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"in_channels": 0}, "Use 1 or more, or 'auto'"),
    ],
)
def test_settings_that_have_no_meaning_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SegmentationModule(**settings)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_the_rate_follows_the_schedule(cells: Path, schedule: Schedule) -> None:
    module = set_up(cells, schedule=schedule)
    module.trainer.estimated_stepping_batches = 20  # type: ignore[misc]
    module.trainer.num_training_batches = 10
    module.trainer.accumulate_grad_batches = 1
    module.trainer.gradient_clip_val = None
    configured = module.configure_optimizers()
    factor = configured["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert configured["lr_scheduler"]["interval"] == "step"
    assert factor(3) == pytest.approx(1.0 if schedule != "cosine" else 0.9455, abs=1e-4)
    assert factor(20) == pytest.approx(1.0 if schedule == "constant" else 0.0, abs=1e-9)
