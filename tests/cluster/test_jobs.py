from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml
from crew_calls import process_id
from dask_jobqueue import SLURMCluster
from planned_work import Plan

from unetkit.cluster.connecting import connect
from unetkit.cluster.jobs import JobsFile, _with_threads, read_jobs_file
from unetkit.cluster.tasks import Task
from unetkit.errors import ClusterError
from unetkit.foundation.console import log_nothing

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster_slurm.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.yaml"


def test_the_example_makes_a_job_script() -> None:
    read = read_jobs_file(EXAMPLE)
    assert (read.system, read.jobs, read.wait_minutes) == ("slurm", 4, 120)
    arguments = {key: value for key, value in _with_threads(read.arguments).items() if key != "interface"}
    with SLURMCluster(**arguments, scheduler_options={"dashboard_address": None}) as cluster:
        lines = cluster.job_script().splitlines()
    for line in ("#SBATCH -p gpu", "#SBATCH --gres=gpu:1", "#SBATCH -t 04:00:00", "export OMP_NUM_THREADS=8"):
        assert line in lines
    assert lines.index("source ~/venv/bin/activate") < len(lines) - 1


def test_a_number_of_threads_that_the_file_gives_stays() -> None:
    own = {"cores": 8, "job_script_prologue": ["export OMP_NUM_THREADS=2"]}
    assert _with_threads(own) == own
    assert _with_threads({"cores": 8, "processes": 4})["job_script_prologue"] == ["export OMP_NUM_THREADS=2"]


def test_a_smallest_and_a_largest_number_of_jobs(file: Path) -> None:
    file.write_text("{system: pbs, jobs: {minimum: 0, maximum: 20}, arguments: {cores: 1, memory: 1GB}}")
    assert read_jobs_file(file) == JobsFile("pbs", {"cores": 1, "memory": "1GB"}, (0, 20))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"system": "slrum"}, "there is no system 'slrum'. Did you mean 'slurm'?"),
        ({"job": 4}, "there is no key 'job'. Did you mean 'jobs'?"),
        ({"arguments": {"core": 4}}, "there is no key 'core'. Did you mean 'cores'?"),
        ({"arguments": [1]}, "`arguments` has no names."),
        ({"jobs": 0}, "`jobs: 0` is no number of jobs."),
        ({"jobs": {"minimum": 3, "maximum": 1}}, "is no number of jobs."),
        ({"wait_minutes": "long"}, "`wait_minutes: long` is no time."),
    ],
)
def test_what_has_no_meaning_is_an_error(file: Path, change: dict[str, object], words: str) -> None:
    file.write_text(yaml.safe_dump({"system": "slurm", **change}))
    with pytest.raises(ClusterError) as raised:
        read_jobs_file(file)
    assert str(file) in str(raised.value)
    assert words in str(raised.value)


def test_a_file_that_is_none_is_an_error(file: Path) -> None:
    with pytest.raises(ClusterError, match="cannot be read"):
        read_jobs_file(file)
    file.write_text("a: [")
    with pytest.raises(ClusterError, match="is no YAML"):
        read_jobs_file(file)
    file.write_text("jobs: 3")
    with pytest.raises(ClusterError, match="names no system"):
        read_jobs_file(file)


def test_a_machine_without_the_queue_is_an_error_before_a_job_is_asked_for() -> None:
    with (
        pytest.raises(ClusterError, match="sbatch is not on this machine") as raised,
        connect(str(EXAMPLE), log=log_nothing),
    ):
        pass
    assert "login node" in raised.value.remedy


def test_arguments_that_are_refused_are_an_error(file: Path) -> None:
    file.write_text("system: local")
    with pytest.raises(ClusterError, match="local refuses its arguments"), connect(str(file), log=log_nothing):
        pass


def test_jobs_do_tasks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, by the same code that asks SLURM; each job is a process that one shell command starts."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    file.write_text("{system: local, jobs: 1, wait_minutes: 2, arguments: {cores: 1, memory: 1GB, processes: 1}}")
    said: list[str] = []
    with connect(str(file), log=said.append) as crew:
        plan = Plan(Task(f"nap {index}", process_id, (0.01,)) for index in range(5))
        crew.run(plan)
    assert len(plan.results) == 5
    assert said[-1].startswith("Cluster: 1 worker, 1 thread.")
