"""Loaded first by workers that are started here: Ctrl-C in the terminal is for the command, which ends its workers."""

from __future__ import annotations

import signal


def dask_setup(_: object) -> None:
    """Ignore Ctrl-C, which a terminal sends to all processes of a command. Dask calls this in the worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
