"""Training in several processes at once, one for each device: what Lightning leaves to us."""

from __future__ import annotations

from subprocess import Popen

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from unetkit.data.workers import usable_cores
from unetkit.errors import ConfigError


def check_processes(trainer: Trainer) -> None:
    """Raise a ConfigError for processes that are too many, or that do not each run the whole command.

    Lightning starts as many processes on a CPU as it is told to.
    """
    cores = usable_cores()
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > cores:
        raise ConfigError(
            f"trainer.devices: {trainer.num_devices} processes are too many for {cores} processor "
            f"core{'s' * (cores > 1)}.",
            f"Use {cores} or fewer; 1 uses all cores too.",
        )
    strategy = trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy) and not (
        isinstance(strategy, DDPStrategy) and strategy._start_method == "popen"
    ):
        raise ConfigError(
            f"trainer.strategy: {type(strategy).__name__} cannot be used so.",
            "Use ddp, which starts the command once for each device.",
        )


def leave_out_unused(network: nn.Module, example: Tensor) -> None:
    """Ask for no gradient of weights that the output does not depend on: processes would wait for them.

    An encoder whose depth is below 5 keeps the stages that it does not use.

    Args:
        network: The network.
        example: What it takes, (1, C, h, w).
    """
    asked = [parameter for parameter in network.parameters() if parameter.requires_grad]
    training = network.training
    output = network.eval()(example)
    for parameter, gradient in zip(asked, torch.autograd.grad(output.sum(), asked, allow_unused=True), strict=True):
        parameter.requires_grad_(gradient is not None)
    network.train(training)


def end_children(trainer: Trainer) -> None:
    """After a stop or a fault in the process that started the others, end those: they would wait for it.

    Lightning's observer ends this process when it finds one of them ended, so it is made to forget them first.
    """
    children: list[Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
    ended, children[:] = children[:], []
    for child in ended:
        child.kill()
        child.wait()
