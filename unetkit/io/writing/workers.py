"""Threads that encode pixels ahead of the one that writes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

THREADS = 2

WAITING_BYTES = 2**23
"""Pixels that wait for the threads at most."""


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Job = TypeVar("Job", bound=_Sized)
Result = TypeVar("Result")


class Workers:
    """A few threads; leaving the `with` block drops what has not begun and waits for the rest."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="unetkit-encoder")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield the results of `jobs` in their order, working ahead by as many as WAITING_BYTES hold.

        What `work` raises is raised here in place of the result.
        """
        waiting: deque[tuple[Future[Result], int]] = deque()
        waiting_bytes = 0
        for job in jobs:
            waiting.append((self._pool.submit(work, job), job.nbytes))
            waiting_bytes += job.nbytes
            del job  # what it is made of should be gone before the next is
            while waiting_bytes > WAITING_BYTES and len(waiting) > THREADS:
                future, size = waiting.popleft()
                waiting_bytes -= size
                yield future.result()
        while waiting:
            yield waiting.popleft()[0].result()
