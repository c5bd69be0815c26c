"""Workers that are jobs of SLURM, LSF, PBS and others, by dask-jobqueue and a file that says how to ask for them."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from unetkit.foundation.errors import ClusterError, closest

SYSTEMS = {
    "slurm": "SLURMCluster",
    "lsf": "LSFCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
    "htcondor": "HTCondorCluster",
    "local": "local.LocalCluster",
}
"""Classes of dask-jobqueue. The last runs its jobs as processes on this machine, to try a file."""

OURS = {
    *("self", "scheduler", "name", "loop", "asynchronous", "job_cls", "n_workers", "scheduler_cls"),
    "dashboard_address",
}
"""Arguments of these classes that are not for a file."""

DEFAULT_WAIT_MINUTES = 60.0
"""Time to wait for the first job to begin."""


@dataclass(frozen=True)
class JobsFile:
    """What a file says.

    Attributes:
        system: Key of `SYSTEMS`.
        arguments: Of each job, as dask-jobqueue calls them: cores, memory, queue, walltime ...
        jobs: Number of jobs, or smallest and largest number, between which Dask chooses as tasks wait.
        wait_minutes: Time to wait for the first job to begin, and for others when all have ended.
    """

    system: str
    arguments: dict[str, Any] = field(default_factory=dict)
    jobs: int | tuple[int, int] = 1
    wait_minutes: float = DEFAULT_WAIT_MINUTES


def read_jobs_file(path: Path) -> JobsFile:
    """Read the file, and check all that can be checked before a job is asked for.

    Raises:
        ClusterError: It cannot be read, or something in it has no meaning.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterError(f"{path} cannot be read ({error.strerror}).", "Check the name after --cluster.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClusterError(f"{path} is no YAML: {error}.", "Correct it as the message says.") from None
    if not isinstance(content, dict) or "system" not in content:
        raise ClusterError(f"{path} names no system.", f"Write `system:` and one of {', '.join(SYSTEMS)}.")
    for key in content:
        _check_key(path, str(key), [each.name for each in fields(JobsFile)])
    system = content["system"]
    if system not in SYSTEMS:
        raise ClusterError(f"{path}: there is no system '{system}'.", closest(str(system), SYSTEMS))
    arguments = content.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise ClusterError(f"{path}: `arguments` has no names.", "Write one a line, as in `cores: 8`.")
    for key in arguments:
        _check_key(path, str(key), _arguments_of(_class(system)))
    wait = content.get("wait_minutes", DEFAULT_WAIT_MINUTES)
    if isinstance(wait, bool) or not isinstance(wait, int | float) or wait <= 0:
        raise ClusterError(f"{path}: `wait_minutes: {wait}` is no time.", "Give a number above 0.")
    return JobsFile(system, arguments, _number_of_jobs(path, content.get("jobs", 1)), wait)


@contextmanager
def jobs(path: Path, file: JobsFile) -> Iterator[Any]:
    """Ask for the jobs, and cancel those that are left at the end.

    Raises:
        ClusterError: The command that asks for jobs is not on this machine, or an argument is refused.
    """
    cls = _class(file.system)
    command = getattr(cls.job_cls, "submit_command", None)
    if command and shutil.which(command.split()[0]) is None:
        raise ClusterError(
            f"{command.split()[0]} is not on this machine, so it cannot ask {file.system} for jobs.",
            "Run this on a login node, or start a scheduler there and give its tcp:// address.",
        )
    try:
        # a job on this machine is one command, and takes no lines before it
        cluster = cls(**(file.arguments if file.system == "local" else _with_threads(file.arguments)))
    except (ValueError, TypeError) as error:
        raise ClusterError(f"{path}: {file.system} refuses its arguments: {error}", "Correct them.") from error
    with cluster:
        if isinstance(file.jobs, int):
            cluster.scale(jobs=file.jobs)
        else:
            cluster.adapt(minimum_jobs=file.jobs[0], maximum_jobs=file.jobs[1])
        yield cluster


def _with_threads(arguments: dict[str, Any]) -> dict[str, Any]:
    """Let PyTorch use all cores of a worker, where Dask would let it use one; a number that the file gives stays."""
    prologue = list(arguments.get("job_script_prologue") or [])
    if any("OMP_NUM_THREADS" in line for line in prologue) or not isinstance(arguments.get("cores"), int):
        return arguments
    threads = max(1, arguments["cores"] // (arguments.get("processes") or 1))
    return {**arguments, "job_script_prologue": [*prologue, f"export OMP_NUM_THREADS={threads}"]}


def _number_of_jobs(path: Path, jobs: Any) -> int | tuple[int, int]:
    remedy = "Write `jobs: 4`, or `jobs: {minimum: 0, maximum: 20}`."
    if isinstance(jobs, int) and not isinstance(jobs, bool) and jobs > 0:
        return jobs
    if isinstance(jobs, dict) and set(jobs) == {"minimum", "maximum"}:
        least, most = jobs["minimum"], jobs["maximum"]
        if isinstance(least, int) and isinstance(most, int) and 0 <= least <= most and most > 0:
            return least, most
    raise ClusterError(f"{path}: `jobs: {jobs}` is no number of jobs.", remedy)


def _check_key(path: Path, key: str, known: list[str]) -> None:
    if key not in known:
        raise ClusterError(f"{path}: there is no key '{key}'.", closest(key, known))


def _class(system: str) -> Any:
    module, _, name = f"dask_jobqueue.{SYSTEMS[system]}".rpartition(".")
    return getattr(import_module(module), name)


def _arguments_of(cls: Any) -> list[str]:
    """Return the names of all arguments: of the cluster, and of its jobs."""
    classes = [*cls.__mro__, *cls.job_cls.__mro__]
    inits = [
        each.__init__ for each in classes if each.__module__.startswith("dask_jobqueue") and "__init__" in vars(each)
    ]
    parameters = [each for init in inits for each in inspect.signature(init).parameters.values()]
    return sorted({each.name for each in parameters if each.kind is not each.VAR_KEYWORD} - OURS)
