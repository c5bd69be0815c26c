"""Tasks that are with Dask: how they get there, and how their results come back, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from unetkit.cluster.performing import perform
from unetkit.cluster.tasks import Task

if TYPE_CHECKING:
    from distributed import Client, Future

    Futures = dict[Any, "Future[Any]"]


@dataclass
class Flight:
    """A task that was handed out.

    Attributes:
        task: The task.
        pack: What the worker gets.
        since: When it was handed out, of `time.monotonic`.
        deaths: Number of workers that died with it.
        twin: Key under which it was given to a second worker.
    """

    task: Task
    pack: bytes
    since: float
    deaths: int = 0
    twin: Any = None


class Flights:
    """Futures of the tasks of one run.

    A future costs Dask about a millisecond, most of it for messages. So tasks go out many in one message, and results
    are fetched many in one.

    Args:
        client: A client of the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop: Any = client.loop
        self._run = uuid4().hex
        self._number = 0
        self._futures: Futures = {}
        self._arrived: SimpleQueue[Any] = SimpleQueue()

    def send(self, tasks: Sequence[tuple[Task, bytes]], workers: list[str], only: bool = False) -> list[Any]:
        """Hand tasks to Dask.

        Args:
            tasks: Tasks and their packs.
            workers: Workers that may run them; all if empty.
            only: Whether no other worker may, even if none of these is left.

        Returns:
            The key of each.
        """
        keys = [self._key(task) for task, _ in tasks]
        for priority, group in groupby(range(len(tasks)), lambda index: tasks[index][0].priority):
            chosen = list(group)
            futures = self._client.map(
                perform,
                [tasks[index][1] for index in chosen],
                key=[keys[index] for index in chosen],
                priority=priority,
                pure=False,
                workers=workers or None,
                allow_other_workers=bool(workers) and not only,
            )
            for future in futures:
                self._futures[future.key] = future
                future.add_done_callback(self._arrived.put)
        return keys

    def wake(self) -> None:
        """End a wait for results now."""
        self._arrived.put(None)

    def arrivals(self, seconds: float, gathering: float) -> tuple[dict[Any, bytes], Futures]:
        """Wait for results, and return what has come.

        Args:
            seconds: Longest time to wait.
            gathering: Time in which more are awaited after the first, so that they travel together.

        Returns:
            Results by key, and futures that have none: of tasks that failed or were dropped.
        """
        try:
            arrived = [self._arrived.get(timeout=seconds)]
        except Empty:
            return {}, {}
        if gathering:
            sleep(gathering)
        while True:
            try:
                arrived.append(self._arrived.get_nowait())
            except Empty:
                break
        return self._sorted(arrived)

    def _sorted(self, arrived: Iterable[Any]) -> tuple[dict[Any, bytes], Futures]:
        results: dict[Any, bytes] = {}
        failed: Futures = {}
        ready: Futures = {}
        for item in arrived:
            if isinstance(item, dict):
                for key, result in item.items():
                    future = self._futures.get(key)
                    if future is not None and result is None:
                        failed[key] = future
                    elif future is not None:
                        results[key] = result
            elif item is not None and item.key in self._futures:
                (failed if item.status in ("error", "cancelled") else ready)[item.key] = item
        if ready:
            self._loop.add_callback(self._fetch, ready)
        return results, failed

    async def _fetch(self, futures: Futures) -> None:
        """Fetch results, in the client's own thread. One whose worker has died meanwhile is made again by Dask."""
        try:
            self._arrived.put(await self._client.gather(futures, errors="skip", asynchronous=True))
        except (OSError, asyncio.CancelledError):  # the scheduler is gone, or the client is being closed
            self._arrived.put(dict.fromkeys(futures))

    def end(self, key: Any) -> None:
        """Forget a task; one that has not begun never will."""
        future = self._futures.pop(key, None)
        if future is not None:
            future.release()

    def end_all(self) -> None:
        """Forget all tasks."""
        for key in list(self._futures):
            self.end(key)

    def _key(self, task: Task) -> tuple[str, int]:
        """Return a new key, by which Dask's dashboard shows the name of the function."""
        self._number += 1
        return f"{getattr(task.call, '__name__', 'task')}-{self._run}", self._number


def flight(task: Task, pack: bytes) -> Flight:
    """Return a flight that begins now."""
    return Flight(task, pack, monotonic())
