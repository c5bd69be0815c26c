"""Training ends at the first NaN or infinite loss or weight, before such a network is scored or kept."""

from __future__ import annotations

from collections import deque
from math import isfinite
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from unetkit.foundation.errors import ModelError
from unetkit.training.run.base import NetworkModule

SKIPPED_STEPS = 50
"""Most steps in a row without a finite loss in float16 training, which skips some while it seeks its scale."""


class DivergenceError(ModelError):
    """Training has diverged: a loss or a weight is NaN or infinite."""


class StopWhenBroken(Callback):
    """Raises a DivergenceError once the loss or the weights are NaN or infinite.

    A single loss is enough: its step has spoilt the weights. Where gradients are scaled (float16), steps without a
    finite gradient are skipped while the scale is sought; there it takes many in a row.

    The loss of a step on a GPU is looked at after the next one, so that the GPU is not waited for.
    """

    def __init__(self) -> None:
        self._losses: deque[tuple[int, int, Tensor]] = deque()
        self._skipped = 0

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the weights that training starts from."""
        if isinstance(pl_module, NetworkModule) and not is_finite(pl_module.best_network()):
            raise ModelError(
                f"The weights that training starts from ({pl_module.weights}) hold NaN or infinite values.",
                "Give others (model.weights), or leave them out.",
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss."""
        if trainer.is_global_zero:  # after a step together the others have the same weights
            loss = outputs["loss"].detach()
            self._losses.append((trainer.current_epoch, trainer.global_step, loss))
            self._look(trainer, pl_module, late=int(loss.device.type != "cpu"))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the weights before they are scored."""
        self._look_at_weights(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the weights before they are kept."""
        self._look_at_weights(trainer, pl_module)

    def _look(self, trainer: Trainer, module: LightningModule, late: int) -> None:
        """Check all losses but the last `late`."""
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        while len(self._losses) > late:
            epoch, step, loss = self._losses.popleft()
            value = float(loss)
            self._skipped = 0 if isfinite(value) else self._skipped + 1
            if self._skipped > (SKIPPED_STEPS if scaled else 0):
                self._losses.clear()
                raise diverged(f"the loss was {value:g} at step {step}, in epoch {epoch + 1}", trainer, module)

    def _look_at_weights(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero or not isinstance(module, NetworkModule):
            return
        self._look(trainer, module, late=0)
        if not is_finite(module.segmenter.network) or not is_finite(module.best_network()):
            where = f"after step {trainer.global_step}, in epoch {trainer.current_epoch + 1}"
            raise diverged(f"weights of the network were no numbers {where}", trainer, module)


def diverged(how: str, trainer: Trainer, module: LightningModule) -> DivergenceError:
    """Return the error for a training that has diverged."""
    rate = f" (it is {module.lr:g})" if isinstance(module, NetworkModule) else ""
    precision = (
        ""
        if str(trainer.precision).startswith("32")
        else f", or set trainer.precision: 32-true (it is {trainer.precision})"
    )
    return DivergenceError(
        f"Training has diverged: {how}.",
        f"Lower model.lr{rate}{precision}; if that does not help, look for images with extreme values.",
    )


def is_finite(network: nn.Module) -> bool:
    """Whether all real numbers of a network are finite."""
    tensors = [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
    return bool(torch.stack([t.detach().isfinite().all() for t in tensors]).all())
