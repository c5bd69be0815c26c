"""The overview while a run goes on: what is done is collected, and the page is written at its end, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from unetkit.foundation.errors import OutputError, UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.jobs import Order
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.tiling.options import SegmentOptions


class Overview(Protocol):
    """Takes note of what a run does."""

    def add(self, outcome: SegmentOutcome) -> None:
        """Take note of an image whose result is whole."""

    def fail(self, error: UnetkitError) -> None:
        """Take note of the error of an image; it names the image."""


class _NoOverview:
    """Of a run without a page."""

    def add(self, outcome: SegmentOutcome) -> None:
        pass

    def fail(self, error: UnetkitError) -> None:
        pass


@contextmanager
def overview_of(
    order: Order, ensemble: Ensemble, options: SegmentOptions, log: Callable[[str], None]
) -> Iterator[Overview]:
    """Give what takes note of the images of a run; the page is written at the end, also of a run that is stopped.

    A page without a single image is not written.

    Args:
        order: The images.
        ensemble: The models.
        options: The user's choices.
        log: Called with sentences for people.

    Raises:
        OutputError: The page cannot be written. If something else has failed, that is only logged.
    """
    place = options.write.report
    if place is None:
        yield _NoOverview()
        return
    from unetkit.inference.overview.page import Collected  # here: only a page needs OpenCV and Jinja

    collected = Collected(order, ensemble, options, datetime.now().astimezone())
    try:
        yield collected
    except BaseException as error:  # Ctrl-C, too
        try:
            if collected.write(place, stopped=error):
                log(f"{place}: an overview of what is done.")
        except OutputError as other:
            log(str(other))
        raise
    try:
        if collected.write(place):
            log(f"{place}: an overview of {'the image' if order.count == 1 else 'all images'}.")
    except OutputError as error:
        if not collected.failed:
            raise
        log(str(error))
