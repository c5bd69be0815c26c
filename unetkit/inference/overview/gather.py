"""Facts and pictures of one image, gathered from its file and its result once this is whole."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from unetkit.drawing.html import layered
from unetkit.drawing.layers import Layer, line_colour, map_layer, outline_layer, probability_layer
from unetkit.drawing.pixels import PREDICTION, Display, to_display
from unetkit.foundation.errors import UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.overview.fields import choose_fields
from unetkit.inference.overview.found import Coarse, Found, Kind, find_edges, last_labels, look_at
from unetkit.inference.overview.image import open_view, read_thumbnail, small_size
from unetkit.inference.run.grids import output_reading
from unetkit.inference.run.inputs import open_input
from unetkit.inference.run.objects import class_names
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.inference.tiling.options import Output, SegmentOptions
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.io.files import open_image
from unetkit.objects.channel_names import as_numbers

LEAST_SHRINK_FOR_FIELDS = 2.5
"""Images that are shrunk more than this, along a side, are also shown in fields at full resolution."""


@dataclass(frozen=True)
class ShownImage:
    """What a page says of one image.

    Attributes:
        outcome: What was done.
        info: The image as it is interpreted; None if it cannot be read any more.
        plane: Number of the plane that is shown.
        found: What was found; None for a table of classes, and where the result cannot be read.
        remarks: Sentences on the image.
        picture: The image with what was found, None without a picture.
        fields: Fields at full resolution, each with its title.
    """

    outcome: SegmentOutcome
    info: ImageInfo | None = None
    plane: int = 0
    found: Found | None = None
    remarks: tuple[str, ...] = ()
    picture: Markup | None = None
    fields: tuple[tuple[str, Markup], ...] = ()


@dataclass(frozen=True)
class Gatherer:
    """Gathers what a page says of each image.

    Attributes:
        ensemble: The models.
        options: The user's choices, with the name of a device that is there.
        side: Longer side of thumbnails, in pixels.
        fields: Most fields at full resolution that are shown of an image.
    """

    ensemble: Ensemble
    options: SegmentOptions
    side: int
    fields: int

    def gather(self, outcome: SegmentOutcome, *, with_picture: bool = True) -> ShownImage:
        """Return what the page says of an image; what cannot be read is said there, and is no error.

        Args:
            outcome: What was done with it, its result being whole.
            with_picture: Whether it is shown.
        """
        remarks = [*outcome.remarks]
        shown = ShownImage(outcome)
        try:
            reading = output_reading(outcome.image, self.ensemble, self.options)
            with closing(open_view(outcome.image, self.ensemble, reading)) as source:
                if not outcome.pixels:  # the run that segmented it has said these
                    open_input(outcome.image, self.ensemble, self.options, remarks.append).close()
                shown = replace(shown, info=source.info, plane=source.info.planes // 2)
                shown = self._look(shown, source, reading, with_picture)
        except UnetkitError as error:
            remarks.append(f"It cannot be shown: {error.problem}")
        return replace(shown, remarks=tuple(remarks))

    def _look(self, shown: ShownImage, source: ImageSource, reading: ReadOptions, with_picture: bool) -> ShownImage:
        """Read the result and the image."""
        outcome, info, plane = shown.outcome, source.info, shown.plane
        size = small_size(info.height, info.width, self.side)
        output, found, coarse, kind = self.options.write.output, None, None, None
        if output != "classes":
            kind = kind_of(output, outcome, self.ensemble)
            depth = info.plane_shape[-1] if self.ensemble.dims == 3 else None
            found, coarse = look_at(outcome.result, kind, info, size, plane, depth)
        if not with_picture:
            return replace(shown, found=found)
        pixels = read_thumbnail(source, outcome.image, self.ensemble, reading, plane, size)
        display = to_display(_finite(pixels))
        if coarse is None or kind is None:
            layer, fields = Layer(PREDICTION, np.zeros(size, np.uint8)), []
        else:
            layer = draw_layer(kind, coarse, display)
            fields = self._show_fields(shown, source, kind, coarse, display)
        name = f"{outcome.image.name}{f', plane {plane}' if info.planes > 1 else ''}"
        return replace(shown, found=found, picture=layered(display, layer, name), fields=tuple(fields))

    def _show_fields(
        self, shown: ShownImage, source: ImageSource, kind: Kind, coarse: Coarse, display: Display
    ) -> list[tuple[str, Markup]]:
        """Return pictures of a few fields at full resolution, if the thumbnail shows too little."""
        size = (source.info.height, source.info.width)
        if coarse.shrink < LEAST_SHRINK_FOR_FIELDS or not self.fields:
            return []
        chosen = choose_fields(coarse, display, size)[: self.fields]
        read = [_finite(source.read(shown.plane, field.window)) for field in chosen]
        pictures = []
        with closing(open_image(shown.outcome.result, WHOLE, as_stored=True)) as result:
            for field, pixels in zip(chosen, read, strict=True):
                values = result.read(shown.plane, field.window)
                place = f"y {field.window[0].start:,}, x {field.window[1].start:,}"
                seen = to_display(pixels, like=read[0])
                layer = draw_layer(kind, full_resolution(kind, values), seen)
                shot = layered(seen, layer, f"{field.title}: {place}")
                pictures.append((f"{field.title} ({place})", shot))
        return pictures


def kind_of(output: Output, outcome: SegmentOutcome, ensemble: Ensemble) -> Kind:
    """Return how the pixels of a result are to be understood.

    Raises:
        ImageError: The result cannot be read.
    """
    if output == "attention":
        probabilities = list(outcome.image_classes.values())
        return Kind(output, channel=int(np.argmax(probabilities)))
    names = class_names(ensemble) if ensemble.classes > 1 and output != "uncertainty" else ()
    last = last_labels(outcome.result, names) if names and output == "labels" else ()
    return Kind(output, names, last=last)


def draw_layer(kind: Kind, coarse: Coarse, display: Display) -> Layer:
    """Return what was found as a layer over the image (h, w, 3)."""
    if coarse.edges is not None:
        covered, edges = float(coarse.shares.sum()), float(coarse.edges.sum())
        diameter = 4 * covered / max(edges, 1e-6) / coarse.shrink  # that of discs, from their area and their outline
        tinted = kind.output == "mask" or len(coarse.shares) > 1
        return outline_layer(
            coarse.shares,
            coarse.edges,
            coarse.shrink,
            diameter=diameter,
            tinted=tinted,
            colour=line_colour(display),
        )
    if kind.output == "probabilities" and len(coarse.shares) > 1:
        return probability_layer(coarse.shares)
    return map_layer(coarse.shares[0])


def full_resolution(kind: Kind, pixels: NDArray[Any]) -> Coarse:
    """Return a window (C, h, w) of a result as it is drawn without shrinking it."""
    shares = np.stack(kind.shares(pixels)).astype(np.float32)
    edges = find_edges(pixels[0], None).astype(np.float32) if kind.has_edges else None
    return Coarse(shares, edges, None, 1.0)


def _finite(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels (C, h, w) without NaN and infinite values, truth values as numbers."""
    return np.nan_to_num(as_numbers(pixels), posinf=0, neginf=0) if pixels.dtype.kind in "bf" else pixels
