"""The device to run on, and its memory."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

import torch

from unetkit.foundation.errors import ConfigError

CPU_BUDGET = 2 * 10**9
"""Default bound of the memory of a process on a CPU, in bytes: any laptop has as much to spare."""

CACHE_SHARE = 1 / 32
"""Share of the bound for the cache of decoded parts of the image, which the next windows use."""

USUAL_CACHE = 64 * 2**20
"""Bytes of this cache without a bound: the rows of a tile of 1024 in a grey image 40,000 pixels wide."""

GPU_CACHE = 2**30
"""Bytes of this cache beside a GPU, where decoding takes most of the time: for an RGB slide 120,000 pixels wide."""

M_MMAP_THRESHOLD = -3
"""glibc's parameter for the size from which on blocks are given back."""

M_ARENA_MAX = -8
"""glibc's parameter for the number of heaps of a process's threads."""

RETURNED_BYTES = 2**17
"""Size in bytes from which on blocks are given back, also decoded tiles of a file. It is glibc's first value."""

M_TRIM_THRESHOLD = -1
"""glibc's parameter for the free memory at the end of a heap from which on it is given back."""

LEARNED_BYTES = 2**25
"""Largest size in bytes of blocks that glibc, left alone, learns to keep: its DEFAULT_MMAP_THRESHOLD_MAX."""

TRIM_VARIABLE = "MALLOC_TRIM_THRESHOLD_"
"""What ends glibc's learning if it is set in the environment."""

GPU_SHARE = 0.8
"""Share of the free memory of a GPU that is used by default."""

FRESH_RESIDENT = 10**9
"""Largest memory, in bytes, of a process before it predicts, with nothing but unetkit and a model."""

UNKNOWN_RESIDENT = 800 * 10**6
"""Assumed memory, in bytes, of a process before it predicts, where the system does not report it."""


def choose_device(device: str) -> torch.device:
    """Return the device to run on: for "auto" CUDA if there is one, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: The device does not exist here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.ones(1, device=chosen).cpu()  # a device may be known and yet not hold pixels ("meta")
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(
            f"The device '{device}' cannot be used here ({str(error).splitlines()[0]}).",
            "Use 'auto', 'cpu', or one that `unetkit info` lists.",
        ) from error
    return chosen


def describe_device(device: torch.device) -> str:
    """Return the name of a device, for people and as a key of what was measured on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{platform.machine()} MPS"
    return f"{torch.cpu.get_capabilities().get('cpu_name') or platform.processor()}, {os.cpu_count()} cores"


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def free_memory(device: torch.device, budget: int | None) -> int:
    """Return the bytes that predicting may take: the rest of a budget.

    Args:
        device: Where the network runs.
        budget: Bytes, of the process on a CPU or of the device on a GPU; None for the default.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        return int(min(free * GPU_SHARE, budget or free))
    if budget is None:  # what else a notebook holds is no reason for tiny tiles
        return CPU_BUDGET - min(resident_memory(), FRESH_RESIDENT)
    return budget - resident_memory()


def cache_bytes(budget: int | None, device: torch.device) -> int:
    """Return the bytes for decoded parts of an image; less than a row of windows only costs decoding their halos again.

    Args:
        budget: Bytes that everything may take, on a GPU of its memory; None for the default.
        device: Where the network computes.
    """
    if device.type == "cuda":
        return GPU_CACHE
    return USUAL_CACHE if budget is None else int(budget * CACHE_SHARE)


def keep_memory_small(*, bounded: bool) -> None:
    """Have the C library keep little of the memory that is free; for GNU's, others do so anyway.

    All threads share one heap, so that memory that one of them frees serves the others. If memory is bounded, large
    blocks also go back to the system as soon as they are free. That costs PyTorch on a CPU a third of its time, since
    all features are then in new memory. By itself the library learns what is large for a process. Dask's nannies turn
    that off (by MALLOC_TRIM_THRESHOLD_), so in their workers it is told what it would have learned.

    Args:
        bounded: Whether a bound has to be held.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        if bounded:
            mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES)
        elif TRIM_VARIABLE in os.environ:
            mallopt(M_MMAP_THRESHOLD, LEARNED_BYTES)
            mallopt(M_TRIM_THRESHOLD, 2 * LEARNED_BYTES)


def resident_memory() -> int:
    """Return the bytes of memory that this process uses."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    resident = next((line for line in lines if line.startswith("VmRSS")), None)  # some containers do not give it
    return UNKNOWN_RESIDENT if resident is None else int(resident.split()[1]) * 1024
