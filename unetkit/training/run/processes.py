"""What Lightning leaves to its users where several processes train, one for each device."""

from __future__ import annotations

from subprocess import Popen

from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from unetkit.data.workers import usable_cores
from unetkit.foundation.errors import ConfigError


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


def end_children(trainer: Trainer) -> None:
    """End the processes that this one has started, after a stop or a fault: they would wait for it.

    Lightning's observer ends this process when one of them has ended, so they are removed from its list first.
    """
    children: list[Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
    ended, children[:] = children[:], []
    for child in ended:
        child.kill()
        child.wait()
