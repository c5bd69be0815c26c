"""A label image whose objects come with what is known of them: read once, whatever is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from unetkit.cluster.in_order import Begin, Progress
from unetkit.cluster.tasks import Log
from unetkit.io.files import image_stem, read_notes
from unetkit.measuring.image_file import IntensityFile
from unetkit.measuring.mask_doubt import MaskDoubt
from unetkit.measuring.mask_file import MaskFile
from unetkit.measuring.options import MeasureOptions
from unetkit.objects.collector import Collector
from unetkit.objects.columns import Measurements
from unetkit.objects.frame import Frame
from unetkit.objects.label_file import LabelFile
from unetkit.objects.lookups import Lookup, by_range, constant, read_class_note
from unetkit.objects.measurer import NO_CHANNELS, Channels, Measured, Measurer


class MeasuredFile:
    """A label image, and the image whose intensities are measured in its objects if there is one.

    Args:
        path: The label image.
        image: The image.
        options: What is measured.
        log: Called with sentences for people.

    Attributes:
        name: Path of the label image, for messages.
        frame: The planes or volumes, with the size of a pixel from where it is known.

    Raises:
        UnetkitError: Files cannot be read, do not fit each other, or are no labels; a setting has no meaning for them.
    """

    def __init__(self, path: Path, image: Path | None, options: MeasureOptions, log: Log) -> None:
        self._options = options
        self._log = log
        with ExitStack() as stack:
            self._labels: LabelFile | MaskFile
            self._labels = (
                MaskFile(path, options.axes, options.dims, log)
                if options.connected
                else LabelFile(path, options.axes, options.dims)
            )
            stack.callback(self._labels.close)
            self._image: IntensityFile | None = None
            if image is not None:
                intensities = IntensityFile(image, self._labels, options.channels)
                self._image = stack.enter_context(closing(intensities))
            self.name = self._labels.info.name
            for remark in (*self._labels.info.remarks, *(self._image.info.remarks if self._image is not None else ())):
                log(f"{self.name}: {remark}")
            self.frame = _frame(self._labels, self._image, options, log)
            channels = NO_CHANNELS
            if self._image is not None:
                channels = Channels(
                    self._image.channel_names, options.ring_px(self.frame.pixel_size_um, len(self.frame.size))
                )
            self._extras = _extras(path)
            self._measurer = Measurer(self.frame, channels, self._extras, self._labels.find_last_rows)
            self._files = stack.pop_all()

    def close(self) -> None:
        """Release the files."""
        self._files.close()

    @property
    def empty(self) -> Measurements:
        """All columns of `measured` without rows."""
        return self._measurer.empty(self._labels.dtype, None if self._image is None else self._image.info.dtype)

    def measured(self, progress: Begin | None = None) -> Iterator[Measured]:
        """Yield all objects, plane after plane or volume after volume, each with its measurements."""
        return self._watched(self._measure, progress)

    def unmeasured(self, progress: Begin | None = None) -> Iterator[Measured]:
        """Yield all objects, plane after plane, each with its class at most, which takes less time."""
        return self._watched(self._collect, progress)

    def _watched(
        self, batches: Callable[[int, Progress], Iterator[Measured]], progress: Begin | None
    ) -> Iterator[Measured]:
        """Yield the objects of all planes. At the end, log if they look like a mask."""
        advance = progress(self.name, self.frame.pixels) if progress is not None else _go_on
        doubt = MaskDoubt()
        for plane in range(self.frame.planes):
            for batch in batches(plane, advance):
                doubt.add(batch.objects)
                yield batch
        if not self._options.connected and doubt.text:
            self._log(f"{self.name} {doubt.text}")

    def _measure(self, plane: int, advance: Progress) -> Iterator[Measured]:
        """Push the rows of a plane, and yield what is measured."""
        nothing: Iterator[None] = repeat(None)
        pixels = nothing if self._image is None else self._image.strips(plane)
        for strip, part in zip(self._labels.strips(plane), pixels, strict=False):
            yield from self._measurer.add(strip, part)
            advance(strip.size)

    def _collect(self, plane: int, advance: Progress) -> Iterator[Measured]:
        """Push the rows of a plane, and yield the objects alone."""
        find = self._labels.find_last_rows
        last_rows = None if find is None else find(plane)
        collector = Collector(plane, self.frame.rows, last_rows, self.frame.section)
        for strip in self._labels.strips(plane):
            objects = collector.add(strip)[1]
            if objects is not None:
                yield Measured(objects, {name: lookup(objects.labels) for name, lookup in self._extras.items()})
            advance(strip.size)


def _frame(labels: LabelFile | MaskFile, image: IntensityFile | None, options: MeasureOptions, log: Log) -> Frame:
    """Return the planes, with the size of a pixel from where it is known."""
    frame = labels.frame
    if options.pixel_size_um is not None:
        return replace(frame, pixel_size_um=options.lengths(len(frame.size)))
    if image is None:
        return frame
    own, other = frame.pixel_size_um, image.info.pixel_size_um
    if own is None:
        frame = replace(frame, pixel_size_um=other)
    elif other is not None and not np.allclose(own, other, rtol=0.01):
        sizes = [" x ".join(f"{length:.4g}" for length in one) for one in (own, other)]
        axes = ", ".join("zyx"[-len(own) :])
        log(
            f"{labels.info.name} has pixels of {sizes[0]} µm ({axes}), and {image.info.name} of {sizes[1]} µm: "
            "those of the labels count. --pixel-size-um gives another size."
        )
    if not frame.steps and frame.plane_axes == image.info.plane_axes:
        frame = replace(frame, steps=image.info.steps)
    return frame


def _extras(path: Path) -> dict[str, Lookup]:
    """Return the name of a label image, and the class of each object where unetkit has noted the classes in it."""
    region = {"region": constant(image_stem(path))}
    note = read_notes(path).get("object_classes")
    classes = None if note is None else read_class_note(note)
    return region if classes is None else region | {"class": by_range(*classes)}


def _go_on(_: int) -> None:
    """Progress that is not shown."""
