"""PretrainModule: a U-Net that learns to restore damaged images, which takes no masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics import SumMetric

from unetkit.data.unmasked import ImageData
from unetkit.foundation.errors import ConfigError, closest
from unetkit.models.architectures import DECODER_CHANNELS, DEFAULT_ENCODER
from unetkit.models.spec import ModelSpec
from unetkit.scoring.restored import SquaredErrors, restored_share
from unetkit.training.pretraining.corruption import Corruption, corrupt
from unetkit.training.run.axes import first_pooling
from unetkit.training.run.base import NetworkModule
from unetkit.training.run.schedule import Schedule

RestorationLoss = Literal["smooth_l1", "l1", "mse"]
"""Names of the losses."""

SMOOTH_L1_BETA = 0.1
"""Difference, in units of the normalised image, up to which smooth_l1 is quadratic."""

LOSSES = {"smooth_l1": functional.smooth_l1_loss, "l1": functional.l1_loss, "mse": functional.mse_loss}


class PretrainModule(NetworkModule):
    """A U-Net that removes noise from images and fills in squares that were hidden.

    Args:
        encoder: Contracting path, as for `fit`. A model that starts from this one needs the same.
        weights: What the network starts from, as for `fit`: "imagenet", "micronet", hf:owner/name, a built-in model or
            a file.
        decoder_weights: Whether the decoder starts from these weights too, where they have one of its sizes.
        in_channels: Channels of the images, or "auto" to take as many as the images have.
        dims: Axes of what the network sees at once: 2 for planes, 3 for volumes.
        pooling: By how much each level of `depth` of a network of volumes reduces the resolution, as for `fit`; "auto"
            chooses it from the size of the voxels. A model that starts from this one has the same.
        depth: Number of times that the encoder halves the resolution, 3 to 5.
        decoder_channels: Channels of the expanding path from the deepest block up, one for each level of `depth`.
        corruption: How the images are damaged.
        loss: smooth_l1, l1 or mse, of the restored against the clean image, both normalised.
        hidden_weight: How many times a hidden pixel counts in the loss.
        residual: Whether the network predicts what has to be added to a damaged image, rather than the image itself.
            It then restores fine detail after a short training.
        lr: Highest learning rate.
        weight_decay: Weight decay.
        schedule: one_cycle, cosine or constant.
        ema_decay: How much of the averaged weights is kept at each step; the averaged ones are validated and saved.
            0 turns averaging off.
        checkpointing: Whether the network keeps less for the gradients and computes the rest again; "auto" does so
            where volumes would not fit into the memory.
    """

    def __init__(
        self,
        encoder: str = DEFAULT_ENCODER,
        weights: str | None = None,
        decoder_weights: bool = True,
        in_channels: int | Literal["auto"] = "auto",
        dims: Literal[2, 3] = 2,
        pooling: list[list[int]] | Literal["auto"] = "auto",
        depth: int = 5,
        decoder_channels: list[int] | None = None,
        corruption: Corruption = Corruption(),  # noqa: B008  # frozen
        loss: RestorationLoss = "smooth_l1",
        hidden_weight: float = 5.0,
        residual: bool = True,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Schedule = "one_cycle",
        ema_decay: float = 0.99,
        checkpointing: bool | Literal["auto"] = "auto",
    ) -> None:
        if hidden_weight <= 0:
            raise ConfigError(f"hidden_weight: {hidden_weight:g} is not possible.", "Use a number above 0.")
        if loss not in get_args(RestorationLoss):
            raise ConfigError(f"There is no loss '{loss}'.", closest(loss, get_args(RestorationLoss)))
        spec = ModelSpec(
            encoder=encoder,
            in_channels=1 if in_channels == "auto" else in_channels,
            dims=dims,
            pooling=first_pooling(dims, pooling, depth),
            depth=depth,
            decoder_channels=tuple(decoder_channels or DECODER_CHANNELS[-depth:]),
            task="reconstruction",
            residual=residual,
        )
        super().__init__(
            spec,
            weights,
            decoder_weights,
            in_channels,
            lr,
            weight_decay,
            schedule,
            ema_decay,
            pooling=pooling,
            checkpointing=checkpointing,
        )
        if not isinstance(corruption, Corruption):  # as a checkpoint holds it
            corruption = Corruption(**corruption)
        self.save_hyperparameters(ignore=["corruption"])
        self.save_hyperparameters({"corruption": asdict(corruption)})
        self.corruption = corruption
        self.loss = loss
        self.hidden_weight = hidden_weight
        self.error, self.variation = SumMetric(), SumMetric()

    @property
    def data(self) -> ImageData:
        """The data that the trainer has."""
        return self.trainer.datamodule  # type: ignore[attr-defined,no-any-return]

    def fit_data(self, channels: int) -> None:
        """Fit the data to the model."""
        self.data.prepare_for(channels, self.spec.strides)

    def volume_sizes(self) -> list[tuple[int, ...]]:
        """Return the sizes of the volumes of the data."""
        pool = self.data.pool
        return pool.sizes(range(len(pool.records)))

    def damage(self, batch: dict[str, Tensor], *key: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch's clean images, a damaged copy (N, C, ...), both normalised, and what is hidden (N, 1, ...).

        Args:
            batch: image (N, C, ...) raw, center and scale (N, C).
            key: Decides, with the seed of the data, how they are damaged; a resumed run thus goes on as before.
        """
        image = self.laid_out(batch["image"])
        clean: Tensor = self.segmenter.normalizer(image, batch["center"], batch["scale"])
        seed = int(np.random.SeedSequence((self.data.seed, *key)).generate_state(1)[0])
        damaged, hidden = corrupt(
            clean, self.corruption, torch.Generator(clean.device).manual_seed(seed), self.spec.pixel_size_um
        )
        return clean, damaged, hidden

    def restore(self, network: Callable[[Tensor], Tensor], damaged: Tensor) -> Tensor:
        """Return damaged images (N, C, ...), normalised, restored by a network."""
        predicted = network(damaged).float()
        return predicted + damaged if self.spec.residual else predicted

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss of a batch of crops, see `damage`."""
        clean, damaged, hidden = self.damage(batch, self.global_rank, self.current_epoch, batch_idx)
        loss = self._compare(self.restore(self.run_network, damaged), clean, hidden)
        self.log_loss(loss, len(clean))
        return loss

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> NDArray[np.float32]:
        """Return crops (N, C, ...), normalised, that were damaged as for validation and restored."""
        restored: NDArray[np.float32] = self.best_network()(self.damage(batch, 0, batch_idx)[1]).float().cpu().numpy()
        return restored

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Restore crops, as in validation."""
        self.validation_step(batch, batch_idx, "test")

    def on_test_epoch_end(self) -> None:
        """Log test_r2."""
        self.on_validation_epoch_end("test")

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, stage: str = "val") -> None:
        """Restore crops that are damaged in the same way each time."""
        clean, damaged, hidden = self.damage(batch, self.global_rank, batch_idx)
        restored = self.restore(self.best_network(), damaged)
        self.log(f"{stage}_loss", self._compare(restored, clean, hidden), batch_size=len(clean), sync_dist=True)
        counted = hidden if self.corruption.hidden else torch.ones_like(hidden)
        self.error.update(((restored - clean) ** 2 * counted).sum())
        self.variation.update(((clean - clean.mean(tuple(range(2, clean.dim())), keepdim=True)) ** 2 * counted).sum())

    def on_validation_epoch_end(self, stage: str = "val") -> None:
        """Log the share of the variance of the hidden pixels that is restored (val_r2), at most 1.

        Where no pixels are hidden it is the share of all pixels.
        """
        squares = SquaredErrors(self.error.compute(), self.variation.compute())
        self.log(f"{stage}_r2", restored_share(squares), prog_bar=True)
        self.error.reset()
        self.variation.reset()

    def _compare(self, restored: Tensor, clean: Tensor, hidden: Tensor) -> Tensor:
        """Return the mean loss over all pixels, in which hidden ones count `hidden_weight` times."""
        more: dict[str, Any] = {"beta": SMOOTH_L1_BETA} if self.loss == "smooth_l1" else {}
        each: Tensor = LOSSES[self.loss](restored, clean, reduction="none", **more)
        weight = 1 + (self.hidden_weight - 1) * hidden.float()
        return (each * weight).sum() / (weight.sum() * clean.shape[1])
