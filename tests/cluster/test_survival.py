"""What a run survives, by really doing it to processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crew_calls import die, die_once, fill_memory_once, process_id, wait_the_first_time
from dask_processes import DaskProcesses
from distributed import Client, LocalCluster
from planned_work import Plan

from unetkit.cluster import pace
from unetkit.cluster.connecting import connect
from unetkit.cluster.crew import Crew
from unetkit.cluster.tasks import Task
from unetkit.errors import ClusterError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What users are told in one test."""
    told.clear()
    return told


told: list[str] = []


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Two workers on this machine, which their nannies start again."""
    with connect("local:2", log=told.append) as crew:
        yield crew


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that workers see."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"))
    yield processes
    processes.kill_all()


@pytest.fixture(scope="module")
def scheduler(dask: DaskProcesses) -> tuple[str, subprocess.Popen[bytes]]:
    """A scheduler in a process of its own: its address and its process."""
    return dask.scheduler()


@pytest.fixture(scope="module")
def worker(dask: DaskProcesses, scheduler: tuple[str, Any], shared: Path) -> subprocess.Popen[bytes]:
    """A worker of this scheduler that sees the files."""
    return dask.worker(scheduler[0], folder=shared)


def naps(number: int, seconds: float = 0.1) -> list[Task]:
    return [Task(f"nap {index}", process_id, (seconds,), 1_000_000) for index in range(number)]


class UntilSaid(Plan):
    """Short tasks without end, until something was said; then some more."""

    def __init__(self, said: list[str], words: str) -> None:
        super().__init__([])
        self.said = said
        self.words = words
        self.began = time.monotonic()
        self.rest = 8

    def next(self) -> Task | None:
        assert time.monotonic() < self.began + 120, self.said
        if any(self.words in line for line in self.said):
            self.rest -= 1
        self.out += self.rest > 0
        return Task(f"nap at {time.monotonic()}", process_id, (0.1,)) if self.rest > 0 else None


def test_a_killed_worker_costs_only_its_task(crew: Crew, tmp_path: Path, said: list[str]) -> None:
    plan = Plan([Task("deadly", die_once, (tmp_path / "note",), 1_000_000), *naps(12)])
    crew.run(plan)
    assert len(plan.results) == 13
    assert any("died: its process was killed by signal 9. Its tasks go to others." in line for line in said)
    lines = crew.summary()
    assert any(line.startswith("Worker ") and "Mpx/s" in line for line in lines)
    assert any("died: its process was killed by signal 9." in line for line in lines)
    assert any("done again" in line for line in lines)


def test_a_task_that_kills_three_workers_is_an_error_that_names_it(crew: Crew, said: list[str]) -> None:
    with pytest.raises(ClusterError, match=r"3 workers died .* 'killer'"):
        crew.run(Plan([Task("killer", die, (1,))]))
    assert "was killed by signal 9" in said[-1]


def test_the_task_of_a_slow_worker_is_given_to_another_at_the_end(
    crew: Crew, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SLOW_SECONDS", 1.0)
    plan = Plan([*naps(6, 0.05), Task("stuck", wait_the_first_time, (tmp_path / "note", 600))])
    begin = time.monotonic()
    crew.run(plan)
    assert time.monotonic() - begin < 300
    assert len(plan.results) == 7
    assert any("stuck: " in line and "is slow" in line for line in said)
    assert "1 task of slow workers was given to others too." in crew.summary()


def test_workers_may_run_out_of_memory_and_come_and_go_in_the_run(said: list[str], tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="300MiB", dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
        connect(None, client, log=said.append) as crew,
    ):

        class Changing(Plan):
            """The only worker runs out of memory; then a second comes, and the first is retired."""

            retired: int | None = None

            def done(self, task: Task, result: Any) -> None:
                super().done(task, result)
                if len(self.results) == 3:
                    cluster.scale(2)
                elif self.retired is None and len(set(self.results.values())) == 2:
                    self.retired = result
                    processes = client.run(os.getpid)
                    client.retire_workers([address for address, process in processes.items() if process == result])
                    self.tasks.extend(Task(f"later {index}", process_id, (0.01,)) for index in range(6))
                if not self.tasks and self.retired is None:
                    self.tasks.append(Task(f"nap at {time.monotonic()}", process_id, (0.1,)))

        plan = Changing([Task("the large one", fill_memory_once, (tmp_path / "note",)), *naps(3)])
        crew.run(plan)
    assert plan.retired is not None
    assert len({f"later {index}" for index in range(6)} & plan.results.keys()) == 6
    assert plan.results["later 5"] != plan.retired
    assert sum("died" in line for line in said) == 1
    assert any("died: it used more memory than its limit." in line for line in said)


def test_a_worker_that_joins_with_another_version_gets_no_task(
    dask: DaskProcesses, scheduler: tuple[str, Any], worker: object, said: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "unetkit-9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: unetkit\nVersion: 9.9\n")
    with connect(scheduler[0], log=said.append) as crew:
        stranger = dask.worker(scheduler[0], python_path=tmp_path)
        plan = UntilSaid(said, "has unetkit 9.9, and this machine")
        crew.run(plan)
    assert stranger.pid not in plan.results.values()
    assert sum("It gets no task." in line for line in said) == 1
    with pytest.raises(ClusterError, match=r"has unetkit 9\.9"), connect(scheduler[0], log=said.append):
        pass
    dask.end(stranger, scheduler[0])


def test_a_worker_that_joins_and_does_not_see_the_files_gets_no_task(
    dask: DaskProcesses,
    scheduler: tuple[str, Any],
    worker: object,
    said: list[str],
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (shared / "in.tif").write_bytes(b"pixels")
    monkeypatch.chdir(shared)
    there = Path("/proc/self/cwd")  # in each process another folder
    if not (there / "in.tif").exists():
        pytest.skip("no /proc")
    with connect(scheduler[0], log=said.append) as crew:
        crew.check_paths([there / "in.tif"], [there / "out.tif"])
        stranger = dask.worker(scheduler[0], folder=tmp_path)
        plan = UntilSaid(said, "cannot read /proc/self/cwd/in.tif")
        crew.run(plan)
    assert stranger.pid not in plan.results.values()
    assert sum("It gets no task." in line for line in said) == 1
    assert not list(shared.glob(".unetkit*"))
    dask.end(stranger, scheduler[0])


def test_no_worker_for_too_long_is_an_error(
    scheduler: tuple[str, Any], worker: subprocess.Popen[bytes], said: list[str]
) -> None:
    with connect(scheduler[0], wait=20, log=said.append) as crew:
        crew._staff._patience = 1
        worker.kill()
        with pytest.raises(ClusterError, match=r"No worker has been there for 1\.0 s") as raised:
            crew.run(Plan(naps(3)))
    assert "--resume" in raised.value.remedy
    assert sum("No worker is left" in line for line in said) == 1


def test_a_scheduler_that_is_gone_is_a_clear_error(
    dask: DaskProcesses, scheduler: tuple[str, subprocess.Popen[bytes]], said: list[str]
) -> None:
    dask.worker(scheduler[0])
    with connect(scheduler[0], log=said.append) as crew:
        threading.Timer(0.5, scheduler[1].kill).start()
        begin = time.monotonic()
        with pytest.raises(ClusterError, match="The scheduler of the cluster is gone") as raised:
            crew.run(Plan(naps(200)))
    assert "--resume" in raised.value.remedy
    assert time.monotonic() - begin < 20


def test_ctrl_c_ends_the_run_and_leaves_no_process(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from crew_calls import process_id
from unetkit.cluster.connecting import connect
if __name__ == "__main__":
    with connect("local:2", log=print) as crew:
        for index, result in crew.map(process_id, [0.1] * 1000, names=["nap"] * 1000):
            print("PID", result, flush=True)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    workers = set()
    while len(workers) < 2:
        line = process.stdout.readline()
        assert line
        if line.startswith("PID"):
            workers.add(int(line.split()[1]))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
    _, errors = process.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "Dask Worker process" not in errors
    assert process.returncode != 0
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
