"""Tasks to workers, results back: a few tasks for each worker at a time, as fast as they take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from unetkit.cluster.performing import Outcome, packed, perform
from unetkit.cluster.tally import Tally
from unetkit.cluster.tasks import Task

if TYPE_CHECKING:
    from distributed import Client, Future

FLIGHTS_FOR_EACH_THREAD = 3
"""Tasks that are handed out for each thread of a worker, so that it never waits for the client."""


def hand_out(client: Client, next_task: Callable[[], Task | None], tally: Tally) -> Iterator[tuple[Task, Outcome]]:
    """Hand out tasks until none is with a worker and there is no next one.

    Yields:
        Each task and what became of it, in order of finishing.
    """
    flights: dict[str, tuple[Task, Future[Any]]] = {}
    finished: SimpleQueue[Future[Any]] = SimpleQueue()
    run = uuid4().hex
    number = 0
    most = FLIGHTS_FOR_EACH_THREAD * sum(client.nthreads().values())
    try:
        while True:
            while len(flights) < most and (task := next_task()) is not None:
                key = f"unetkit-{run}-{number}"
                number += 1
                future = client.submit(perform, packed(task), key=key, priority=task.priority, pure=False)
                flights[key] = task, future
                future.add_done_callback(finished.put)
            if not flights:
                return
            future = finished.get()
            task, _ = flights.pop(str(future.key))
            outcome = future.result()
            future.release()
            tally.note(outcome.worker, task.pixels, outcome.seconds)
            yield task, outcome
    finally:
        client.cancel([future for _, future in flights.values()])
