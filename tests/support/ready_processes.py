"""Processes that are forked from one that has loaded torch and unetkit once: loading them takes seconds."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import BaseContext

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Windows has no fork: each process loads for itself there."""

LOADED = ["distributed", "unetkit.inference.spread.tasks", "unetkit.training.segmentation.run"]


def ready_context() -> BaseContext:
    """Return the context of such processes.

    Their variables of the environment are those of the first of them: set others in the process itself.
    """
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(LOADED)
    return context
