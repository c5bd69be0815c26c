"""Whether workers can do the work: they see the same files as the client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unetkit.foundation.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client


def check_paths(client: Client, reads: list[Path], writes: list[Path]) -> None:
    """Check that each worker can read files, and write beside outputs.

    Raises:
        ClusterError: A worker cannot.
    """
    for worker, missing in client.run(first_missing, [*reads, *(path.parent for path in writes)]).items():
        if missing is not None:
            raise ClusterError(
                f"The worker {worker} does not see {missing}.",
                "Put it on a path that all workers and this machine see.",
            )


def first_missing(paths: list[Path]) -> Path | None:
    """Return the first path that is not there, on a worker."""
    return next((path for path in paths if not path.exists()), None)
