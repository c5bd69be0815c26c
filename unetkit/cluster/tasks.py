"""What is handed to a crew: tasks, and the work that tells which task is next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from unetkit.foundation.errors import UnetkitError

Log = Callable[[str], None]
"""Takes a message for people."""


@dataclass(frozen=True)
class Task:
    """One call that any worker can make, and make again: a task may run twice, even at the same time.

    Attributes:
        name: Name for people, as in "slide.tif, rows 0 to 8,192".
        call: A function at the top of a module. What it returns is small.
        arguments: Its arguments. They are small: names of files, windows, options.
        pixels: Number of pixels that it works on, for progress and the table of workers. What a result has under this
            name counts instead.
        priority: Tasks of a larger priority are run first.
    """

    name: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    pixels: int = 0
    priority: int = 0


class Work(Protocol):
    """What is to be done. The crew asks for tasks as fast as workers take them, in the thread that calls `Crew.run`."""

    def next(self) -> Task | None:
        """Return the next task. None: none can begin now, as all wait for others or all are handed out."""
        ...

    def done(self, task: Task, result: Any) -> None:
        """Take the result of a task, once for each."""
        ...

    def failed(self, task: Task, error: UnetkitError) -> None:
        """Take the error of a task that met bad input. An error that this raises ends the run."""
        ...
