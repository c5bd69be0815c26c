"""The page of all images of a run: what is collected, and how it is written."""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from unetkit.drawing.html import write_page
from unetkit.foundation.errors import UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.overview.gather import Gatherer, ShownImage
from unetkit.inference.overview.statistics import Statistics
from unetkit.inference.overview.values import describe_run, describe_stop, page_values
from unetkit.inference.run.command import whole_command
from unetkit.inference.run.jobs import Order
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.inference.tuning.device import choose_device
from unetkit.models.builtin_models import builtin_folder, short_name

SIDES = ((1, 1000), (100, 352), (400, 224))
"""Longer side of thumbnails in pixels, up to a number of images."""

SMALLEST_SIDE = 128

FIELDS = ((1, 4), (20, 3), (50, 1))
"""Most fields at full resolution that are shown of an image, up to a number of images."""

MOST_PICTURES = 400
"""Most images that are shown as pictures."""

MOST_KEPT = 5000
"""Most pictures of which those are chosen; of more images only each second, third ... is kept."""


class Collected:
    """What a run has done so far, ready to be written at any time.

    Args:
        order: The images.
        ensemble: The models.
        options: The user's choices.
        begun: When the run began.

    Attributes:
        failed: The errors of the images that failed.
    """

    def __init__(self, order: Order, ensemble: Ensemble, options: SegmentOptions, begun: datetime) -> None:
        self._order, self._ensemble, self._options, self._begun = order, ensemble, options, begun
        self._shown: list[ShownImage] = []
        self.failed: list[UnetkitError] = []
        device = str(choose_device(options.tiling.device))
        self._gatherer = Gatherer(
            ensemble,
            replace(options, tiling=replace(options.tiling, device=device)),
            side=_up_to(order.count, SIDES, SMALLEST_SIDE),
            fields=_up_to(order.count, FIELDS, 0),
        )
        images = order.images or [job.image for job in order.jobs]
        self._place = {image: number for number, image in enumerate(images)}
        self._files = {job.image: job.files for job in order.jobs}

    def add(self, outcome: SegmentOutcome) -> None:
        """Take note of an image whose result is whole."""
        every = -(-self._order.count // MOST_KEPT)
        is_kept = len(self._shown) % every == 0
        outcome = replace(outcome, files=tuple(self._files.get(outcome.image, ())))
        shown = self._gatherer.gather(outcome, with_picture=is_kept)
        insort(self._shown, shown, key=lambda one: self._place[one.outcome.image])  # a cluster ends in any order

    def fail(self, error: UnetkitError) -> None:
        """Take note of the error of an image; it names the image."""
        self.failed.append(error)

    def write(self, page: Path, stopped: BaseException | None = None) -> bool:
        """Write the page, unless no image is done; return whether it was written.

        Args:
            page: Where to.
            stopped: What ended the run before all images were done.

        Raises:
            OutputError: It cannot be written.
        """
        if not self._shown:
            return False
        statistics = Statistics(self._shown, self._options.write.output, self._ensemble.dims)
        names = [segmenter.name for segmenter in self._ensemble.segmenters]
        models = [short_name(name) if Path(name).parent == builtin_folder() else name for name in names]
        command = whole_command(
            self._order.words[:-1], self._order.words[-1], models, self._options, self._order.cluster
        )
        values = page_values(statistics, page.parent, MOST_PICTURES, self._order.count)
        write_page(
            page,
            "segmented.html",
            **values,
            failed=[(error.problem, error.remedy) for error in self.failed],
            stopped=None if stopped is None else describe_stop(stopped, len(self._shown), self._order.count),
            go_on=None if stopped is None else self._go_on(command),
            run=describe_run(self._shown, self._ensemble, self._options, self._begun) | {"command": command},
        )
        return True

    def _go_on(self, command: str) -> tuple[str, str]:
        """Return the command that goes on, and a sentence on it."""
        write = self._options.write
        if write.output in ("classes", "attention"):
            again = command if write.overwrite else f"{command} --overwrite"
            return again, f"The output '{write.output}' begins anew."
        resumed = command if write.resume else f"{command} --resume"
        if write.overwrite:
            return resumed, "Because of --overwrite it makes the finished results anew, too."
        return resumed, "It leaves out what is done, and goes on in the image that was not finished."


def _up_to(count: int, table: tuple[tuple[int, int], ...], otherwise: int) -> int:
    """Return the entry of the first row whose number is not smaller than `count`."""
    return next((value for most, value in table if count <= most), otherwise)
