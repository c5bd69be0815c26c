"""Clusters on this machine: a scheduler in this process, and a process for each worker."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from unetkit.foundation.errors import ClusterError

if TYPE_CHECKING:
    from distributed import SpecCluster

HOST = "127.0.0.1"
"""Scheduler, workers and dashboard are only reached from this machine."""

DASHBOARD_PORT = 8787
"""Port of the dashboard; another where this is taken."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What tells PyTorch and the libraries below it how many threads to use. Dask sets each to 1."""


@contextmanager
def processes_here(number: int) -> Iterator[SpecCluster]:
    """Start worker processes on this machine, which share its cores."""
    with _cluster([{} for _ in range(number)]) as cluster:
        yield cluster


@contextmanager
def gpus_here(devices: Sequence[str] | None = None) -> Iterator[SpecCluster]:
    """Start a worker process for each GPU of this machine, which sees this one only.

    Args:
        devices: What CUDA calls them; all that this process may use if None.

    Raises:
        ClusterError: There is none.
    """
    devices = _devices() if devices is None else devices
    if not devices:
        raise ClusterError("PyTorch sees no GPU on this machine.", "Give local:4, for 4 worker processes on its cores.")
    with _cluster([{"CUDA_VISIBLE_DEVICES": device} for device in devices]) as cluster:
        yield cluster


def threads_of_each(number: int) -> int:
    """Return how many threads each of so many workers gets: they share the cores that this process may use."""
    from dask.system import CPU_COUNT

    return int(max(1, CPU_COUNT // number))


@contextmanager
def _cluster(environments: list[dict[str, str]]) -> Iterator[SpecCluster]:
    """Start a worker process for each environment."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.system import MEMORY_LIMIT

    threads = threads_of_each(len(environments))
    quiet = {"silence_logs": logging.CRITICAL}  # logs are kept, and shown when something fails
    shared = {"host": HOST, "nthreads": threads, "memory_limit": MEMORY_LIMIT // len(environments), **quiet}
    shared["preload"] = ["unetkit.cluster.undisturbed"]
    workers = {
        index: {"cls": Nanny, "options": {**shared, "env": environment}}
        for index, environment in enumerate(environments)
    }
    options = {"host": HOST, "port": 0, "dashboard": True, "dashboard_address": f"{HOST}:{DASHBOARD_PORT}"}
    # Dask sets these variables to 1 before it starts a worker, as its workers run one task in each of their threads.
    # Ours run one network at a time, on all of their threads. A number that the user has set stays.
    variables: dict[str, int | bool] = {
        f"distributed.nanny.pre-spawn-environ.{name}": threads for name in THREAD_VARIABLES
    }
    # Dask would pause a worker whose memory is nearly full until it has given back results. Ours holds none, so that
    # would last for ever. The nanny still ends one that is beyond its limit.
    variables |= {f"distributed.worker.memory.{step}": False for step in ("target", "spill", "pause")}
    with ExitStack() as stack:
        stack.enter_context(_same_environment())
        stack.enter_context(dask.config.set(variables))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*Port .* is already in use")
            cluster = SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": options}, **quiet)
        stack.enter_context(cluster)
        yield cluster


@contextmanager
def _same_environment() -> Iterator[None]:
    """Undo what Dask changes in the environment of this process, when it starts others."""
    theirs = ("MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED", "__DASK_PARENT_PID")
    before = {name: os.environ.get(name) for name in (*THREAD_VARIABLES, *theirs)}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _devices() -> list[str]:
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]
