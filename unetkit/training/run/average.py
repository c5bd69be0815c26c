"""The moving average of a network's weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def move_average(average: nn.Module, current: nn.Module, decay: float) -> None:
    """Move the weights and batch norm statistics of `average` towards those of `current`, in place.

    Nothing is read back from the device, so a GPU is not waited for (torch's `AveragedModel` counts its updates there).

    Args:
        average: Holds `decay * average + (1 - decay) * current` afterwards.
        current: A network of the same structure.
        decay: Share that is kept, 0 to 1.
    """
    get_ema_multi_avg_fn(decay)(_floating(average), _floating(current), 0)  # type: ignore[no-untyped-call]


def _floating(network: nn.Module) -> list[Tensor]:
    tensors = (*network.parameters(), *network.buffers())
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
