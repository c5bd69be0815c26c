"""`segment` on a crew, for all images of an order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

from unetkit.cluster.crew import Crew
from unetkit.foundation.atomic import make_folder
from unetkit.foundation.errors import UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.image import Begin
from unetkit.inference.run.jobs import Order
from unetkit.inference.run.unfinished import pin_choices, starts_anew
from unetkit.inference.spread.session import WHOLE_OUTPUTS, Session, make_plan, sent_models
from unetkit.inference.spread.work import Found, SegmentWork
from unetkit.inference.tiling.options import SegmentOptions


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
    folder = order.folder or order.result.parent
    if order.folder is not None:
        make_folder(order.folder)
    jobs = [job.absolute for job in left]
    outputs = [path for job in jobs for path in (job.result, *job.new_files) if path.parent.is_dir()]
    crew.check_paths([job.image for job in jobs], outputs)
    if not starts_anew(options.write):
        options = replace(options, tiling=pin_choices(options.tiling, ensemble, [job.result for job in left]))
    with sent_models(ensemble, folder) as models:
        first = replace(order, jobs=((left or order.jobs)[0].absolute,), result=order.result.absolute(), models=None)
        session = Session(uuid4().hex, first, len(left), models, _again(options), verify_seams, large=0)
        if left and options.write.output not in WHOLE_OUTPUTS:
            session = _plan(session, crew, log)
        with closing(SegmentWork(session, order, options, ensemble, crew.workers, found, progress, log)) as work:
            crew.run(work)


def _plan(session: Session, crew: Crew, log: Callable[[str], None]) -> Session:
    """Return the session with a plan, which one worker makes: its device counts."""
    image = session.order.jobs[0].image
    for _, made in crew.map(make_plan, [session], names=[f"{image.name}: plan"]):
        if isinstance(made, UnetkitError):
            raise made
        session = session.planned(made[0])
        for sentence in made[1]:
            log(sentence)
    return session


def _again(options: SegmentOptions) -> SegmentOptions:
    """Return the choices for tasks, which may be done a second time after a worker died.

    That an output is free was checked before. What is there now is of the first time.
    """
    write = options.write
    return replace(options, write=replace(write, overwrite=True, resume=not starts_anew(write)))
