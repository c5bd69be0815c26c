"""`segment` on a crew, for all images of an order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from unetkit.cluster.crew import Crew
from unetkit.cluster.in_order import in_common
from unetkit.foundation.atomic import make_folder
from unetkit.foundation.errors import ImageError, UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.image import Begin
from unetkit.inference.run.jobs import Job, Order
from unetkit.inference.run.unfinished import pin_choices, starts_anew
from unetkit.inference.spread.session import WHOLE_OUTPUTS, Session, make_plan, sent_models
from unetkit.inference.spread.target import as_named
from unetkit.inference.spread.work import Found, SegmentWork
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.io.base.inner import file_of


def spread_order(
    order: Order,
    ensemble: Ensemble,
    options: SegmentOptions,
    crew: Crew,
    found: Found,
    *,
    progress: Begin | None,
    log: Callable[[str], None],
    verify_seams: bool,
) -> None:
    """Segment the images of an order on a crew. The results are those of one machine.

    Args:
        order: The images.
        ensemble: The models, loaded.
        options: The user's choices.
        crew: The workers.
        found: Called with each image as it is done.
        progress: Called with the name of an image and its number of pixels, when that is known.
        log: Called with sentences about what happens.
        verify_seams: See `unetkit.segment`.

    Raises:
        ConfigError: A choice is not possible.
        ClusterError: Workers do not see the files, or are gone.
    """
    left = [job for job in order.jobs if not job.done]
    folder = (order.folder or order.result.parent).absolute()
    with _made(order.folder):
        sent = [job.absolute for job in left]
        crew.check_paths(in_common(file_of(job.image) for job in sent), [_place(job) for job in sent[:1]])
        if not starts_anew(options.write):
            options = replace(options, tiling=pin_choices(options.tiling, ensemble, [job.result for job in left]))
        with sent_models(ensemble, folder) as models:
            crew.check_paths([model.file for model in models if model.file.is_absolute()], [])
            session = Session(uuid4().hex, order, len(left), models, _again(options), verify_seams, large=0)
            planned = _plan(session, left, crew, found, log)
            if planned is None:  # no image can be read
                planned, order = session, replace(order, jobs=tuple(job for job in order.jobs if job.done))
            with closing(SegmentWork(planned, order, options, ensemble, crew.workers, found, progress, log)) as work:
                crew.run(work)


def _plan(
    session: Session, jobs: Sequence[Job], crew: Crew, found: Found, log: Callable[[str], None]
) -> Session | None:
    """Return the session with a plan, which one worker makes: its device counts.

    It is made for the first image that can be read. What is wrong with those before it is said when their turn comes;
    if there is none, here, and None is returned.
    """
    failed: list[tuple[Job, UnetkitError]] = []
    for job in jobs:
        session = session.beginning_with(job.absolute)
        if session.options.write.output in WHOLE_OUTPUTS:
            return session
        ((_, made),) = crew.map(make_plan, [session], names=[f"{job.image.name}: plan"])
        if isinstance(made, ImageError):
            failed.append((job, as_named(made, job)))
            continue
        if isinstance(made, UnetkitError):
            raise made
        plan, int8, specs, said = made
        for sentence in said:
            log(sentence)
        return session.planned(plan, int8, specs)
    for job, error in failed:
        found(job, error)
    return None


def _place(job: Job) -> Path:
    """Return where an output goes, in a folder that is there: that of labels inside an image need not be yet."""
    return next(folder for folder in job.result.parents if folder.is_dir()) / job.result.name


@contextmanager
def _made(folder: Path | None) -> Iterator[None]:
    """Make the folder of the outputs while the block runs; it stays if anything lies in it."""
    new = folder is not None and not folder.exists()
    if folder is not None:
        make_folder(folder)
    try:
        yield
    finally:
        if new and folder is not None:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _again(options: SegmentOptions) -> SegmentOptions:
    """Return the choices for tasks, which may be done a second time after a worker died.

    That an output is free is checked by the client, which also goes on from what an earlier run left.
    """
    return replace(options, write=replace(options.write, overwrite=True, resume=False))
