"""What a worker does with a task. Importing this is light: what a task needs is imported with its call."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from unetkit.cluster.kept import in_task
from unetkit.cluster.tasks import Task
from unetkit.foundation.errors import UnetkitError


@dataclass(frozen=True)
class Outcome:
    """What became of a task on a worker.

    Attributes:
        value: What the call returned.
        error: The error of bad input that it raised.
        worker: Address of the worker.
        seconds: Time that the call took.
    """

    value: Any
    error: UnetkitError | None
    worker: str
    seconds: float


def packed(task: Task) -> bytes:
    """Return what `perform` needs of a task. Dask neither looks into bytes nor packs them a second time."""
    return pickle.dumps((task.call, task.arguments), pickle.HIGHEST_PROTOCOL)


def perform(pack: bytes) -> Outcome:
    """Do a task, on a worker.

    An error of bad input comes back as a value, whole; any other error is a fault of ours, and Dask reports it.
    """
    begin = perf_counter()
    value, error = None, None
    call, arguments = pickle.loads(pack)
    with in_task():
        try:
            value = call(*arguments)
        except UnetkitError as bad_input:
            error = bad_input
    return Outcome(value, error, _address(), perf_counter() - begin)


def _address() -> str:
    """Return the address of the worker that runs this."""
    from distributed import get_worker

    return str(get_worker().address)
