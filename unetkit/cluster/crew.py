"""The crew: workers of a cluster that take tasks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetkit.cluster.checks import check_scheduler
from unetkit.cluster.handing_out import HandingOut
from unetkit.cluster.needs import Needs, needs_of
from unetkit.cluster.performing import Outcome
from unetkit.cluster.speaking import heard
from unetkit.cluster.staff import Staff
from unetkit.cluster.tally import Tally
from unetkit.cluster.tasks import Log, Task, Work

if TYPE_CHECKING:
    from distributed import Client


class Crew:
    """The workers of a cluster. `unetkit.cluster.connecting.connect` gives one.

    Args:
        client: A client of its own, which nobody else uses.
        patience: Seconds to wait for workers where none is left.
        log: Takes what users should know.

    Raises:
        ClusterError: A worker has other versions than this machine.
    """

    def __init__(self, client: Client, patience: float, log: Log) -> None:
        self._client = client
        self._log = log
        self._tally = Tally()
        self._staff = Staff(client, patience, log)
        check_scheduler(client)
        self._staff.demand(Needs())

    @property
    def workers(self) -> int:
        """Number of workers at present."""
        return len(self._client.nthreads())

    def prepare(self, module: str) -> None:
        """Let all workers of now import a module, and do not wait for it."""
        self._preparing = [
            self._client.submit(_load, module, workers=[worker], key=f"unetkit-{module}-{worker}", priority=100)
            for worker in self._client.nthreads()
        ]

    def run(self, work: Work, progress: Callable[[int], None] | None = None) -> None:
        """Do work: until no task is with a worker and the work has no next one.

        Args:
            work: What gives tasks and takes results, in the thread that calls this.
            progress: Called with the pixels of each task that is finished.

        Raises:
            ClusterError: The scheduler is gone, or a task has lost too many workers.
        """
        with closing(self._hand_out(work.next)) as finished:
            for task, outcome in finished:
                if outcome.error is None:
                    work.done(task, outcome.value)
                else:
                    work.failed(task, outcome.error)
                if progress is not None:
                    progress(task.pixels)

    def map(
        self,
        call: Callable[..., Any],
        items: Sequence[Any],
        *,
        names: Sequence[str],
        pixels: Sequence[int] = (),
    ) -> Iterator[tuple[int, Any]]:
        """Call a function with each item, and yield results in the order in which they are finished.

        Args:
            call: A function of one item, at the top of a module.
            items: The items.
            names: Name of each for people.
            pixels: Number of pixels of each, for the table of workers.

        Yields:
            Index of an item, and its result; an `UnetkitError` where the item is bad input.
        """
        sizes = pixels or [0] * len(items)
        tasks = (
            Task(name, _nth, (call, index, item), size)
            for index, (item, name, size) in enumerate(zip(items, names, sizes, strict=True))
        )
        with closing(self._hand_out(lambda: next(tasks, None))) as finished:
            for task, outcome in finished:
                yield task.arguments[1], outcome.value if outcome.error is None else outcome.error

    @contextmanager
    def heard(self, log: Log) -> Iterator[str]:
        """Log what tasks say (`unetkit.cluster.speaking.speak`) while the block runs; yields the topic to speak to."""
        with heard(self._client, log) as topic:
            yield topic

    def summary(self) -> list[str]:
        """Return a line for each worker: pixels, seconds, Mpx/s; and lines on what was lost and done again."""
        return self._tally.lines()

    def check_paths(self, reads: Iterable[Path], writes: Iterable[Path]) -> None:
        """Check that all workers can read and write where they have to.

        Args:
            reads: Files or folders that workers will read.
            writes: Outputs that workers will write, which need not exist; the folder of each does.

        Raises:
            ClusterError: A worker cannot; the error names worker and path.
        """
        self._staff.demand(needs_of(reads, writes))

    def close(self) -> None:
        """Leave nothing on the workers."""
        self._staff.leave()

    def _hand_out(self, next_task: Callable[[], Task | None]) -> Generator[tuple[Task, Outcome], None, None]:
        return HandingOut(self._client, self._staff, self._tally, self._log).run(next_task)


def _load(module: str) -> None:
    import_module(module)


def _nth(call: Callable[..., Any], _: int, item: Any) -> Any:
    return call(item)
