"""A cluster of two worker processes of one thread each, as a user's program has it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.utils import get_mp_context

LOADED = ("distributed", "unetkit.inference.spread.tasks", "unetkit.inference.segment")
"""Modules that take a worker seconds to load."""


@contextmanager
def two_workers(**more: Any) -> Iterator[Any]:
    """Give a client of the cluster; its workers start as Dask starts them."""
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", **more}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


@contextmanager
def two_ready_workers(**more: Any) -> Iterator[Any]:
    """Give a client of the same cluster; its workers, also those that come later, are forked from one that is ready.

    That process has loaded torch once. Its variables of the environment are those of its own start: give a worker
    others as `env`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        with two_workers(**more) as client:
            yield client
        return
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(list(LOADED))  # after Dask has given its own
        with two_workers(**more) as client:
            yield client
