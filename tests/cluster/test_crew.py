from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from crew_calls import double, refuse

from unetkit.cluster.connecting import connect
from unetkit.cluster.crew import Crew
from unetkit.cluster.tasks import Task
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ImageError, UnetkitError


class Plan:
    """Work that is known before."""

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks = deque(tasks)
        self.results: dict[str, Any] = {}
        self.errors: dict[str, UnetkitError] = {}

    def next(self) -> Task | None:
        return self.tasks.popleft() if self.tasks else None

    def done(self, task: Task, result: Any) -> None:
        assert task.name not in self.results
        self.results[task.name] = result

    def failed(self, task: Task, error: UnetkitError) -> None:
        self.errors[task.name] = error


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with connect("local:1", log=log_nothing) as crew:
        yield crew


def test_each_task_is_done_once_and_its_result_comes_back(crew: Crew) -> None:
    plan = Plan([Task(f"number {value}", double, (value,)) for value in range(50)])
    crew.run(plan)
    assert plan.results == {f"number {value}": 2 * value for value in range(50)}


def test_an_error_of_bad_input_comes_back_whole(crew: Crew) -> None:
    plan = Plan([Task("bad", refuse, ("x.tif",)), Task("good", double, (4,))])
    crew.run(plan)
    assert plan.results == {"good": 8}
    error = plan.errors["bad"]
    assert isinstance(error, ImageError)
    assert (error.problem, error.remedy) == ("x.tif is no image.", "Give another.")


def test_map_yields_results_with_the_index_of_their_item(crew: Crew) -> None:
    assert dict(crew.map(double, [5, 6, 7], names=["a", "b", "c"])) == {0: 10, 1: 12, 2: 14}
