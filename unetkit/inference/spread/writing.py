"""How the blocks of a large image become its output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from unetkit.inference.spread import tasks
from unetkit.inference.spread.aside import move_all
from unetkit.inference.spread.blocks import BlockPlace, Blocks
from unetkit.inference.spread.gate import Gate
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.steps import Step
from unetkit.inference.spread.tasks import Spread
from unetkit.io.base.cells import Cells
from unetkit.io.base.contracts import OutputSpec, Piece, SharedSink, Window
from unetkit.io.base.windows import common

Stage = Callable[[], Iterable[Step]]
"""Gives the tasks that can begin when all before are done."""

WRITTEN = 1
"""Priority of what follows blocks: what ends an image makes room for the next."""


class Writing:
    """An output that is written in order, from blocks that wait in a folder.

    Args:
        session: The run.
        spread: The image.
        blocks: Its blocks.
        output: What is written.

    Attributes:
        spread: The image, as workers have to know it.
        finished: Names of the blocks that an earlier run has predicted.
        said: What the outcome says of what was written.
    """

    def __init__(self, session: Session, spread: Spread, blocks: Blocks, output: OutputSpec) -> None:
        self.spread = spread
        self.said: dict[str, Any] = {}
        self._session = session
        self._blocks = blocks
        self.finished = self._find_finished()
        self._output = output
        self._places: dict[Path, Path] = {}

    def stages(self) -> Iterator[Stage]:
        """Yield what follows when all blocks are predicted: each stage when that before is done."""
        yield self._write

    def note(self, place: BlockPlace) -> None:
        """Take note that a block is predicted, for a run that goes on after this one.

        Raises:
            OutputError: The disk is full.
        """
        self.spread.folder.note(place.name)

    def adopt(self, place: BlockPlace) -> None:
        """Take note of a block that another kind of run has predicted before."""
        self.note(place)
        self.finished |= {place.name}

    def predicted(self, place: BlockPlace) -> Iterable[Step]:  # noqa: ARG002
        """Return what can begin now that a block is predicted."""
        return ()

    def finish(self) -> None:
        """Let the output appear.

        Raises:
            OutputError: It cannot be put in its place.
        """
        move_all(self._places)
        self.spread.folder.remove()

    def stop(self, *, useful: bool) -> bool:
        """End without an output, and return whether anything is left to go on from.

        Args:
            useful: Whether what is predicted is of use for a later run.
        """
        folder = self.spread.folder
        begun = bool(folder.notes())
        folder.close()
        if not begun or not useful:
            folder.remove()
        return begun and useful

    def _find_finished(self) -> frozenset[str]:
        """Return the names of the blocks that an earlier run has predicted, and that are still whole."""
        folder, noted = self.spread.folder, {*self.spread.folder.notes()}
        places = (place for item in range(self._blocks.items if noted else 0) for place in self._blocks.of_item(item))
        return frozenset(
            place.name
            for place in places
            if place.name in noted and all(folder.has(place.item, part) for part in self._waiting(place))
        )

    def _waiting(self, place: BlockPlace) -> list[Window]:
        """Return the parts of a predicted block that wait in the folder."""
        return [self._blocks.window(place)]

    def _write(self) -> Iterator[Step]:
        def then(places: dict[Path, Path]) -> None:
            self._places |= places

        yield self._step("written", tasks.write, (self.spread, self._output), then=then)

    def _levels(self, sink: SharedSink) -> Iterator[Stage]:
        """Yield the stages that make the smaller levels of an output of chunks."""
        for level, pieces in enumerate(sink.pieces(), 1):
            yield partial(self._level, level, pieces)

    def _level(self, level: int, pieces: Sequence[Piece]) -> Iterator[Step]:
        for piece in pieces:
            yield self._step(f"level {level}", tasks.shrink, (self._session, self.spread, piece))

    def _step(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...], **more: Any) -> Step:
        """Return a task of this image, which goes before new blocks."""
        job = self.spread.job
        return Step(f"{job.result.name}: {name}", call, arguments, priority=WRITTEN, image=job.image, **more)


class PlacedWriting(Writing):
    """An output of chunks, which workers write in place.

    Chunks that blocks share are written when all these are there. The arguments are those of `Writing`, and `sink`.

    Args:
        session: The run.
        spread: The image.
        blocks: Its blocks.
        output: What is written.
        sink: What begins and finishes the output.
    """

    def __init__(self, session: Session, spread: Spread, blocks: Blocks, output: OutputSpec, sink: SharedSink) -> None:
        self._sink = sink
        self._cells = Cells(blocks.grid.size, blocks.starts, sink.block)
        super().__init__(session, spread, blocks, output)
        self._shared = [*self._cells.shared_cells()]
        self._gate = Gate(self._cells.contributors(cell) for cell in self._shared)

    def stages(self) -> Iterator[Stage]:
        """See `Writing`: the smaller levels, one after the other."""
        yield from self._levels(self._sink)

    def predicted(self, place: BlockPlace) -> Iterable[Step]:
        """See `Writing`: shared chunks whose last block this was are written."""
        for number in self._gate.open(place.item, place.index):
            cell = self._shared[number]
            window, parts = self._cells.cell_window(cell), self._blocks.windows(self._cells.contributors(cell))
            name = f"chunks at {', '.join(f'{part.start:,}' for part in window)}"
            shared = [common(window, part) for part in parts]
            yield self._step(name, tasks.join, (self._session, self.spread, place.item, window, shared))

    def finish(self) -> None:
        """See `Writing`."""
        self._sink.finish()
        self.spread.folder.remove()

    def stop(self, *, useful: bool) -> bool:
        """See `Writing`."""
        left = super().stop(useful=useful)
        if not left:
            self._sink.abandon()
        return left

    def _waiting(self, place: BlockPlace) -> list[Window]:
        """See `Writing`."""
        return [part for _, part in self._cells.shared_parts(place.index)]
