"""The processes that prepare crops."""

from __future__ import annotations

import os
import signal
import sys

import cv2
import torch


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Processes that keep the device busy: augmenting a crop takes milliseconds, a step on a CPU most of a second."""
    cores = usable_cores()
    if not torch.cuda.is_available():
        return 1 if cores <= 4 else 2
    # Outside Linux each worker gets a copy of the cached images of its own.
    return min(cores, 8 if sys.platform == "linux" else 2)


def start_worker(worker: int) -> None:  # noqa: ARG001  # the loader passes it
    """Leave the cores to the other workers, which share them already, and the signals to the process that trains.

    A batch system sends SIGTERM to all processes. A worker that ended on it would be reported as a fault.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
