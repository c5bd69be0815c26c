"""What each worker has done: pixels, seconds, what was lost."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class _Worker:
    pixels: int = 0
    seconds: float = 0.0
    tasks: int = 0


@dataclass
class Tally:
    """Counts for the table of workers."""

    _workers: dict[str, _Worker] = field(default_factory=dict)

    def note(self, worker: str, pixels: int, seconds: float) -> None:
        """Count a task that a worker has finished."""
        count = self._workers.setdefault(worker, _Worker())
        count.pixels += pixels
        count.seconds += seconds
        count.tasks += 1

    def lines(self) -> list[str]:
        """Return a line for each worker."""
        return [
            f"{name}: {count.tasks:,} tasks, {count.pixels / 1e6:,.1f} Mpx in {count.seconds:.1f} s, "
            f"{count.pixels / 1e6 / max(count.seconds, 1e-9):.2f} Mpx/s"
            for name, count in self._workers.items()
        ]
