"""How fast tasks go: how many to hand out, how long to wait for more results, which are slow."""

from __future__ import annotations

from math import ceil
from time import monotonic

AHEAD_SECONDS = 0.25
"""Seconds of work that wait beside the task in hand, so that no worker waits for the client."""

MOST_AHEAD = 32
"""Largest number of tasks for each thread that are handed out."""

GATHERING_SECONDS = 0.01
"""Time in which short tasks are gathered, so that many travel in one message."""

MANY = 5.0
"""Number of tasks that finish in that time, from which waiting is worth it; less than what waits beside them."""

SLOW_TIMES = 5.0
"""How many times as long as others a task takes that is slow."""

SLOW_SECONDS = 30.0
"""Time that no task is called slow in."""

ENOUGH = 3
"""Number of finished tasks from which others can be compared with them."""


class Pace:
    """Times of finished tasks.

    Attributes:
        full: When all workers were last busy, of `time.monotonic`. Before that, a task may have waited for a worker.
    """

    def __init__(self) -> None:
        self.full = monotonic()
        self._recent: float | None = None
        self._tasks = 0
        self._pixels = 0
        self._seconds = 0.0

    def note(self, seconds: float, pixels: int) -> None:
        """Take the time of a finished task."""
        self._recent = seconds if self._recent is None else 0.9 * self._recent + 0.1 * seconds
        self._tasks += 1
        self._pixels += pixels
        self._seconds += seconds

    def flights(self, threads: int) -> int:
        """Return how many tasks should be handed out for so many threads: two for each, more of short ones."""
        ahead = 1 if self._recent is None else ceil(AHEAD_SECONDS / max(self._recent, 1e-6))
        return threads * (1 + min(MOST_AHEAD, ahead))

    def gathering(self, threads: int) -> float:
        """Return how long to wait for more results after the first."""
        many = self._recent is not None and threads * GATHERING_SECONDS > MANY * self._recent
        return GATHERING_SECONDS if many else 0.0

    def is_slow(self, since: float, pixels: int) -> bool:
        """Whether a task takes far longer than others of its size.

        Args:
            since: When it was handed out.
            pixels: Its pixels.
        """
        if self._tasks < ENOUGH:
            return False
        usual = self._seconds / self._tasks
        if pixels and self._pixels:
            usual = max(usual, self._seconds / self._pixels * pixels)
        return monotonic() - max(since, self.full) > max(SLOW_SECONDS, SLOW_TIMES * usual)
