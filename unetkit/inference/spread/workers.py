"""The workers of a run of `segment`. It imports neither PyTorch nor Dask, so that workers load PyTorch meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unetkit.cluster.crew import Crew


@contextmanager
def workers_of(cluster: str | None, client: Any, log: Callable[[str], None]) -> Iterator[Crew | None]:
    """Give the workers of a cluster, which get ready meanwhile; None where there is none.

    Args:
        cluster: See `unetkit.cluster.options.ClusterOptions`.
        client: A `distributed.Client` in its place.
        log: Called with sentences for people.

    Raises:
        ClusterError: The cluster cannot be reached.
    """
    if cluster is None and client is None:
        yield None
        return
    from unetkit.cluster.connecting import connect

    with connect(cluster, client, log=log) as crew:
        crew.prepare("unetkit.inference.spread.tasks")
        yield crew
        for line in crew.summary():
            log(line)
