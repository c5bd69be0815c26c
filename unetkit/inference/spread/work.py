"""`segment` on a crew: which task is next, of all images of an order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unetkit.cluster.tasks import Task
from unetkit.foundation.errors import ClusterError, ConfigError, ModelError, UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.image import Begin, check_results, done_before
from unetkit.inference.run.jobs import Job, Order
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.run.recipe import make_recipe
from unetkit.inference.run.zoom import with_zoom
from unetkit.inference.spread import tasks
from unetkit.inference.spread.aside import move_all
from unetkit.inference.spread.blocks import block_pixels
from unetkit.inference.spread.large import LargeImage
from unetkit.inference.spread.opening import open_output
from unetkit.inference.spread.session import Session
from unetkit.inference.spread.steps import Step
from unetkit.inference.spread.target import Target, as_named
from unetkit.inference.spread.tasks import Large, Whole
from unetkit.inference.spread.writing import Writing
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.io.base.inner import file_of
from unetkit.io.writing.block_reading import LostBlockError

Found = Callable[[Job, SegmentOutcome | UnetkitError], None]
"""Called with an image, and what was done with it or why it failed, as soon as that is known."""

LARGE_BLOCKS = 2
"""An image of fewer blocks is the work of one worker."""

MOST_TARGETS = 500
"""Images that are begun at a time, at most: each holds a lock, which is an open file."""


@dataclass
class _Spreading:
    """An image that is being spread.

    Attributes:
        image: Its tasks.
        writing: Its output.
        target: The image.
    """

    image: LargeImage
    writing: Writing
    target: Target


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
        self._alone: dict[Path, Target] = {}
        self._session = replace(session, large=LARGE_BLOCKS * self._block_pixels(session, 0))

    def next(self) -> Task | None:
        """Return the next task: of the image that was begun first, or the next image."""
        for spreading in [*self._spreading.values()]:
            if (step := self._next_of(spreading)) is not None:
                return step
        while self._jobs and len(self._alone) + len(self._spreading) < MOST_TARGETS:
            if (begun := self._begin(self._jobs.popleft())) is not None:
                return begun
        return None

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
            ClusterError: A worker cannot do what others can.
        """
        assert isinstance(task, Step)
        if isinstance(error, ConfigError | ClusterError):
            raise error
        if task.image is None:
            task.otherwise(error)
        elif (spreading := self._spreading.get(task.image)) is not None:
            self._fail(spreading, error)

    def close(self) -> None:
        """Leave what is unfinished so that another run goes on from there."""
        for spreading in [*self._spreading.values()]:
            self._leave(spreading, useful=True)
        for target in [*self._alone.values()]:
            self._drop(target, _unfinished(target))

    def _begin(self, job: Job) -> Step | None:
        """Return the first task of an image; None if it has none, and what is known of the image is noted."""
        try:
            if job.done:
                self._found(job, done_before(job, ranks=self._order.ranks))
                return None
            target = Target(job, self._options.write, self._log)
        except UnetkitError as error:
            self._found(job, error)
            return None
        self._alone[target.sent.image] = target
        return Step(
            job.image.name,
            tasks.begin,
            (self._session, target.sent, not target.is_begun),
            then=lambda result: self._begun(target, result),
            otherwise=lambda error: self._drop(target, error, tell=True),
        )

    def _next_of(self, spreading: _Spreading) -> Step | None:
        """Return the next task of an image, and take note of what was done when there is none left."""
        try:
            step = spreading.image.next()
        except UnetkitError as error:
            self._fail(spreading, error)
            return None
        outcome = spreading.image.outcome
        if outcome is not None:
            del self._spreading[outcome.image]
            self._end(spreading.target, outcome)
        return step

    def _begun(self, target: Target, result: Whole | Large) -> None:
        """Take the outcome of a small image, or spread a large one."""
        for sentence in result.said:
            self._log(target.named(sentence))
        try:
            if isinstance(result, Large):
                self._spreading[target.sent.image] = self._spread(target, result)
                del self._alone[target.sent.image]
                return
            target.check_free()
            move_all(result.places)
        except ConfigError:
            raise
        except UnetkitError as error:
            self._drop(target, error, tell=True)
            return
        if self._progress is not None and result.pixels:
            self._progress(target.job.image.name, result.pixels)(result.pixels)
        del self._alone[target.sent.image]
        self._end(target, result.outcome)

    def _end(self, target: Target, outcome: SegmentOutcome) -> None:
        """Take note of an image whose output is in its place."""
        target.release()
        self._found(target.job, target.outcome_named(outcome))

    def _drop(self, target: Target, error: UnetkitError, *, tell: bool = False) -> None:
        """Leave an image that was not spread."""
        del self._alone[target.sent.image]
        target.release(error)
        if tell:
            self._found(target.job, as_named(error, target.job))

    def _spread(self, target: Target, large: Large) -> _Spreading:
        job, session = target.sent, self._session
        options = with_zoom(self._options, large.zoom)
        recipe = make_recipe(options, self._ensemble, large.info, session.plan, large.image_classes, large.back)
        check_results(target.job, recipe, self._order.folder)
        pixels = self._block_pixels(session, recipe.info.pixels)
        blocks, writing = open_output(session, job, recipe, pixels, self._log)
        advance = self._progress(job.image.name, recipe.info.pixels) if self._progress else None
        image = LargeImage(session, job, recipe, blocks, writing, large.remarks, advance, target.check_free)
        return _Spreading(image, writing, target)

    def _block_pixels(self, session: Session, pixels: int) -> int:
        device = "cpu" if session.plan is None else session.plan.device.type
        return block_pixels(device, pixels, self._images, self._workers)

    def _fail(self, spreading: _Spreading, error: UnetkitError) -> None:
        """Take note of the error of an image that was spread. Predictions of broken models are of no use."""
        if isinstance(error, LostBlockError) and error.name:
            spreading.writing.spread.folder.forget(error.name)
        self._leave(spreading, useful=not isinstance(error, ModelError), error=error)
        self._found(spreading.target.job, as_named(error, spreading.target.job))

    def _leave(self, spreading: _Spreading, *, useful: bool, error: UnetkitError | None = None) -> None:
        target = spreading.target
        del self._spreading[target.sent.image]
        if spreading.writing.stop(useful=useful):
            place = target.named(str(spreading.writing.spread.folder.path))
            self._log(f"What is done is kept in {place}: the same command with --resume goes on from there.")
        target.release(error or _unfinished(target))


def _unfinished(target: Target) -> UnetkitError:
    return UnetkitError(f"{target.job.result} is unfinished.", "Run again.")


def _file_bytes(job: Job) -> int:
    """Return the size of the file of an image; of a folder, which is an image of chunks, more than of any file."""
    try:
        return 1 << 62 if job.image.is_dir() else file_of(job.image).stat().st_size
    except OSError:  # what is wrong is said when it is opened
        return 0
