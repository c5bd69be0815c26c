"""Work on many files at a time in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 8
"""Largest number of threads that work on files."""

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
