"""NetworkModule: what all training has in common: the network, its averaged weights, the optimizer and its schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from math import ceil, prod
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from unetkit.backends.base import for_axes
from unetkit.data.base import TrainingData
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError, ModelError, closest
from unetkit.inference.tiling.halo import plan_comparison
from unetkit.models.checkpointing import checkpointed
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec, TrainingImages
from unetkit.models.weight_sources import Origin, check_start, find_source, trained_on
from unetkit.models.weights import LoadReport, load_weights
from unetkit.planning.machine import find_machine
from unetkit.planning.memory import measure_step, room_of
from unetkit.scoring.table import comparable
from unetkit.training.run.average import move_average
from unetkit.training.run.axes import choose_pooling
from unetkit.training.run.freezing import Freezing, set_encoder_trainable
from unetkit.training.run.optimizer import build_adamw, clips_gradients
from unetkit.training.run.schedule import Schedule, rate_factor

SPEC_KEY = "unetkit"
"""Key of the spec's JSON in a checkpoint."""
START_KEY = "unetkit_start"
"""Key in a checkpoint of facts about the model that a run started from."""
ORIGIN_KEY = "origin"
"""Key among these facts of where the first weights come from."""


class NetworkModule(LightningModule):
    """A network in training; the subclass decides what it learns.

    The network is built when its data are known, or by `load_from_checkpoint`. Lightning's Trainer can
    fit, validate, test and predict with it.

    Args:
        spec: The model; from `setup` on its channels, normalisation and the like are those of the data.
        weights: What the network starts from, see `load_weights`; random weights by default.
        decoder_weights: Whether the decoder starts from there too.
        in_channels: Channels of the images, or "auto" to take as many as the training images have.
        lr: Highest learning rate.
        weight_decay: Weight decay.
        schedule: How the learning rate changes over the run.
        ema_decay: How much of the averaged weights is kept at each step; 0 turns averaging off.
        compile: Compile the network for training.
        freezing: Whether the encoder stays as it was loaded.
        pooling: That of a network of volumes; "auto" to choose it when the data are known.
        checkpointing: Whether blocks compute again what gradients need; "auto" to do so where volumes need the memory.

    Attributes:
        segmenter: The model in training; built in `setup`, when the data are known.
        averaged: The average of the weights over the steps, None if `ema_decay` is 0.
        progress: Returns the share of the training time that is over, where the run has a given time.
        resuming: Whether the weights come from a checkpoint, so that those to start from are not read again.
        warns_of_known: Whether to warn of validation images that the start was trained on; False after a plan.
        starts_trained: Whether all of the network's outputs come from a model; it is then scored before training.
        checkpoints: Whether blocks compute again what gradients need.
        start_spec: Spec for scoring before training, with the normalisation of the model that the run starts from.
        origin: Where the first weights come from; None for random ones.
    """

    segmenter: Segmenter
    averaged: nn.Module | None
    progress: Callable[[], float] | None = None
    resuming: bool = False
    warns_of_known: bool = True
    starts_trained: bool = False
    checkpoints: bool = False
    start_spec: ModelSpec | None = None
    origin: Origin | None = None

    def __init__(
        self,
        spec: ModelSpec,
        weights: str | None,
        decoder_weights: bool,
        in_channels: int | Literal["auto"],
        lr: float,
        weight_decay: float,
        schedule: Schedule,
        ema_decay: float,
        compile: bool = False,
        freezing: Freezing = Freezing(),  # noqa: B008  # frozen
        pooling: Sequence[Sequence[int]] | Literal["auto"] = "auto",
        checkpointing: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        if not 0 <= ema_decay < 1:
            raise ConfigError(f"ema_decay: {ema_decay:g} is not possible.", "Use 0 (off) or a number below 1.")
        if lr <= 0:
            raise ConfigError(f"lr: {lr:g} is not possible.", "Use a number above 0.")
        if weight_decay < 0:
            raise ConfigError("weight_decay is below 0.", "Use 0 or more.")
        if schedule not in get_args(Schedule):
            raise ConfigError(f"There is no schedule '{schedule}'.", closest(schedule, get_args(Schedule)))
        if compile and checkpointing is True:
            raise ConfigError("checkpointing has no meaning for a compiled network.", "Leave out one of the two.")
        check_start(weights, spec.arch, spec.encoder)
        self.spec = spec
        self.weights = weights
        self.decoder_weights = decoder_weights
        self.in_channels = in_channels
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.ema_decay = ema_decay
        self.compiled = compile
        self.freezing = freezing
        self.pooling = pooling
        self.checkpointing = checkpointing

    def setup(self, stage: str) -> None:
        """Build the network for the data that the trainer has.

        Raises:
            ConfigError: The data are not of unetkit, so the network that they need is unknown; or the encoder is to be
                unfrozen while several processes train.
        """
        if self.freezing.unfreeze_at_epoch is not None and self.trainer.world_size > 1:
            raise ConfigError(
                "unfreeze_at_epoch cannot be used with several devices.",
                "Leave it out, or train on one device (--trainer.devices 1).",
            )
        built = hasattr(self, "segmenter")
        if not isinstance(getattr(self.trainer, "datamodule", None), TrainingData):
            if not built or stage == "fit":
                raise ConfigError(
                    f"{type(self).__name__} cannot tell which network the data need.",
                    "Give the Trainer data of unetkit (datamodule=SegmentationData(...), for example).",
                )
            return
        data = self.data
        channels = self.spec.in_channels if built else data.channels if self.in_channels == "auto" else self.in_channels
        if self.spec.dims == 3 and self.pooling == "auto" and not built:
            voxel, sizes = data.pixel_size_um, self.volume_sizes()
            self.spec = replace(self.spec, pooling=choose_pooling(self.spec, self.weights, voxel, data.crop, sizes))
        self.fit_data(channels)
        log_notes(self.trainer, data)
        if built and stage != "fit":
            return  # a network that is there is scored, or used, as it is
        self.spec = replace(
            self.spec,
            in_channels=channels,
            normalization=data.normalization,
            channel_names=data.channel_names,
            pixel_size_um=data.pixel_size_um,
            training_images=self._describe_images(),
        )
        if built:
            self.starts_trained = True
            self.segmenter = Segmenter(self.spec, self.segmenter.network)
            return
        self.checkpoints = self._needs_checkpoints()
        self._build()
        if self.weights is not None and not self.resuming:
            report = load_weights(self.segmenter.network, self.weights, self.spec, decoder=self.decoder_weights)
            self.take_start(report)
            if self.trainer.is_global_zero:
                log(f"{self.weights}: {report}.")
                self._compare_normalization(self.weights)
            self._average()
        elif self.freezing.freeze_encoder and not self.resuming and self.trainer.is_global_zero:
            log("Warning: the encoder is frozen with random weights. Give it trained ones (model.weights).")
        self.prepare_network()

    def _build(self) -> None:
        """Make the network that the spec describes, and its average."""
        self.segmenter = Segmenter(self.spec).to(memory_format=for_axes(torch.channels_last, self.spec.dims))
        network = self.segmenter.network
        self._average()
        predict = getattr(network, "predict_inside", network.__call__)  # without padding, where the network can
        self._forward = torch.compile(predict) if self.compiled else predict

    def run_network(self, normalized: Tensor) -> Tensor:
        """Return what the network in training makes of normalised pixels (N, C, ...)."""
        with self.sound_precision(), checkpointed(self.segmenter.network) if self.checkpoints else nullcontext():
            output: Tensor = self._forward(normalized)
        return output

    def sound_precision(self) -> AbstractContextManager[Any]:
        """Have volumes computed in float32 on a processor, whatever the trainer's precision.

        PyTorch's gradients of 3D convolutions in bfloat16 are wrong there for some sizes (seen in 2.15), and no faster.
        """
        wrong = self.spec.dims == 3 and self.device.type == "cpu"
        return torch.autocast("cpu", enabled=False) if wrong else nullcontext()

    def _needs_checkpoints(self) -> bool:
        """Return whether blocks are to compute again what gradients need: as given, or where memory is too small."""
        if self.checkpointing != "auto" or self.spec.dims == 2 or self.compiled:
            return self.checkpointing is True
        machine = find_machine("cpu" if self.trainer.strategy.root_device.type == "cpu" else "auto")
        return measure_step(self.spec, self.data.crop_size).of(self.data.batch_size) > room_of(machine)

    def _average(self) -> None:
        """Begin the average with the weights as they are."""
        self.averaged = deepcopy(self.segmenter.network).requires_grad_(False) if self.ema_decay else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what the network is, and which images the start was trained on: its file may be gone later."""
        seen = self.spec.training_images
        checkpoint[SPEC_KEY] = self.spec.to_json()
        checkpoint[START_KEY] = {"digests": [] if seen is None else list(seen.digests)}
        if self.origin is not None:
            checkpoint[START_KEY][ORIGIN_KEY] = self.origin.noted()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the network from the checkpoint where there are no data; note which images the start was trained on.

        Raises:
            ModelError: The checkpoint is of another network, or does not describe its network.
        """
        if not hasattr(self, "segmenter"):
            if SPEC_KEY not in checkpoint:
                raise ModelError("The checkpoint does not say what network it is of.", "Load the model.safetensors.")
            self.spec = ModelSpec.from_json(checkpoint[SPEC_KEY], "the checkpoint")
            self._build()
            self.prepare_network()
        own = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
        if own != given:
            differ = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
            raise ModelError(
                f"The checkpoint is of another network: {len(differ)} of its weights differ, such as {differ[0]}.",
                "Use the settings of the network that it is of; to start from its weights, give it as model.weights.",
            )
        start = checkpoint.get(START_KEY, {})
        self.origin = Origin(**start[ORIGIN_KEY]) if ORIGIN_KEY in start else None
        if (images := self.spec.training_images) is not None:
            known = start.get("digests", [])
            digests = tuple(dict.fromkeys((*images.digests, *known)))
            self.spec = replace(self.spec, training_images=replace(images, digests=digests))

    def take_start(self, report: LoadReport) -> None:
        """Note where the first weights come from, and whether they have all outputs already."""
        self.starts_trained = report.predicts
        self.origin = report.origin

    @property
    def scored_spec(self) -> ModelSpec:
        """Spec of the model that is validated now: before training it may differ."""
        return self.start_spec if self.start_spec is not None and self.trainer.sanity_checking else self.spec

    def rank(self, scores: dict[str, float]) -> list[float]:
        """Return what decides which epoch is the best: the scores in their order, of which the first decides.

        Args:
            scores: Validation scores by name, in the order of their weight.
        """
        return comparable(scores)

    def _compare_normalization(self, weights: str) -> None:
        """Warn if the weights were trained on images that were normalised otherwise."""
        source = find_source(weights)
        if source is None:
            return
        for name in ("method", "bright_background"):
            theirs, ours = (getattr(spec.normalization, name) for spec in (source, self.spec))
            if theirs != ours:
                log(
                    f"Warning: {weights} was trained with data.normalization.{name}: {theirs}, not {ours}: set it for "
                    "a better start."
                )

    def _describe_images(self) -> TrainingImages:
        """Describe the training images; warn if the first weights were trained on validation images."""
        images, val = self.data.describe_images(), self.data.val_digests()
        seen = () if self.weights is None else trained_on(self.weights)
        if (known := len(val.intersection(seen))) and self.warns_of_known and self.trainer.is_global_zero:
            log(
                f"Warning: {known} of the {len(val)} images to validate on were trained on by {self.weights}, which "
                "this run starts from: its scores are too good. Validate on others (data.val), or start from other "
                "weights (model.weights)."
            )
        return replace(images, digests=tuple(dict.fromkeys((*images.digests, *seen))))

    def fit_data(self, channels: int) -> None:
        """Fit the data to the model."""
        raise NotImplementedError

    def volume_sizes(self) -> list[tuple[int, ...]]:
        """Return the sizes of the volumes of the data."""
        raise NotImplementedError

    def prepare_network(self) -> None:
        """Freeze the encoder if it is to be frozen."""
        if self.freezing.freeze_encoder:
            set_encoder_trainable(self.segmenter.network, False)

    @property
    def data(self) -> TrainingData:
        """The data that the trainer has."""
        return self.trainer.datamodule  # type: ignore[attr-defined,no-any-return]

    def predict_window(self) -> int:
        """Predict a window in full precision, as the halo is measured, so that it can be timed; return its pixels."""
        if self.spec.task == "classification":
            return 0
        network = self.best_network()
        mode = network.training
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            window = plan_comparison(self.spec.strides).window
            pixels = torch.zeros(1, self.spec.network_inputs, *window, device=self.device)
            network.eval()(self.laid_out(pixels)).sum().item()  # waits for the device
        network.train(mode)
        return prod(window)

    def halo_pixels(self, positions: int | None = None) -> int:
        """Return how many pixels are predicted to measure the halo with so many windows, see `plan_comparison`."""
        return plan_comparison(self.spec.strides, positions).pixels

    def laid_out(self, pixels: Tensor) -> Tensor:
        """Return pixels (N, C, ...) in the layout in memory that the network is fastest with."""
        return pixels.contiguous(memory_format=for_axes(torch.channels_last, self.spec.dims))

    def finish_seconds(self, validation: float, pixel: float, positions: int) -> float:
        """Return the seconds for what follows training: the halo, the picture and the scores of objects.

        Args:
            validation: Seconds for validating.
            pixel: Seconds for predicting a pixel.
            positions: How many windows the halo is measured with, see `plan_comparison`.
        """
        if self.spec.task == "classification":
            return 0.0
        return self.halo_pixels(positions) * pixel + validation * (2 if self.spec.instances else 1)

    def best_network(self) -> nn.Module:
        """Return the network to score and to keep: the averaged one, or the one in training where none is averaged."""
        return self.segmenter.network if self.averaged is None else self.averaged

    def log_loss(self, loss: Tensor, count: int) -> None:
        """Log the loss of a batch of `count` crops."""
        self.log("train_loss_step", loss, prog_bar=True, batch_size=count)
        self.log("train_loss_epoch", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=count)

    def on_train_start(self) -> None:
        """Go on averaging where a checkpoint left off."""
        self._averaged_steps = self.trainer.global_step

    def on_train_epoch_start(self) -> None:
        """Let go of a frozen encoder when its epoch has come."""
        first = self.freezing.unfreeze_at_epoch
        if first is not None and self.current_epoch >= first:
            set_encoder_trainable(self.segmenter.network, True)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Move the average after each step of the optimizer; the share that is kept grows from 0 to `ema_decay`."""
        if self.averaged is not None and self.trainer.global_step > self._averaged_steps:
            steps = self._averaged_steps
            decay = min(self.ema_decay, (1 + steps) / (10 + steps)) if steps else 0.0
            move_average(self.averaged, self.segmenter.network, decay)
            self._averaged_steps = self.trainer.global_step

    def rate_factor(self, step: int, share: float) -> float:
        """Return the factor on the learning rate at a step, when a share of the run is over.

        It is lower once a frozen encoder is unfrozen.
        """
        factor = rate_factor(self.schedule, share)
        first = self.freezing.unfreeze_at_epoch
        if first is None:
            return factor
        epoch_steps = ceil(float(self.trainer.num_training_batches) / self.trainer.accumulate_grad_batches)
        return factor * (self.freezing.unfreeze_lr_factor if step >= epoch_steps * first else 1.0)

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of the network."""
        return build_adamw(self.segmenter.network, self.lr, self.weight_decay, clipped=clips_gradients(self.trainer))

    def configure_optimizers(self) -> Any:
        """Return the optimizer with the schedule, both stepped with every batch."""
        optimizer = self.build_optimizer()
        steps = max(1.0, float(self.trainer.estimated_stepping_batches))  # infinite where only time ends the run

        def factor(step: int) -> float:
            return self.rate_factor(step, max(step / steps, self.progress() if self.progress else 0.0))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def log_notes(trainer: Trainer, data: TrainingData) -> None:
    """Log notes on the data, in the first process."""
    for note in data.take_notes():
        if trainer.is_global_zero:
            log(note)
