"""The machine to train on: processor cores or a GPU, its memory, and its arithmetic."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from unetkit.data.workers import usable_cores
from unetkit.inference.tuning.device import choose_device, describe_device, has_bfloat16

USUAL_MEMORY = 8 * 2**30
"""Bytes of memory that are assumed where the system does not report them."""


@dataclass(frozen=True)
class Machine:
    """A machine to train on.

    Attributes:
        device: "cpu", "cuda" or "mps".
        name: Name of the processor or the GPU.
        cores: Processor cores that this process may use.
        bfloat16: Whether the device computes in bfloat16 by itself.
        memory: Free bytes of main memory.
        device_memory: Free bytes for training: of the GPU, or of main memory.
        busy: Whether other work takes all cores at the moment, so that timing is unreliable.
    """

    device: str
    name: str
    cores: int
    bfloat16: bool
    memory: int
    device_memory: int
    busy: bool = False

    @property
    def gpu(self) -> bool:
        """Whether it trains on a GPU."""
        return self.device != "cpu"

    def trains_in_bfloat16(self, dims: int) -> bool:
        """Whether planes (2) or volumes (3) are trained on in bfloat16: volumes only on a GPU."""
        return self.bfloat16 and (self.gpu or dims == 2)


def find_machine(accelerator: str = "auto") -> Machine:
    """Return the machine that this process runs on.

    Args:
        accelerator: Lightning's; "cpu" leaves a GPU aside.
    """
    device = choose_device("cpu" if accelerator == "cpu" else "auto")
    cores = usable_cores()
    memory = _free_memory()
    on_cuda = device.type == "cuda"
    return Machine(
        device=device.type,
        name=describe_device(device),
        cores=cores,
        bfloat16=torch.cuda.is_bf16_supported() if on_cuda else device.type == "cpu" and has_bfloat16(),
        memory=memory,
        device_memory=torch.cuda.mem_get_info(device)[0] if on_cuda else memory,
        busy=hasattr(os, "getloadavg") and os.getloadavg()[0] > 1.5 * cores,
    )


def _free_memory() -> int:
    """Return the bytes of main memory that are free or can be freed."""
    status = Path("/proc/meminfo")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    free = next((line for line in lines if line.startswith("MemAvailable")), None)
    if free is not None:
        return int(free.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # not on Windows
        return USUAL_MEMORY
