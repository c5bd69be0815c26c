"""The planes around each image of a stack, for a network that sees several at once; masks are those of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.data.pairs import Pair
from unetkit.data.store import ImageStore
from unetkit.io.base.contracts import ImageInfo, Window
from unetkit.io.views.neighbours import lacks_neighbours, planes_around
from unetkit.models.sampling import Holes


class Plane(Protocol):
    """Facts about an image: where it is, what its file says, which of its pixels hold no data."""

    @property
    def pair(self) -> Pair:
        """Where it is."""

    @property
    def info(self) -> ImageInfo:
        """Facts from the image's file."""

    @property
    def holes(self) -> Holes | None:
        """Which of its pixels hold no data; None if all do."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The images of a run with their neighbours in their stacks, by index.

    Attributes:
        store: Pixels of all.
        planes: How many planes are seen at once.
        around: For each image the planes around it, the lowest first, each with its pixels that hold no data.
        alone: How many of the images have no neighbours: their files hold one plane.
    """

    store: ImageStore
    planes: int
    around: Sequence[tuple[tuple[Pair, Holes | None], ...]]
    alone: int

    @classmethod
    def find(cls, store: ImageStore, images: Sequence[Plane], planes: int) -> Neighbours:
        """Find the planes around images, in the whole of their stacks, and decode those that are no images of the run.

        Args:
            store: Where planes are decoded to, as far as there is room.
            images: The images.
            planes: How many planes are seen at once, an odd number. The ends of a stack are repeated.

        Raises:
            ImageError: A file that cannot be read, or NaN or infinite pixels.
        """
        known = {_place(image.pair, image.pair.image_plane or 0): (image.pair, image.holes) for image in images}
        numbers = [planes_around(image.info, image.pair.image_plane or 0, planes) for image in images]
        others = {
            _place(image.pair, number): _unmasked(image.pair, number)
            for image, around in zip(images, numbers, strict=True)
            for number in around
            if _place(image.pair, number) not in known
        }
        holes = store.visit(list(others.values()), lambda decoded: decoded.sample.holes)
        known |= {place: (pair, its) for (place, pair), its in zip(others.items(), holes, strict=True)}
        around = [
            tuple(known[_place(image.pair, number)] for number in each)
            for image, each in zip(images, numbers, strict=True)
        ]
        return cls(store, planes, around, sum(lacks_neighbours(image.info) for image in images))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences for the user on images that have no neighbours."""
        if not self.alone:
            return ()
        what = "The images have" if self.alone == len(self.around) else f"{self.alone} images have"
        return (f"{what} no neighbours, so each is repeated for the {self.planes} planes of the model (model.planes).",)

    def read(self, index: int, window: Window | None = None) -> NDArray[Any]:
        """Return raw pixels (planes * C, h, w) of a window of an image and its neighbours, or of the whole of them."""
        around = self.around[index]
        read = {pair: self.store.read_pixels(pair, window, holes) for pair, holes in dict(around).items()}
        return np.concatenate([read[pair] for pair, _ in around])


def _place(pair: Pair, number: int) -> tuple[Path, str | None, int]:
    return pair.image, pair.image_axes, number


def _unmasked(pair: Pair, number: int) -> Pair:
    """Return a plane of the file of an image, without its mask."""
    return Pair(f"{pair.name} beside plane {number}", pair.image, None, number, image_axes=pair.image_axes)
