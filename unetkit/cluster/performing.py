"""What a worker does with a task. Importing this is light: what a task needs is imported with its call."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import time
from typing import Any

from unetkit.cluster.kept import drop_all, in_task
from unetkit.cluster.tasks import Task
from unetkit.foundation.errors import UnetkitError

LOG_LINES = 20
"""Last lines of a worker's log that are shown with a fault."""

_passes: set[str] = set()
"""Passes of the crews whose checks this process has passed."""


@dataclass(frozen=True)
class Fault:
    """An exception that is no error of bad input.

    Attributes:
        error: The exception, or one that says the same where it cannot travel.
        told: Its traceback on the worker, and the last lines of the log there.
    """

    error: Exception
    told: str


@dataclass(frozen=True)
class Outcome:
    """What became of a task on a worker.

    Attributes:
        worker: Address of the worker.
        begin: When it began, in seconds of the worker's clock.
        end: When it ended.
        checked: Whether the worker had passed the checks of the crew; otherwise the task was not touched.
        value: What the call returned.
        error: The error of bad input that it raised.
        fault: Anything else that it raised.
    """

    worker: str
    begin: float
    end: float
    checked: bool = True
    value: Any = None
    error: UnetkitError | None = None
    fault: Fault | None = None


def packed(task: Task, crew_pass: str) -> bytes:
    """Return what `perform` needs of a task. Dask neither looks into bytes nor packs them a second time."""
    return pickle.dumps((crew_pass, pickle.dumps((task.call, task.arguments))))


def perform(pack: bytes) -> bytes:
    """Do a task, on a worker, and return its `Outcome` in bytes.

    An error of bad input comes back whole. Of any other exception the worker sends along what is known here.
    """
    begin = time()
    crew_pass, content = pickle.loads(pack)
    worker = _this_worker()
    outcome = Outcome(str(worker.address), begin, begin, checked=crew_pass in _passes)
    if outcome.checked:
        outcome = replace(outcome, **_call(content, worker), end=time())
    try:
        return pickle.dumps(outcome)
    except Exception as error:  # what cannot be pickled raises anything
        fault = Fault(TypeError(f"What the task returned cannot be sent: {error!r}"), "")
        return pickle.dumps(replace(outcome, value=None, error=None, fault=fault))


def admit(crew_pass: str) -> None:
    """Let tasks of a crew be done in this process, whose checks it has passed."""
    _passes.add(crew_pass)


def dismiss(passes: list[str]) -> None:
    """Let no more tasks of a crew be done in this process, and drop what was kept for them."""
    _passes.difference_update(passes)
    drop_all()


def _call(content: bytes, worker: Any) -> dict[str, Any]:
    """Call what is packed, and return the fields of the outcome."""
    try:
        call: Callable[..., Any]
        call, arguments = pickle.loads(content)
        with in_task():
            return {"value": call(*arguments)}
    except UnetkitError as error:
        return {"error": error}
    except Exception as error:  # whatever it is, it is raised by the client, with what is known here
        lines = "\n".join(message for _, message in reversed(worker.get_logs(n=LOG_LINES)))
        return {"fault": Fault(_portable(error), f"{traceback.format_exc()}\nIts log:\n{lines or '(empty)'}")}


def _portable(error: Exception) -> Exception:
    """Return an exception that can be sent: this one, or one with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # what cannot be pickled raises anything
        return RuntimeError(repr(error))
    return error


def _this_worker() -> Any:
    from distributed import get_worker

    return get_worker()
