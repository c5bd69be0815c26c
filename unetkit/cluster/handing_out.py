"""Tasks to workers, results back: a few tasks for each worker at a time, as fast as they take them."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from unetkit.cluster.flights import Flight, Flights, flight
from unetkit.cluster.logs import nanny_lines, why_died
from unetkit.cluster.pace import Pace
from unetkit.cluster.performing import Outcome, packed
from unetkit.cluster.staff import Loss, Staff
from unetkit.cluster.tally import Tally
from unetkit.cluster.tasks import Log, Task
from unetkit.foundation.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

MOST_DEATHS = 3
"""Number of workers that may die with a task; then the task is what kills them."""

LOOK_SECONDS = 1.0
"""Longest time between two looks at who is there and what is slow."""

GONE_REMEDY = "Start it again, then go on with --resume."


class HandingOut:
    """One run: hands out tasks until none is with a worker and there is no next one.

    Args:
        client: A client of the scheduler.
        staff: The workers.
        tally: Counts what they do.
        log: Takes what users should know.
    """

    def __init__(self, client: Client, staff: Staff, tally: Tally, log: Log) -> None:
        self._client = client
        self._staff = staff
        self._tally = tally
        self._log = log
        self._pace = Pace()
        self._flights: dict[Any, Flight] = {}  # by key; a task that two workers have is under two keys
        self._bounced: deque[Flight] = deque()
        self._futures = Flights(client)
        self._all_out = False

    def run(self, next_task: Callable[[], Task | None]) -> Generator[tuple[Task, Outcome], None, None]:
        """Yield each task and what became of it, in order of finishing.

        Args:
            next_task: Returns the next task, or None where none can begin now.

        Raises:
            ClusterError: The scheduler is gone, no worker is left for too long, or a task kills workers.
        """
        self._staff.wake = self._futures.wake
        try:
            while True:
                self._check_scheduler()
                self._mourn(self._staff.update())
                self._send(next_task)
                if not self._flights and not self._bounced and self._all_out:
                    return
                results, failed = self._futures.arrivals(LOOK_SECONDS, self._pace.gathering(self._staff.threads))
                self._explain(failed)
                yield from self._take(results)
                self._help_slow()
        finally:
            self._staff.wake = lambda: None
            self._futures.end_all()

    def _send(self, next_task: Callable[[], Task | None]) -> None:
        """Hand out as many tasks as workers will take soon."""
        room = self._pace.flights(self._staff.threads) - len(self._flights)
        flights: list[Flight] = []
        while len(flights) < room and self._bounced:
            flights.append(self._bounced.popleft())
        self._all_out = False
        while len(flights) < room and not self._all_out:
            task = next_task()
            if task is None:
                self._all_out = True
            else:
                flights.append(flight(task, packed(task, self._staff.crew_pass)))
        self._launch(flights)

    def _launch(self, flights: list[Flight]) -> None:
        if not flights:
            return
        workers = list(self._staff.fit) if self._staff.has_strangers else []
        keys = self._futures.send([(each.task, each.pack) for each in flights], workers)
        self._flights.update(zip(keys, flights, strict=True))

    def _take(self, results: dict[Any, bytes]) -> Iterator[tuple[Task, Outcome]]:
        """Yield outcomes of results; of a task that two workers had, the first."""
        for key, result in results.items():
            flown = self._flights.get(key)
            if flown is None:
                continue
            outcome: Outcome = pickle.loads(result)
            if not outcome.checked:
                self._staff.check(outcome.worker)
                self._bounce(key)
                continue
            self._land(key, flown)
            if outcome.fault is not None:
                outcome.fault.error.add_note(
                    f"The worker {outcome.worker} says of the task '{flown.task.name}':\n{outcome.fault.told}"
                )
                raise outcome.fault.error
            pixels = getattr(outcome.value, "pixels", flown.task.pixels)
            self._pace.note(outcome.end - outcome.begin, pixels)
            self._tally.note(self._staff.name(outcome.worker), outcome, pixels)
            yield flown.task, outcome

    def _land(self, key: Any, flown: Flight) -> None:
        """Forget a task, under both keys where two workers have it."""
        for each in (key, flown.twin):
            if each is not None:
                self._flights.pop(each, None)
                self._futures.end(each)

    def _bounce(self, key: Any) -> None:
        """Take a task back that its worker could not even begin; it goes to another."""
        flown = self._flights[key]
        self._land(key, flown)
        again = flight(flown.task, packed(flown.task, self._staff.crew_pass))
        again.deaths = flown.deaths
        self._bounced.append(again)

    def _explain(self, failed: dict[Any, Future[Any]]) -> None:
        """Raise the error for what Dask could not do; a worker without unetkit is none."""
        from distributed import KilledWorker

        for key, future in failed.items():
            flown = self._flights.get(key)
            if flown is None:
                continue
            self._check_scheduler()
            error = future.exception() if future.status == "error" else None
            if isinstance(error, KilledWorker):
                raise self._killer([flown.task.name])
            if isinstance(error, ImportError | AttributeError) and self._staff.has_strangers:
                self._bounce(key)  # the worker cannot unpack the task, as unetkit there is another or none
                continue
            if error is None:
                sleep(LOOK_SECONDS)  # where the scheduler has died, the client learns of its tasks first
                self._check_scheduler()
                raise ClusterError("The scheduler has dropped the tasks of this run.", "Go on with --resume.")
            raise error

    def _mourn(self, losses: Iterable[Loss]) -> None:
        """Count what was lost with workers; Dask gives it to others."""
        for loss in losses:
            had = [each for key, each in self._flights.items() if key in loss.had]
            again = len(had) + len(self._flights.keys() & loss.finished)
            if loss.expected:
                self._tally.note_retired(again)
                continue
            check = self._staff.known.get(loss.address)
            why = why_died(self._client, check)
            self._tally.note_loss(self._staff.name(loss.address), why, again)
            self._log(f"The worker {self._staff.named(loss.address)} died: {why}. Its tasks go to others.")
            for each in had:
                each.deaths += 1
            killers = [each.task.name for each in had if each.deaths >= MOST_DEATHS]
            if killers:
                self._log("\n".join(["Its nanny wrote:", *nanny_lines(self._client, check)]))
                raise self._killer(killers)

    def _killer(self, names: list[str]) -> ClusterError:
        """Return the error for tasks with which too many workers died."""
        named = " or ".join(f"'{name}'" for name in names)
        return ClusterError(
            f"{MOST_DEATHS} workers died while they had the task {named}.",
            "Give workers more memory, or smaller tiles or batches, and look into their logs.",
        )

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise ClusterError("The scheduler of the cluster is gone.", GONE_REMEDY)

    def _help_slow(self) -> None:
        """Give tasks of slow workers to idle ones too, when nothing else is left to hand out."""
        idle = self._staff.threads - len(self._flights)
        if not self._all_out or idle <= 0:
            self._pace.full = monotonic()
            return
        slow = [
            (key, each)
            for key, each in self._flights.items()
            if each.twin is None and self._pace.is_slow(each.since, each.task.pixels)
        ]
        if not slow:
            return
        busy = {key: worker for worker, keys in self._client.processing().items() for key in keys}
        for key, each in slow[:idle]:
            others = [worker for worker in self._staff.fit if worker != busy.get(key)]
            if key in busy and others:
                (each.twin,) = self._futures.send([(each.task, each.pack)], others, only=True)
                self._flights[each.twin] = Flight(each.task, each.pack, monotonic(), each.deaths, key)
                self._tally.note_second()
                self._log(f"{each.task.name}: {self._staff.named(busy[key])} is slow; another worker tries it too.")
