"""`segment` on a crew: which task is next, of all images of an order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unetkit.cluster.tasks import Task
from unetkit.foundation.atomic import claimed
from unetkit.foundation.errors import ConfigError, ModelError, UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.image import Begin, check_results
from unetkit.inference.run.jobs import Job, Order
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.recipe import Recipe, make_recipe
from unetkit.inference.run.unfinished import starts_anew
from unetkit.inference.spread import tasks
from unetkit.inference.spread.blocks import Blocks, block_pixels, cut_blocks
from unetkit.inference.spread.large import LargeImage
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.steps import Step
from unetkit.inference.spread.tasks import Large, Spread, Whole
from unetkit.inference.spread.writing import PlacedWriting, Writing
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.io.base.blocks import is_shared
from unetkit.io.files import create_sink
from unetkit.io.ome_zarr.labels import label_folder
from unetkit.io.writing.block_folder import BlockFolder

Found = Callable[[Job, SegmentOutcome | UnetkitError], None]
"""Called with an image, and what was done with it or why it failed, as soon as that is known."""

LARGE_BLOCKS = 2
"""An image of fewer blocks is the work of one worker."""


@dataclass
class _Spreading:
    """An image that is being spread.

    Attributes:
        job: The image and its output, as they were named.
        image: Its tasks.
        writing: Its output.
        stack: What is released when it ends.
    """

    job: Job
    image: LargeImage
    writing: Writing
    stack: ExitStack


class SegmentWork:
    """All images of an order as work for a crew.

    Args:
        session: The run.
        order: The images.
        options: The user's choices.
        ensemble: The models.
        workers: Number of workers when it begins. Blocks of a few images are small enough to keep all busy.
        found: See `Found`.
        progress: Called with the name of an image and its number of pixels, when that is known.
        log: Called with sentences about what happens.
    """

    def __init__(
        self,
        session: Session,
        order: Order,
        options: SegmentOptions,
        ensemble: Ensemble,
        workers: int,
        found: Found,
        progress: Begin | None,
        log: Callable[[str], None],
    ) -> None:
        self._order = order
        self._options = options
        self._ensemble = ensemble
        self._found = found
        self._progress = progress
        self._log = log
        self._images = len(order.jobs)
        self._workers = workers
        self._jobs = deque(sorted(order.jobs, key=_file_bytes, reverse=True))  # the largest first
        self._spreading: dict[Path, _Spreading] = {}
        self._session = replace(session, large=LARGE_BLOCKS * self._block_pixels(session, 0))

    def next(self) -> Task | None:
        """Return the next task: of the image that was begun first, or the next image."""
        for spreading in [*self._spreading.values()]:
            if (step := self._next_of(spreading)) is not None:
                return step
        if not self._jobs:
            return None
        job = self._jobs.popleft()
        return Step(
            job.image.name,
            tasks.begin,
            (self._session, job.absolute),
            then=lambda result: self._begun(job, result),
            otherwise=lambda error: self._found(job, error),
        )

    def done(self, task: Task, result: Any) -> None:
        """Take the result of a task."""
        assert isinstance(task, Step)
        if task.image is None:
            task.then(result)
        elif (spreading := self._spreading.get(task.image)) is not None:  # none: it has failed meanwhile
            try:
                spreading.image.done(task, result)
            except UnetkitError as error:
                self._fail(spreading, error)

    def failed(self, task: Task, error: UnetkitError) -> None:
        """Take the error of a task; the other images go on.

        Raises:
            ConfigError: What is not possible for one image is so for all.
        """
        assert isinstance(task, Step)
        if isinstance(error, ConfigError):
            raise error
        if task.image is None:
            task.otherwise(error)
        elif (spreading := self._spreading.get(task.image)) is not None:
            self._fail(spreading, error)

    def close(self) -> None:
        """Leave what is unfinished so that another run goes on from there."""
        for spreading in [*self._spreading.values()]:
            self._leave(spreading, useful=True)

    def _next_of(self, spreading: _Spreading) -> Step | None:
        """Return the next task of an image, and take note of what was done when there is none left."""
        try:
            step = spreading.image.next()
        except UnetkitError as error:
            self._fail(spreading, error)
            return None
        outcome = spreading.image.outcome
        if outcome is not None:
            del self._spreading[spreading.image.job.image]
            spreading.stack.close()
            self._found(spreading.job, _named_as(spreading.job, outcome))
        return step

    def _begun(self, job: Job, result: Whole | Large) -> None:
        """Take the outcome of a small image, or spread a large one."""
        for sentence in result.said:
            self._log(sentence)
        if isinstance(result, Whole):
            if self._progress is not None and result.pixels:
                self._progress(job.image.name, result.pixels)(result.pixels)
            self._found(job, _named_as(job, result.outcome))
            return
        try:
            self._spreading[job.absolute.image] = self._spread(job, result)
        except ConfigError:
            raise
        except UnetkitError as error:
            self._found(job, error)

    def _spread(self, named: Job, large: Large) -> _Spreading:
        job = named.absolute
        recipe = make_recipe(self._options, self._ensemble, large.info, self._session.plan, large.image_classes)
        check_results(job, recipe, self._order.folder)
        with ExitStack() as stack:
            stack.enter_context(label_folder(job.result))
            stack.enter_context(claimed(job.result))
            blocks, folder = self._open(job, recipe)
            writing = self._writing(job, recipe, blocks, folder)
            if writing.finished:
                self._log(f"{folder.path} holds finished blocks: going on from there.")
            advance = self._progress(job.image.name, recipe.info.pixels) if self._progress else None
            image = LargeImage(self._session, job, recipe, blocks, writing, large.remarks, advance)
            return _Spreading(named, image, writing, stack.pop_all())

    def _open(self, job: Job, recipe: Recipe) -> tuple[Blocks, BlockFolder]:
        """Return the blocks of an image, and the folder in which they wait, which an earlier run may have begun."""
        plan, anew = recipe.plan, starts_anew(recipe.options.write)
        assert recipe.grid is not None
        assert plan is not None
        before = None if anew else BlockFolder.job_of(job.result)
        pixels = self._block_pixels(self._session, recipe.info.pixels)
        pixels = pixels if before is None else int(before.get("block", pixels))
        blocks = cut_blocks(recipe.grid, recipe.info.planes, pixels, plan.batch, recipe.info.block)
        stored = recipe.job | {"block": pixels}
        folder = BlockFolder.create(job.result, stored) if anew else BlockFolder.resume(job.result, stored)
        return blocks, folder

    def _writing(self, job: Job, recipe: Recipe, blocks: Blocks, folder: BlockFolder) -> Writing:
        """Return how the blocks of an image become its output."""
        waiting = Spread(job, folder)
        if recipe.options.write.output == "labels":
            from unetkit.inference.spread.label_writing import LabelWriting  # here, since only labels need OpenCV

            return LabelWriting(self._session, waiting, blocks, recipe, self._log)
        sink = create_sink(job.result, recipe.output, overwrite=True)  # whether it may be was checked
        if not is_shared(sink):
            return Writing(self._session, waiting, blocks, recipe.output)
        if not folder.notes():
            sink.begin()
        elif not sink.resume():  # what was written in place is gone
            folder = BlockFolder.create(job.result, folder.job)
        placed = Spread(job, folder, recipe.output, tuple(blocks.starts))
        return PlacedWriting(self._session, placed, blocks, recipe.output, sink)

    def _block_pixels(self, session: Session, pixels: int) -> int:
        device = "cpu" if session.plan is None else session.plan.device.type
        return block_pixels(device, pixels, self._images, self._workers)

    def _fail(self, spreading: _Spreading, error: UnetkitError) -> None:
        """Take note of the error of an image that was spread. Predictions of broken models are of no use."""
        self._leave(spreading, useful=not isinstance(error, ModelError), error=error)
        self._found(spreading.job, error)

    def _leave(self, spreading: _Spreading, *, useful: bool, error: UnetkitError | None = None) -> None:
        job = spreading.image.job
        del self._spreading[job.image]
        if spreading.writing.stop(useful=useful):
            place = spreading.writing.spread.folder.path
            self._log(f"What is done is kept in {place}: the same command with --resume goes on from there.")
        left = error or UnetkitError(f"{job.result} is unfinished.", "Run again.")
        spreading.stack.__exit__(type(left), left, None)  # no empty folder must be left


def _named_as(job: Job, outcome: SegmentOutcome) -> SegmentOutcome:
    """Return an outcome with the paths as they were named, and not as workers find them."""
    return replace(outcome, image=job.image, result=job.result, files=(*job.new_files,) if outcome.files else ())


def _file_bytes(job: Job) -> int:
    """Return the size of the file of an image; of a folder, which is an image of chunks, more than of any file."""
    try:
        return 1 << 62 if job.image.is_dir() else job.image.stat().st_size
    except OSError:  # what is wrong is said when it is opened
        return 0
