"""Who is there: workers of a cluster come and go, and each is checked before it gets a task."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from unetkit.cluster.checks import Check, check_workers
from unetkit.cluster.needs import Needs
from unetkit.cluster.performing import dismiss
from unetkit.cluster.tasks import Log
from unetkit.foundation.errors import ClusterError, UnetkitError
from unetkit.foundation.words import count, duration

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "all"
"""Topic on which Dask's scheduler tells of workers that come and go."""

SILENT_SECONDS = 5.0
"""Time without a worker about which nothing is said: a nanny starts its worker again meanwhile."""

TRIES = 20
"""How often a worker is asked that does not answer."""

RETRY_SECONDS = 1.0
"""Time between two tries."""


@dataclass(frozen=True)
class Loss:
    """A worker that has gone.

    Attributes:
        address: Its address.
        had: Keys of the tasks that it had, not finished.
        finished: Keys of those whose results are lost with it.
        expected: Whether it was retired; otherwise it died.
    """

    address: str
    had: frozenset[Any]
    finished: frozenset[Any]
    expected: bool


class Staff:
    """The workers of a scheduler, as news of them come.

    Args:
        client: A client of the scheduler, which nobody else uses.
        patience: Seconds to wait for workers where none is left.
        log: Takes what users should know.
    """

    def __init__(self, client: Client, patience: float, log: Log) -> None:
        self.fit: dict[str, int] = {}
        """Threads of each worker that is fit, by its address."""
        self.known: dict[str, Check] = {}
        """What is known of each worker that has ever been here, by its address."""
        self.crew_pass = ""
        """What admits a worker to tasks."""
        self.wake: Callable[[], None] = lambda: None
        """Called from another thread when there are news."""
        self._client = client
        self._patience = patience
        self._log = log
        self._needs = Needs()
        self._passes: list[str] = []
        self._unfit: set[str] = set()
        self._checking: set[str] = set()
        self._alone_since: float | None = None
        self._alone_told = False
        self._news: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        client.subscribe_topic(TOPIC, self._hear)

    @property
    def threads(self) -> int:
        """Number of tasks that all fit workers run at a time."""
        return sum(self.fit.values())

    @property
    def has_strangers(self) -> bool:
        """Whether there are workers that must not get tasks, as they are unfit or not yet checked."""
        return bool(self._unfit or self._checking)

    def name(self, worker: str) -> str:
        """Return the name of a worker in the cluster, by its address; the address where it has none."""
        check = self.known.get(worker)
        return check.name if check and check.name else worker

    def named(self, worker: str) -> str:
        """Return the name of a worker for people: its name in the cluster, and its address."""
        return worker if self.name(worker) == worker else f"{self.name(worker)} ({worker})"

    def demand(self, needs: Needs) -> None:
        """Check all workers that are there; what is demanded last is demanded of those that come later too.

        Raises:
            ClusterError: A worker is unfit.
            OutputError: This machine cannot write to a folder.
        """
        self._needs = needs
        self.crew_pass = uuid4().hex
        self._passes.append(self.crew_pass)
        workers = list(self._client.nthreads())
        checks = check_workers(self._client, workers, self._needs, self.crew_pass)
        for worker, check in checks.items():
            if check.problem is not None:
                raise self._error(worker, check)
            self._employ(worker, check)

    def update(self) -> list[Loss]:
        """Take in the news, and return which workers have gone.

        Raises:
            ClusterError: No worker has been there for too long.
        """
        losses = []
        while True:
            try:
                kind, news = self._news.get_nowait()
            except Empty:
                break
            if kind == "joined":
                self.check(news)
            elif kind == "left":
                losses.append(news)
                self.fit.pop(news.address, None)
                self._unfit.discard(news.address)
                self._checking.discard(news.address)
            else:
                self._take_check(*news)
        self._mind_the_time()
        return losses

    def leave(self) -> None:
        """Hear no more news, and leave nothing on the workers: no pass, and nothing that was kept for tasks."""
        if self._client.status != "running":
            return
        with suppress(OSError):  # the scheduler goes at this very moment
            self._client.unsubscribe_topic(TOPIC)
            if self.fit:
                self._client.run(dismiss, self._passes, workers=list(self.fit), on_error="ignore")

    def check(self, worker: str) -> None:
        """Begin to check a worker in a thread of its own, as a file system may let it wait."""
        if worker in self._checking or worker in self._unfit:
            return
        self.fit.pop(worker, None)
        self._checking.add(worker)
        threading.Thread(target=self._check, args=(worker, self.crew_pass), name="unetkit-check", daemon=True).start()

    def _check(self, worker: str, crew_pass: str) -> None:
        check: Check | None = None
        for _ in range(TRIES):
            try:
                check = check_workers(self._client, [worker], self._needs, crew_pass).get(worker)
            except UnetkitError as error:
                check = Check(problem=f"could not be checked: {error.problem}", remedy=error.remedy)
            except OSError:  # the scheduler is gone, which the run finds by itself
                break
            if check is not None or worker not in self._checking:
                break
            sleep(RETRY_SECONDS)  # it does not answer: it begins, or it has gone
        self._tell("checked", (worker, crew_pass, check))

    def _take_check(self, worker: str, crew_pass: str, check: Check | None) -> None:
        if worker not in self._checking:
            return  # it has left meanwhile
        self._checking.discard(worker)
        if crew_pass != self.crew_pass:
            self.check(worker)
        elif check is None:
            return
        elif check.problem is None:
            self._employ(worker, check)
        else:
            self._unfit.add(worker)
            error = self._error(worker, check)
            self._log(f"{error.problem} It gets no task. {error.remedy}")

    def _employ(self, worker: str, check: Check) -> None:
        self.fit[worker] = check.threads
        self.known[worker] = check

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take an event of the scheduler, in the client's own thread."""
        message = event[1]
        if message.get("action") == "add-worker":
            self._tell("joined", message["worker"])
        elif message.get("action") == "remove-worker":
            had, finished = (frozenset(message.get(f"{which}-tasks", ())) for which in ("processing", "lost-computed"))
            self._tell("left", Loss(message["worker"], had, finished, bool(message.get("expected"))))

    def _tell(self, kind: str, news: Any) -> None:
        self._news.put((kind, news))
        self.wake()

    def _mind_the_time(self) -> None:
        """Say once that nobody is there, and give up after a while."""
        if self.fit:
            self._alone_since = None
            self._alone_told = False
            return
        now = monotonic()
        if self._alone_since is None:
            self._alone_since = now
        if now - self._alone_since > min(SILENT_SECONDS, self._patience) and not self._alone_told:
            self._alone_told = True
            self._log(f"No worker is left. Waiting up to {duration(self._patience)} for another.")
        if now - self._alone_since > self._patience:
            others = f" {count(len(self._unfit), 'worker')} there cannot do the work." if self._unfit else ""
            raise ClusterError(
                f"No worker has been there for {duration(self._patience)}.{others}",
                "Look into the jobs of the workers; then go on with --resume.",
            )

    def _error(self, worker: str, check: Check) -> ClusterError:
        """Return the error for a worker that cannot do the work."""
        self.known[worker] = check
        return ClusterError(f"The worker {self.named(worker)} {check.problem}.", check.remedy)
