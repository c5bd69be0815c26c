"""What the logs of workers and of their nannies say about a worker that died."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

LAST_LINES = 10
"""Lines of each log that are shown."""

MEMORY_WORD = "memory budget"
"""What Dask's nanny writes of a worker that it kills for its memory."""


def why_died(client: Client, worker: str) -> str:
    """Return in a few words why a worker died, as far as a nanny that is still there knows it."""
    for line in _lines(client, nanny=True):
        if worker in line and MEMORY_WORD in line:
            return "it used more memory than its limit"
    return "its process ended"


def last_lines(client: Client) -> str:
    """Return the last lines of the logs of workers that are there, and of their nannies, which outlive workers."""
    lines = [*_lines(client, nanny=True)[-LAST_LINES:], *_lines(client, nanny=False)[-LAST_LINES:]]
    return "\n".join(lines) or "(no log is left)"


def _lines(client: Client, nanny: bool) -> list[str]:
    """Return the lines of all workers or nannies that answer, without repetitions."""
    try:
        logs = client.get_worker_logs(nanny=nanny)
    except (OSError, ValueError):  # workers without nannies, or the scheduler is gone: what is known is told anyway
        return []
    told = (f"{worker}: {message}" for worker, lines in logs.items() for _, message in reversed(lines))
    return list(dict.fromkeys(told))
