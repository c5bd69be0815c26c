"""Where work is done, as a user says it: plain data that a command's help imports."""

from __future__ import annotations

from dataclasses import dataclass

CLUSTER_HELP = (
    '"local:4" for worker processes on this machine, "local:gpus" for one for each GPU; the address of a Dask '
    'scheduler, such as "tcp://host:8786"; or a .yaml of dask-jobqueue. All read and write the same paths.'
)
"""What may be given, for commands whose options are no dataclasses."""


@dataclass(frozen=True)
class ClusterOptions:
    """Machines.

    Args:
        cluster: Machines that share the work: "local:4" for worker processes on this one, "local:gpus" for one for each
            GPU; the address of a Dask scheduler, such as "tcp://host:8786"; or a .yaml of dask-jobqueue. All read and
            write the same paths.
    """

    cluster: str | None = None


ALONE = ClusterOptions()
"""This process does all by itself."""
