"""What each worker has done, and what was lost and done again: the table at the end of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from unetkit.cluster.performing import Outcome
from unetkit.foundation.words import count, duration

MOST_SPANS = 64
"""Largest number of separate times of work that are remembered for each worker; a task is shorter than so many."""


@dataclass
class _Worker:
    """Counts of one worker.

    Attributes:
        pixels: Pixels of its tasks.
        tasks: Number of its tasks.
        spans: Times in which it worked, in order and apart, in seconds of its clock.
        past: Seconds of work before these.
    """

    pixels: int = 0
    tasks: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)
    past: float = 0.0

    def work(self, begin: float, end: float) -> None:
        """Add a time of work. Those of several threads overlap, and count once."""
        while self.spans and self.spans[-1][1] >= begin:
            earlier = self.spans.pop()
            begin, end = min(begin, earlier[0]), max(end, earlier[1])
        self.spans.append((begin, end))
        if len(self.spans) > MOST_SPANS:
            first = self.spans.pop(0)
            self.past += first[1] - first[0]

    @property
    def seconds(self) -> float:
        """Seconds in which it worked on at least one task."""
        return self.past + sum(end - begin for begin, end in self.spans)


class Tally:
    """Counts of all workers by their names, also of those that have gone. One that is started again keeps its name."""

    def __init__(self) -> None:
        self._workers: dict[str, _Worker] = {}
        self._died: Counter[tuple[str, str]] = Counter()
        self._again = 0
        self._twice = 0

    def note(self, worker_name: str, outcome: Outcome, pixels: int) -> None:
        """Count a task that a worker has finished."""
        worker = self._workers.setdefault(worker_name, _Worker())
        worker.pixels += pixels
        worker.tasks += 1
        worker.work(outcome.begin, outcome.end)

    def note_loss(self, worker: str, why: str, tasks: int) -> None:
        """Count a worker that died, and the tasks that others do again for it."""
        self._died[worker, why] += 1
        self._again += tasks

    def note_retired(self, tasks: int) -> None:
        """Count tasks that others do again since their worker was retired."""
        self._again += tasks

    def note_second(self) -> None:
        """Count a task that was given to a second worker, as the first was slow."""
        self._twice += 1

    def lines(self) -> list[str]:
        """Return a line for each worker, and one for each kind of loss."""
        lines = [_line(name, worker) for name, worker in sorted(self._workers.items())]
        for (name, why), times in self._died.items():
            lines.append(f"Worker {name} died{f' {times} times' if times > 1 else ''}: {why}.")
        if self._again:
            lines.append(f"{count(self._again, 'task')} of workers that went away {_were(self._again)} done again.")
        if self._twice:
            lines.append(f"{count(self._twice, 'task')} of slow workers {_were(self._twice)} given to others too.")
        return lines


def _line(name: str, worker: _Worker) -> str:
    seconds = worker.seconds
    rate = f", {worker.pixels / 1e6 / seconds:,.1f} Mpx/s" if seconds and worker.pixels else ""
    return f"Worker {name}: {count(worker.tasks, 'task')}, {worker.pixels / 1e6:,.1f} Mpx in {duration(seconds)}{rate}."


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
