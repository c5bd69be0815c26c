"""Files that are worked on one by one, here or each as a task of a cluster; what comes of them comes in their order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from unetkit.cluster.tasks import Log
from unetkit.foundation.atomic import ClaimedError, when_free
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import UnetkitError

Progress = Callable[[int], None]
"""Called with the number of pixels that were done since its last call."""

Begin = Callable[[str, int], Progress]
"""Called with a name and its number of pixels."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """Where items are worked on, and who hears of it.

    Attributes:
        cluster: See `ClusterOptions`.
        client: A `distributed.Client` in its place.
        log: Called with sentences for people.
        progress: Called with the name of what is worked on and its number of pixels.
    """

    cluster: str | None = None
    client: Any = None
    log: Log = log_nothing
    progress: Begin | None = None

    @property
    def is_here(self) -> bool:
        """Whether this process does all by itself."""
        return self.cluster is None and self.client is None

    def each(
        self,
        do: Callable[[Item, Log, Begin | None], Result],
        items: Sequence[Item],
        name: str,
        *,
        about: Callable[[Item], tuple[str, int]],
        reads: Sequence[Path] = (),
        writes: Sequence[Path] = (),
    ) -> Generator[Result | UnetkitError]:
        """Work on all items; yield the result of each, or its error, in their order, after what it has logged.

        Where the iterator is closed early, items that have not begun are left.

        Args:
            do: Works on one item. For a cluster, a function at the top of a module, or a `partial` of one.
            items: The items. For a cluster their paths are absolute.
            name: Name of all items together, for progress.
            about: Returns the name of an item and its number of pixels; called where there is a cluster.
            reads: What workers must be able to read.
            writes: Outputs, one in each folder that workers must be able to write to.

        Raises:
            ClusterError: The cluster cannot be reached, or a worker cannot read or write a path.
        """
        if not self.is_here:
            yield from self._spread(do, items, name, about, reads, writes)
            return
        for item in items:
            try:
                result: Result | UnetkitError = do(item, self.log, self.progress)
            except UnetkitError as error:
                result = error
            yield result

    def _spread(
        self,
        do: Callable[[Item, Log, Begin | None], Result],
        items: Sequence[Item],
        name: str,
        about: Callable[[Item], tuple[str, int]],
        reads: Sequence[Path],
        writes: Sequence[Path],
    ) -> Generator[Result | UnetkitError]:
        """Make a task of each item, and put what comes of them in order."""
        from unetkit.cluster.connecting import connect

        waiting: dict[int, _Told | UnetkitError] = {}
        turn = 0
        with connect(self.cluster, self.client, log=self.log) as crew:
            crew.check_paths(reads, writes)
            known = [about(item) for item in items]
            pixels = [count for _, count in known]
            advance = self.progress(name, sum(pixels)) if self.progress is not None else _go_on
            tasks = [_Item(do, item) for item in items]
            for index, told in crew.map(_work_on, tasks, names=[name for name, _ in known], pixels=pixels):
                advance(pixels[index])
                waiting[index] = told
                while turn in waiting:
                    yield self._hear(waiting.pop(turn))
                    turn += 1
            for line in crew.summary():
                self.log(line)

    def _hear(self, told: _Told | UnetkitError) -> Any:
        """Log what an item has logged, and return what came of it."""
        if isinstance(told, UnetkitError):
            return told
        for line in told.lines:
            self.log(line)
        return told.result


@dataclass(frozen=True)
class _Item:
    """An item, and what works on it."""

    do: Callable[[Any, Log, Begin | None], Any]
    item: Any


@dataclass(frozen=True)
class _Told:
    """What came of an item on a worker, its result or its error, and what was logged meanwhile."""

    result: Any
    lines: list[str]


def _work_on(task: _Item) -> _Told:
    """Work on one item, on a worker; where its output is being made already, wait for that, then make it again."""

    def once() -> _Told:
        lines: list[str] = []
        try:
            return _Told(task.do(task.item, lines.append, None), lines)
        except ClaimedError:
            raise
        except UnetkitError as error:
            return _Told(error, lines)

    return when_free(once)


def in_common(paths: Iterable[Path]) -> list[Path]:
    """Return what stands for files in a check of paths: a file by itself, or the folders of several."""
    files = list(paths)
    return files if len(files) == 1 else [*dict.fromkeys(path.parent for path in files)]


def _go_on(_: int) -> None:
    """Progress that is not shown."""
