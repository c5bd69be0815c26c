"""The way to a cluster: one that is started here, one that runs somewhere, or a client that is there already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetkit.cluster.crew import Crew
from unetkit.cluster.tasks import Log
from unetkit.foundation.errors import ClusterError
from unetkit.foundation.words import count, duration

if TYPE_CHECKING:
    from distributed import Client

INSTALL = "Run `pip install 'unetkit[distributed]'`."

FORMS = (
    "Give local:4 (worker processes on this machine), local:gpus (one for each GPU), tcp://host:8786 (a scheduler that "
    "runs), its scheduler file (.json), or jobs.yaml (jobs of SLURM and others)."
)

CONNECT_SECONDS = 15.0
"""Time in which a scheduler has to answer."""

WAIT_SECONDS = 120.0
"""Time in which the first workers have to come, where they are no jobs."""


@dataclass(frozen=True)
class _Place:
    """Where a scheduler is.

    Attributes:
        target: Its address, or a cluster of Dask.
        workers: Number of workers to wait for before the first task.
        wait: Seconds to wait for them, and for others when all are gone.
        security: For its TLS.
    """

    target: Any
    workers: int = 1
    wait: float = WAIT_SECONDS
    security: Any = None


@contextmanager
def connect(cluster: str | None, client: Any = None, *, wait: float | None = None, log: Log) -> Iterator[Crew]:
    """Reach a cluster, or start one, while the block runs.

    What this starts is closed at the end, also on errors and on Ctrl-C. A client that is given, and a scheduler that
    runs somewhere, are left as they were.

    Args:
        cluster: "local:4", "local:gpus", "tcp://host:8786", "scheduler.json" or "jobs.yaml". Not used with a client.
        client: A `distributed.Client` whose scheduler and workers are used.
        wait: Seconds to wait for workers, at the beginning and when all are gone; None for two minutes, or for jobs the
            time that their file gives.
        log: Takes what users should know.

    Yields:
        The crew.

    Raises:
        ClusterError: The text has no meaning, no scheduler or worker is there in time, workers differ from this
            machine, or Dask is not installed.
    """
    if find_spec("distributed") is None:
        raise ClusterError("A cluster needs the package distributed, which is not installed.", INSTALL)
    with ExitStack() as stack:
        place = _place_of(client) if client is not None else stack.enter_context(_place(cluster or ""))
        patience = place.wait if wait is None else wait
        own = stack.enter_context(_reached(place))
        _wait_for_workers(own, place, patience, log)
        crew = Crew(own, patience, log)
        stack.callback(crew.close)
        threads = own.nthreads()
        log(f"Cluster: {count(len(threads), 'worker')}, {count(sum(threads.values()), 'thread')}. {_dashboard(own)}")
        yield crew


def _place_of(client: Any) -> _Place:
    """Return the place of a client that is given.

    We have a client of our own there, so that nothing of the given one is changed: its futures, its handlers of events.
    """
    if client.asynchronous or client.status != "running":
        raise ClusterError("The Dask client is asynchronous or closed.", "Give one made by `Client(address)`.")
    return _Place(client.scheduler.address, security=client.security)


@contextmanager
def _place(text: str) -> Iterator[_Place]:
    """Find or start what a text says."""
    from unetkit.cluster.started import gpus_here, processes_here

    number = re.fullmatch(r"local:0*([1-9]\d{0,3})", text)
    if number is not None:
        with processes_here(int(number[1])) as cluster:
            yield _Place(cluster, workers=int(number[1]))
    elif text == "local:gpus":
        with gpus_here() as cluster:
            yield _Place(cluster, workers=len(cluster.worker_spec))
    elif re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", text):
        yield _Place(text)
    elif text.endswith(".json"):
        yield _Place(_address_in(Path(text)))
    elif text.endswith((".yaml", ".yml")):
        if find_spec("dask_jobqueue") is None:
            raise ClusterError(f"{text} needs the package dask-jobqueue, which is not installed.", INSTALL)
        from unetkit.cluster.jobs import jobs, read_jobs_file

        file = read_jobs_file(Path(text))
        with jobs(Path(text), file) as cluster:
            yield _Place(cluster, wait=60 * file.wait_minutes)
    else:
        raise ClusterError(f"'{text}' is no cluster.", FORMS)


def _address_in(path: Path) -> str:
    """Return the address of the scheduler that wrote a scheduler file."""
    import json

    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["address"])
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror})."
    except (ValueError, KeyError, TypeError):
        problem = f"{path} is no scheduler file."
    raise ClusterError(problem, "Give the file of `dask scheduler --scheduler-file FILE`.")


@contextmanager
def _reached(place: _Place) -> Iterator[Client]:
    """Connect a client."""
    from distributed import Client

    try:
        client = Client(place.target, timeout=CONNECT_SECONDS, security=place.security, set_as_default=False)
    except (OSError, TypeError, RuntimeError) as error:  # no answer; TLS without certificates
        raise ClusterError(
            f"No scheduler answers at {place.target} ({str(error) or type(error).__name__}).",
            "Check the address, and that `dask scheduler` runs there.",
        ) from error
    with client:
        yield client


def _wait_for_workers(client: Client, place: _Place, seconds: float, log: Log) -> None:
    there = len(client.nthreads())
    if there >= place.workers:
        return
    log(f"Waiting up to {duration(seconds)} for {count(place.workers - there, 'worker')}.")
    try:
        client.wait_for_workers(place.workers, timeout=seconds)
    except TimeoutError:
        there = len(client.nthreads())
        raise ClusterError(
            f"{there} of {count(place.workers, 'worker')} came within {duration(seconds)}.",
            "Start workers (`dask worker ADDRESS`), or look into the queue and the logs of their jobs.",
        ) from None


def _dashboard(client: Client) -> str:
    link = client.dashboard_link
    return f"Dashboard: {link}" if link else "It has no dashboard."
