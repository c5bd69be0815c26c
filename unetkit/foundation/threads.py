"""Work on many files at a time in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

MOST_THREADS = 8
"""Largest number of threads that work on files."""

POLL_SECONDS = 0.1
"""Time after which a thread that waits for room looks whether it is still needed."""

Item = TypeVar("Item")
Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_threads(work: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
    """Return the result of `work` for each job, in the order of the jobs.

    There is one thread more than processors, and at most `MOST_THREADS`.

    The error of the first job that has one is raised; jobs that have not begun by then are dropped.
    """
    pool = ThreadPoolExecutor(min(MOST_THREADS, (os.cpu_count() or 1) + 1), "unetkit-files")
    try:
        return list(pool.map(work, jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def read_ahead(items: Iterable[Item], most: int = 2) -> Iterator[Item]:
    """Yield items that a thread makes while earlier ones are used.

    An error of the thread is raised where its item would come. When the iterator is closed early, the thread ends after
    the item that it is making.

    Args:
        items: What makes the items.
        most: Largest number of items that wait.
    """
    waiting: Queue[tuple[str, Any]] = Queue(most)
    stop = Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            with suppress(Full):
                waiting.put((kind, value), timeout=POLL_SECONDS)
                return True
        return False

    def fill() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # whatever it is, it is raised where the items are used
            put("error", error)

    thread = Thread(target=fill, name="unetkit-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
