"""A large image on many workers: which of its tasks can begin, and what follows when they are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

from unetkit.foundation.atomic import beside
from unetkit.inference.checks.skip_empty import draw_skipped
from unetkit.inference.run.inputs import open_for
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.predictor import Progress
from unetkit.inference.run.recipe import Recipe
from unetkit.inference.spread import tasks
from unetkit.inference.spread.blocks import BlockPlace, Blocks
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.steps import Step
from unetkit.inference.spread.tasks import Look, Predicted
from unetkit.inference.spread.writing import Stage, Writing
from unetkit.inference.tiling.grid import Tile
from unetkit.io.base.contracts import BadTile
from unetkit.models.sampling import ValidSource

LOOK_PRIORITY = 2
"""Priority of the measuring of an item, for which all its blocks wait."""


class LargeImage:
    """The tasks of an image that is spread over workers.

    Args:
        session: The run.
        job: The image and its output.
        recipe: The decisions about it.
        blocks: Its blocks.
        writing: How its blocks become the output.
        remarks: What was noticed about it.
        progress: Called with the pixels that are predicted.
        check_free: Raises an OutputError if the output has appeared meanwhile.

    Attributes:
        job: The image and its output.
        outcome: What was done; None until all is.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        recipe: Recipe,
        blocks: Blocks,
        writing: Writing,
        remarks: tuple[str, ...],
        progress: Progress | None,
        check_free: Callable[[], None],
    ) -> None:
        self.job = job
        self.outcome: SegmentOutcome | None = None
        self._session = session
        self._recipe = recipe
        self._blocks = blocks
        self._writing = writing
        self._remarks = remarks
        self._progress = progress
        self._check_free = check_free
        self._begun = monotonic()
        self._kept = 0
        self._flying = 0
        self._finished = writing.finished
        self._ready: deque[Step] = deque()
        self._open: deque[tuple[Look, Iterator[BlockPlace]]] = deque()
        self._source: Iterator[Step] = self._first()
        self._stages = self._all_stages()
        self._said: dict[str, Any] = {}
        self._skipped: list[tuple[int, Tile]] = []
        self._bad: list[BadTile] = []

    def next(self) -> Step | None:
        """Return the next task; None if none can begin before another is done.

        Raises:
            OutputError: The output, which is whole now, cannot be put in its place.
        """
        while True:
            step = self._ready.popleft() if self._ready else self._of_open_item() or next(self._source, None)
            if step is not None:
                self._flying += 1
                return step
            if self._ready:  # what was finished by an earlier run has set more going
                continue
            stage = None if self._flying else next(self._stages, None)
            if stage is None:
                return None
            self._source = iter(stage())

    def done(self, step: Step, result: Any) -> None:
        """Take the result of a task."""
        self._flying -= 1
        step.then(result)

    def _all_stages(self) -> Iterator[Stage]:
        """Yield what follows when all blocks are predicted."""
        yield from self._writing.stages()
        yield self._end
        yield self._report

    def _first(self) -> Iterator[Step]:
        """Yield the tasks that need no other: whole items, and the measuring of items of several blocks."""
        if self._blocks.each == 1:
            for places in self._blocks.tasks():
                if todo := self._not_finished(places):
                    yield self._predict(todo, None)
            return
        for item in range(self._blocks.items):
            if all(place.name in self._finished for place in self._blocks.of_item(item)):
                for place in self._blocks.of_item(item):
                    self._note(place)
                continue
            name = f"{self._name}, plane {item}: measured"
            yield Step(
                name,
                tasks.look,
                (self._session, self._writing.spread, item),
                priority=LOOK_PRIORITY,
                image=self.job.image,
                then=self._opener(item),
            )

    def _opener(self, item: int) -> Callable[[Look], None]:
        return lambda look: self._open.append((look, self._blocks.of_item(item)))

    def _of_open_item(self) -> Step | None:
        """Return the next block of an item that is measured."""
        while self._open:
            look, places = self._open[0]
            for place in places:
                if self._not_finished([place]):
                    return self._predict([place], look)
            self._open.popleft()
        return None

    def _not_finished(self, places: Sequence[BlockPlace]) -> list[BlockPlace]:
        """Return the blocks that are still to be predicted, and take note of those that an earlier run has."""
        todo = [place for place in places if place.name not in self._finished]
        for place in places:
            if place.name in self._finished:
                self._note(place)
        return todo

    def _predict(self, places: Sequence[BlockPlace], look: Look | None) -> Step:
        def then(predicted: Predicted) -> None:
            self._skipped += predicted.skipped
            self._bad += predicted.bad_tiles
            for place in places:
                self._writing.note(place)
                self._ready.extend(self._writing.predicted(place))
            if self._progress is not None:
                self._progress(pixels)

        pixels = sum(self._blocks.block(place).pixels for place in places)
        name = f"{self._name}, {describe(self._blocks, places)}"
        return Step(
            name,
            tasks.predict,
            (self._session, self._writing.spread, tuple(places), look),
            pixels,
            image=self.job.image,
            then=then,
        )

    def _note(self, place: BlockPlace) -> None:
        """Take note of a block that an earlier run has predicted."""
        pixels = self._blocks.block(place).pixels
        self._kept += pixels
        self._ready.extend(self._writing.predicted(place))
        if self._progress is not None:
            self._progress(pixels)

    def _end(self) -> Iterator[Step]:
        """Let the output appear, and look back at it."""
        self._check_free()
        self._writing.finish()
        if self._session.verify_seams:
            yield self._look_back("seams", tasks.verify)
        if self._session.order.ranks:
            yield self._look_back("field", tasks.rank)

    def _look_back(self, name: str, call: Callable[..., Any]) -> Step:
        def then(found: Any) -> None:
            self._said[name] = found

        return Step(
            f"{self._name}: {name}", call, (self._session, self._writing.spread), image=self.job.image, then=then
        )

    def _report(self) -> Iterator[Step]:
        job, recipe = self.job, self._recipe
        self.outcome = SegmentOutcome(
            job.image,
            job.result,
            recipe.pixels,
            kept=round(self._kept / recipe.info.pixels * recipe.pixels),
            seconds=monotonic() - self._begun,
            plan=str(recipe.plan),
            tiles=len(self._blocks.grid) * recipe.info.planes,
            skipped=len(self._skipped),
            picture=self._draw_skipped(),
            bad_tiles=tuple(sorted(set(self._bad), key=lambda bad: (bad.item, bad.start))),
            planes=recipe.info.planes,
            min_size=recipe.min_size or 0,
            min_confidence=recipe.min_confidence,
            zoom=recipe.zoom,
            image_classes=dict(recipe.image_classes),
            files=(*job.new_files,),
            remarks=self._remarks,
            **self._writing.said,
            **self._said,
        )
        return iter(())

    def _draw_skipped(self) -> Path | None:
        if not self._skipped:
            return None
        job = self.job
        shown = job.image.with_name(f"{job.image.name}.{job.result.name}") if job.is_inside else job.result
        picture = beside(shown, ".skipped.png")
        stored = ValidSource(open_for(job.image, self._recipe.ensemble, self._session.options.read)[0])
        with closing(stored.zoomed(self._recipe.zoom)) as source:
            draw_skipped(picture, source, sorted(self._skipped, key=lambda one: (one[0], *_start(one[1]))))
        return picture

    @property
    def _name(self) -> str:
        return self.job.image.name


def describe(blocks: Blocks, places: Sequence[BlockPlace]) -> str:
    """Return where blocks lie, for people.

    A block of whole rows is "rows 0 to 8,192", several items are "planes 0 to 15".
    """
    if blocks.each == 1 and blocks.items > 1:
        return f"planes {places[0].item} to {places[-1].item}"
    window = blocks.window(places[0])
    of_plane = f"plane {places[0].item}, " if blocks.items > 1 else ""
    return (
        of_plane
        + "from "
        + " to ".join(f"({', '.join(f'{getattr(part, end):,}' for part in window)})" for end in ("start", "stop"))
    )


def _start(tile: Tile) -> tuple[int, ...]:
    return tuple(part.start for part in tile.kept)
