"""Why a worker died, and what was said before: its nanny outlives it, and knows."""

from __future__ import annotations

import asyncio
from time import sleep
from typing import TYPE_CHECKING, Any

from unetkit.cluster.checks import Check

if TYPE_CHECKING:
    from distributed import Client

LAST_LINES = 10
"""Lines of a log that are shown."""

TRIES = 5
"""How often a nanny is asked; it may hear of the end of its worker a little later than the scheduler."""

RETRY_SECONDS = 0.1
"""Time between two tries."""

ANSWER_SECONDS = 3.0
"""Time in which a nanny has to answer; none does whose machine is gone."""


def why_died(client: Client, check: Check | None) -> str:
    """Return in a few words why a worker died, as far as its nanny knows.

    Args:
        client: A client of its scheduler.
        check: What was known of the worker; None where it was never checked.
    """
    for _ in range(TRIES if check and check.nanny else 0):
        for line in nanny_lines(client, check):
            if "memory budget" in line:
                return "it used more memory than its limit"
            if "killed by" in line or "exited with" in line:
                return f"its process {line.partition(f'{check.process} ')[2].rstrip('.')}" if check else line
        sleep(RETRY_SECONDS)
    return "its process ended, or its machine is not reached"


def nanny_lines(client: Client, check: Check | None) -> list[str]:
    """Return the last lines that a nanny wrote of a worker's process, the oldest first."""
    if check is None or check.nanny is None:
        return []
    try:
        lines = client.run_on_scheduler(_ask_nanny, check.nanny)
    except OSError:  # the scheduler or the nanny is gone too
        return []
    own = [message for _, message in reversed(lines) if str(check.process) in message]
    return own[-LAST_LINES:]


async def _ask_nanny(nanny: str, dask_scheduler: Any) -> Any:
    """Return the log of a nanny, which the scheduler reaches, and the client may not. Dask passes it by that name."""
    return await asyncio.wait_for(dask_scheduler.rpc(nanny).get_logs(n=100), ANSWER_SECONDS)
