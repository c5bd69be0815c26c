"""Crews of worker processes on this machine, which one fixture starts once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crew_calls import double, fail, give_a_lock, loaded, process_id, refuse, write_line
from planned_work import Plan

from unetkit.cluster.connecting import connect
from unetkit.cluster.crew import Crew
from unetkit.cluster.tasks import Task
from unetkit.errors import ClusterError, ImageError

said: list[str] = []


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with connect("local:2", log=said.append) as crew:
        yield crew


def naps(number: int, seconds: float = 0.05) -> list[Task]:
    return [Task(f"nap {index}", process_id, (seconds,), 1_000_000) for index in range(number)]


def test_each_task_is_done_once_and_its_result_comes_back(crew: Crew) -> None:
    plan = Plan(Task(f"number {value}", double, (value,)) for value in range(300))
    crew.run(plan)
    assert plan.results == {f"number {value}": 2 * value for value in range(300)}


def test_all_workers_work(crew: Crew) -> None:
    plan = Plan(naps(8))
    crew.run(plan)
    assert len(set(plan.results.values())) == 2


def test_only_a_few_tasks_are_out_at_a_time(crew: Crew) -> None:
    plan = Plan(naps(30))
    crew.run(plan)
    assert 4 <= plan.most_out <= 16


def test_work_that_waits_for_results_is_asked_again(crew: Crew) -> None:
    class Chain(Plan):
        """A task begins when the one before it is done."""

        def next(self) -> Task | None:
            return None if self.out else super().next()

    chain = Chain(Task(f"link {value}", double, (value,)) for value in range(5))
    crew.run(chain)
    assert len(chain.results) == 5
    assert chain.most_out == 1


def test_an_error_of_bad_input_comes_back_whole_and_the_run_goes_on(crew: Crew) -> None:
    plan = Plan([Task("bad", refuse, ("x.tif",)), Task("good", double, (4,))])
    crew.run(plan)
    assert plan.results == {"good": 8}
    error = plan.errors["bad"]
    assert isinstance(error, ImageError)
    assert (error.problem, error.remedy) == ("x.tif is no image.", "Give another.")


def test_map_yields_results_and_errors_with_the_index_of_their_item(crew: Crew) -> None:
    assert dict(crew.map(double, [5, 6, 7], names=["a", "b", "c"])) == {0: 10, 1: 12, 2: 14}
    ((index, error),) = crew.map(refuse, ["x.tif"], names=["x.tif"])
    assert index == 0
    assert isinstance(error, ImageError)


def test_any_other_error_ends_the_run_with_its_traceback_and_the_log_of_the_worker(crew: Crew) -> None:
    with pytest.raises(ZeroDivisionError, match="oh") as raised:
        crew.run(Plan([Task("the bad one", fail, ("oh",)), *naps(4)]))
    (note,) = raised.value.__notes__
    assert "the task 'the bad one'" in note
    assert "raise ZeroDivisionError(what)" in note
    assert "Start worker at" in note


def test_a_result_that_cannot_be_sent_is_an_error_and_no_hang(crew: Crew) -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        crew.run(Plan([Task("lock", give_a_lock, (1,))]))


def test_an_error_of_the_work_ends_the_run_and_what_has_not_begun_never_does(crew: Crew, tmp_path: Path) -> None:
    class Impatient(Plan):
        def done(self, task: Task, result: Any) -> None:
            raise ClusterError("Enough.", "Stop.")

    tasks = [Task("first", double, (1,)), *naps(20, 0.2)]
    tasks += [Task(f"late {value}", write_line, (tmp_path / "late", value)) for value in range(3)]
    with pytest.raises(ClusterError, match="Enough"):
        crew.run(Impatient(tasks))
    crew.run(Plan(naps(8)))
    assert not (tmp_path / "late").exists()


def test_larger_priorities_are_run_first(crew: Crew, tmp_path: Path) -> None:
    order = tmp_path / "order"
    tasks = [Task(f"low {value}", write_line, (order, 0)) for value in range(8)]
    tasks += [Task(f"high {value}", write_line, (order, 1), priority=10) for value in range(8)]
    plan = Plan([*naps(2, 0.3), *tasks])
    for _ in range(40):  # short tasks first, so that all these are handed out together
        plan.tasks.appendleft(Task(f"short {len(plan.tasks)}", double, (1,)))
    crew.run(plan)
    first, last = (order.read_text().split()[half] for half in (slice(8), slice(8, None)))
    assert first.count("1") >= 6, "each worker may have begun a low one before"
    assert last.count("0") >= 6


def test_tasks_that_need_no_torch_load_none(crew: Crew) -> None:
    assert dict(crew.map(loaded, ["torch", "tifffile"], names=["torch", "tifffile"])) == {0: False, 1: False}


def test_progress_is_told_in_pixels(crew: Crew) -> None:
    steps: list[int] = []
    crew.run(Plan([Task("a", double, (1,), 30), Task("b", refuse, ("x",), 12)]), steps.append)
    assert sorted(steps) == [12, 30]


def test_paths_that_workers_see_pass_and_nothing_is_left_there(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "in.tif").write_bytes(b"pixels")
    crew.check_paths([tmp_path / "in.tif", tmp_path], [tmp_path / "out.tif", tmp_path / "out.zarr"])
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_file_that_only_this_machine_sees_is_an_error_that_names_worker_and_path(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.tif").write_bytes(b"pixels")
    monkeypatch.chdir(tmp_path)
    own = Path("/proc/self/cwd/mine.tif")  # in each process another folder
    if not own.exists():
        pytest.skip("no /proc")
    with pytest.raises(ClusterError, match=rf"The worker [01] \(tcp://.*\) cannot read {own} \(No such file") as raised:
        crew.check_paths([own], [])
    assert "all workers share" in raised.value.remedy
    with pytest.raises(ClusterError, match="does not see what this machine writes in /proc/self/cwd"):
        crew.check_paths([], [Path("/proc/self/cwd/out.tif")])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tif"]
