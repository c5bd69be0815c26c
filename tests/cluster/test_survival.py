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
from crew_calls import die, die_once, fill_memory, process_id, wait_the_first_time
from dask_processes import DaskProcesses
from distributed import Client, LocalCluster
from planned_work import Plan

from unetkit.cluster import pace
from unetkit.cluster.connecting import connect
from unetkit.cluster.tasks import Task
from unetkit.errors import ClusterError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskProcesses]:
    processes = DaskProcesses(tmp_path)
    yield processes
    processes.kill_all()


def naps(number: int, seconds: float = 0.1) -> list[Task]:
    return [Task(f"nap {index}", process_id, (seconds,), 1_000_000) for index in range(number)]


def wait_until(said: list[str], words: str) -> None:
    end = time.monotonic() + 60
    while not any(words in line for line in said):
        assert time.monotonic() < end, said
        time.sleep(0.05)


def test_a_killed_worker_costs_only_its_task(tmp_path: Path, said: list[str]) -> None:
    with connect("local:2", log=said.append) as crew:
        plan = Plan([Task("deadly", die_once, (tmp_path / "note",), 1_000_000), *naps(12, 0.1)])
        crew.run(plan)
        lines = crew.summary()
    assert len(plan.results) == 13
    assert any("died: its process was killed by signal 9. Its tasks go to others." in line for line in said)
    assert sum(line.startswith("Worker ") and "Mpx/s" in line for line in lines) >= 1
    assert any("died: its process was killed by signal 9." in line for line in lines)
    assert any("done again" in line for line in lines)


def test_a_task_that_kills_three_workers_is_an_error_that_names_it(said: list[str]) -> None:
    with connect("local:1", log=said.append) as crew, pytest.raises(ClusterError, match=r"3 workers died .* 'killer'"):
        crew.run(Plan([Task("killer", die, (1,))]))
    assert "was killed by signal 9" in said[-1]


def test_a_worker_that_is_killed_for_its_memory_is_named_so(said: list[str]) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="300MiB", dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
        connect(None, client, log=said.append) as crew,
        pytest.raises(ClusterError, match="3 workers died") as raised,
    ):
        crew.run(Plan([Task("the large one", fill_memory, (1000,))]))
    assert "more memory" in raised.value.remedy
    assert any("it used more memory than its limit" in line for line in said)


def test_workers_may_come_and_go_in_the_run(said: list[str]) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
        connect(None, client, log=said.append) as crew,
    ):
        first = list(client.nthreads())

        class Changing(Plan):
            def done(self, task: Task, result: Any) -> None:
                super().done(task, result)
                if len(self.results) == 5:
                    cluster.scale(2)
                if len(set(self.results.values())) == 2 and first:
                    client.retire_workers([first.pop()])
                    self.tasks.extend(Task(f"later {index}", process_id, (0.05,)) for index in range(10))

        plan = Changing(naps(100, 0.15))
        crew.run(plan)
        assert len(plan.results) == 110
        assert len({plan.results[f"later {index}"] for index in range(5, 10)}) == 1
        assert not first
    assert not any("died" in line for line in said)


def test_a_scheduler_that_is_gone_is_a_clear_error(dask: DaskProcesses, said: list[str]) -> None:
    address, scheduler = dask.scheduler()
    dask.worker(address)
    with connect(address, log=said.append) as crew:
        threading.Timer(0.5, scheduler.kill).start()
        begin = time.monotonic()
        with pytest.raises(ClusterError, match="The scheduler of the cluster is gone") as raised:
            crew.run(Plan(naps(200)))
    assert "--resume" in raised.value.remedy
    assert time.monotonic() - begin < 20


def test_a_worker_that_joins_with_another_version_gets_no_task(
    dask: DaskProcesses, said: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "other" / "unetkit-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: unetkit\nVersion: 9.9\n")
    address, _ = dask.scheduler()
    dask.worker(address)
    with connect(address, log=said.append) as crew:
        stranger = dask.worker(address, python_path=other.parent)

        class Long(Plan):
            def next(self) -> Task | None:
                if not self.tasks and not any("unetkit 9.9" in line for line in said):
                    self.tasks.append(Task(f"nap at {time.monotonic()}", process_id, (0.1,)))
                return super().next()

        plan = Long(naps(2))
        crew.run(plan)
        later = Plan(naps(8))
        crew.run(later)
    assert stranger.pid not in {*plan.results.values(), *later.results.values()}
    assert sum("has unetkit 9.9, and this machine" in line for line in said) == 1
    with pytest.raises(ClusterError, match=r"has unetkit 9\.9"), connect(address, log=said.append):
        pass


def test_a_worker_that_joins_and_does_not_see_the_files_gets_no_task(
    dask: DaskProcesses, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (here / "in.tif").write_bytes(b"pixels")
    monkeypatch.chdir(here)
    shared = Path("/proc/self/cwd")  # in each process another folder
    if not (shared / "in.tif").exists():
        pytest.skip("no /proc")
    address, _ = dask.scheduler()
    dask.worker(address, folder=here)
    with connect(address, log=said.append) as crew:
        crew.check_paths([shared / "in.tif"], [shared / "out.tif"])
        stranger = dask.worker(address, folder=elsewhere)

        class Long(Plan):
            def next(self) -> Task | None:
                if not self.tasks and not any("cannot read" in line for line in said):
                    self.tasks.append(Task(f"nap at {time.monotonic()}", process_id, (0.1,)))
                return super().next()

        plan = Long(naps(2))
        crew.run(plan)
        later = Plan(naps(8))
        crew.run(later)
    assert stranger.pid not in {*plan.results.values(), *later.results.values()}
    assert sum("cannot read /proc/self/cwd/in.tif" in line for line in said) == 1
    assert [path.name for path in here.iterdir() if path.name.startswith(".unetkit")] == []


def test_no_worker_for_too_long_is_an_error(dask: DaskProcesses, said: list[str]) -> None:
    address, _ = dask.scheduler()
    worker = dask.worker(address)
    with connect(address, wait=20, log=said.append) as crew:
        crew._staff._patience = 1
        worker.kill()
        with pytest.raises(ClusterError, match=r"No worker has been there for 1\.0 s") as raised:
            crew.run(Plan(naps(3)))
    assert "--resume" in raised.value.remedy
    assert sum("No worker is left" in line for line in said) == 1


def test_the_task_of_a_slow_worker_is_given_to_another_at_the_end(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SLOW_SECONDS", 1.0)
    with connect("local:2", log=said.append) as crew:
        plan = Plan([*naps(6, 0.05), Task("stuck", wait_the_first_time, (tmp_path / "note", 60))])
        begin = time.monotonic()
        crew.run(plan)
        assert time.monotonic() - begin < 20
        assert len(plan.results) == 7
        assert any("stuck: " in line and "is slow" in line for line in said)
        assert "1 task of slow workers was given to others too." in crew.summary()


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
    assert process.returncode != 0
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
