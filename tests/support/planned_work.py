"""Work of a crew that is known from the beginning."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from unetkit.cluster.tasks import Task
from unetkit.foundation.errors import UnetkitError


class Plan:
    """Gives its tasks one after another, and notes what comes back, and how much was out at a time."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = deque(tasks)
        self.results: dict[str, Any] = {}
        self.errors: dict[str, UnetkitError] = {}
        self.out = 0
        self.most_out = 0

    def next(self) -> Task | None:
        if not self.tasks:
            return None
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        return self.tasks.popleft()

    def done(self, task: Task, result: Any) -> None:
        assert task.name not in self.results, "a result counts once"
        self.out -= 1
        self.results[task.name] = result

    def failed(self, task: Task, error: UnetkitError) -> None:
        self.out -= 1
        self.errors[task.name] = error
