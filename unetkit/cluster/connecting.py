"""The way to a cluster: workers on this machine, or a client that is there already."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from unetkit.cluster.crew import Crew
from unetkit.cluster.tasks import Log
from unetkit.foundation.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

INSTALL = "Run `pip install 'unetkit[distributed]'`."


@contextmanager
def connect(cluster: str | None, client: Any = None, *, log: Log) -> Iterator[Crew]:
    """Reach a cluster, or start one, while the block runs.

    What this starts is closed at the end, on errors too. A client that is given is left open.

    Args:
        cluster: "local:4" for 4 worker processes on this machine. Not needed with a client.
        client: A `distributed.Client` to use instead.
        log: Takes what users should know.

    Yields:
        The crew.

    Raises:
        ClusterError: The text has no meaning, or Dask is not installed.
    """
    if find_spec("distributed") is None:
        raise ClusterError("A cluster needs the package distributed.", INSTALL)
    from distributed import Client

    if client is not None:
        with Client(client.scheduler.address, security=client.security, set_as_default=False) as own:
            yield Crew(own, log)
        return
    match = re.fullmatch(r"local:(\d+)", cluster or "")
    if match is None or not int(match[1]):
        raise ClusterError(f"--cluster '{cluster}' has no meaning.", "Give local:4, for 4 workers on this machine.")
    with _local(int(match[1])) as own:
        yield Crew(own, log)


@contextmanager
def _local(number: int) -> Iterator[Client]:
    from distributed import Client, LocalCluster

    threads = max(1, (os.cpu_count() or 1) // number)
    with (
        LocalCluster(n_workers=number, threads_per_worker=threads, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
