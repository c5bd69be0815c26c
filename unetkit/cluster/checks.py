"""Whether workers can do the work, asked by the client before they get a task."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from unetkit.cluster.needs import Beacons, Needs, problem_here, unseen
from unetkit.cluster.performing import admit
from unetkit.foundation.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

SAME_VERSIONS = ("unetkit", "torch", "numpy")
"""Packages of which another version changes results."""

PATH_REMEDY = "Put inputs and outputs on a path that this machine and all workers share, under the same name."


@dataclass(frozen=True)
class Check:
    """What is known of a worker after its checks.

    Attributes:
        name: Its name in the cluster.
        threads: Number of tasks that it runs at a time.
        process: Number of its process.
        nanny: Address of the nanny that starts it again; None without one.
        problem: Why it is unfit, to follow "The worker NAME"; None for a worker that is fit.
        remedy: What to do about it.
    """

    name: str = ""
    threads: int = 0
    process: int = 0
    nanny: str | None = None
    problem: str | None = None
    remedy: str = ""


def check_scheduler(client: Client) -> None:
    """Check that the scheduler knows what tasks are.

    Raises:
        ClusterError: unetkit there is another, or none.
    """
    here = version("unetkit")
    try:
        there = client.run_on_scheduler(version, "unetkit")
    except PackageNotFoundError:
        there = "not installed"
    if there != here:
        raise ClusterError(
            f"The scheduler of the cluster has unetkit {there}, and this machine {here}.",
            f"Run `pip install unetkit=={here}` where it runs, and start it again.",
        )


def check_workers(client: Client, workers: list[str], needs: Needs, crew_pass: str) -> dict[str, Check]:
    """Check workers, and admit those that are fit.

    Args:
        client: A client of their scheduler.
        workers: Their addresses.
        needs: The paths they have to see.
        crew_pass: Admits them.

    Returns:
        By address, without workers that have gone meanwhile.

    Raises:
        OutputError: This machine itself cannot write to a folder.
    """
    checks = _versions(client, workers)
    fit = [worker for worker, check in checks.items() if check.problem is None]
    if fit:
        checks |= _paths(client, fit, needs)
        fit = [worker for worker in fit if checks[worker].problem is None]
    if fit:
        _ask(client, fit, admit, crew_pass)
    return checks


async def look_around(needs: Needs, beacons: list[Any], answers: dict[str, str], dask_worker: Any) -> Check:
    """Check paths on a worker, in a thread, as a file system may let it wait. Dask passes the worker by that name."""
    problem = await asyncio.to_thread(problem_here, needs, beacons, answers[dask_worker.address])
    threads = dask_worker.state.nthreads
    return Check(str(dask_worker.name), threads, os.getpid(), dask_worker.nanny, problem, PATH_REMEDY)


def _versions(client: Client, workers: list[str]) -> dict[str, Check]:
    """Compare versions. What is called is of Python itself, so a worker without unetkit answers too."""
    remedy = f"Install the same versions on all machines (`pip install unetkit=={version('unetkit')}`)."
    checks: dict[str, Check] = {}
    for package in SAME_VERSIONS:
        here = _public(version(package))
        for worker, answer in _ask(client, workers, version, package).items():
            missing = isinstance(answer, PackageNotFoundError)
            there = f"no {package}" if missing else f"{package} {_public(answer)}"
            if checks.get(worker, Check()).problem is None:
                problem = None if there == f"{package} {here}" else f"has {there}, and this machine {here}"
                checks[worker] = Check(problem=problem, remedy=remedy)
    return checks


def _paths(client: Client, workers: list[str], needs: Needs) -> dict[str, Check]:
    answers = {worker: uuid4().hex for worker in workers}
    with Beacons(needs) as beacons:
        checks: dict[str, Check] = _ask(client, workers, look_around, needs, beacons, answers)
        for worker, check in checks.items():
            if check.problem is None and (problem := unseen(beacons, answers[worker])) is not None:
                checks[worker] = replace(check, problem=problem)
    return checks


def _ask(client: Client, workers: list[str], function: Any, *arguments: Any) -> dict[str, Any]:
    """Call a function on workers, and return what it gave or raised, without workers that have gone meanwhile."""
    answers = client.run(function, *arguments, workers=workers, on_error="return")
    return {worker: answer for worker, answer in answers.items() if not isinstance(answer, OSError)}


def _public(number: str) -> str:
    """Return a version without what says for which device it was built, as in 2.13.0+cpu."""
    return number.partition("+")[0]
