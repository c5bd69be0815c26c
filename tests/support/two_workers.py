"""A cluster of two worker processes of one thread each, as a user's program has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.utils import get_mp_context
from ready_processes import METHOD, ready_context


@contextmanager
def two_workers(**more: Any) -> Iterator[Any]:
    """Give a client of the cluster; its workers start as Dask starts them."""
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", **more}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


@contextmanager
def two_ready_workers(**more: Any) -> Iterator[Any]:
    """Give a client of the same cluster; its workers, also those that come later, are `ready_processes`.

    Give variables of their environment as `env`.
    """
    with dask.config.set({"distributed.worker.multiprocessing-method": METHOD}):
        get_mp_context()  # Dask's own list of what is loaded comes first, and is replaced
        ready_context()
        with two_workers(**more) as client:
            yield client
