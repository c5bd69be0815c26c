"""The masks that are compared: files or arrays, and what their values mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unetkit.data.pairs import parse_pages
from unetkit.foundation.errors import DataError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.axes import guess_axes
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.files import image_stem
from unetkit.io.masks.meaning import CUT, Meaning, decide_file, open_mask
from unetkit.io.masks.rules import Above, AsIs
from unetkit.io.volumes import dims_of

LABELS_REMEDY = "Give whole numbers, one for each object and 0 for background (`segment --output labels` writes them)."


@dataclass(frozen=True, eq=False)
class GivenMask:
    """A mask to compare, not opened yet.

    Attributes:
        place: Its file, or the array itself.
        role: "prediction" or "truth".
        ignore: Value of pixels that nobody has annotated; None if there are none.
    """

    place: Path | NDArray[Any]
    role: str
    ignore: int | None = None

    @property
    def name(self) -> str:
        """Name for messages: that of its file."""
        return self.place.name if isinstance(self.place, Path) else f"the {self.role}"

    @property
    def row(self) -> str:
        """Name of its row in the results."""
        return image_stem(self.place) if isinstance(self.place, Path) else "array"

    @property
    def is_numbered(self) -> bool:
        """Whether its objects are known to be numbered."""
        return False

    def is_volume(self, source: ImageSource) -> bool:
        """Return whether its file says that its planes are volumes, given what `opened` gave."""
        return dims_of(source.info, self.place if isinstance(self.place, Path) else None) == 3

    def anywhere(self) -> Self:
        """Return the mask as it is understood in every working folder."""
        return replace(self, place=self.place.absolute()) if isinstance(self.place, Path) else self

    def decide(self, source: ImageSource, planes: Sequence[int]) -> Meaning:
        """Decide what the values of some planes mean.

        Args:
            source: What `opened` gave.
            planes: The planes.
        """
        return decide_file(source, planes, self.ignore)

    @contextmanager
    def opened(self) -> Iterator[ImageSource]:
        """Open the mask for as long as the block runs."""
        if isinstance(self.place, Path):
            with closing(open_mask(self.place)) as source:
                yield source
        else:
            yield ArraySource(self.place, guess_axes(self.place.shape), f"The {self.role}")


def as_array(given: ArrayLike, role: str) -> NDArray[Any]:
    """Return an array of numbers.

    Raises:
        DataError: The argument is no such array.
    """
    remedy = "Give a path, or an array of numbers (height, width), or (planes, height, width) for several planes."
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"The {role} is no array ({str(error).splitlines()[0].rstrip('.')}).", remedy) from error
    if array.dtype.kind not in "buif" or array.ndim < 2 or not array.size:
        raise DataError(f"The {role} is an array of {array.dtype} with the shape {array.shape}.", remedy)
    return array.view(np.uint8) if array.dtype == np.bool_ else array


@dataclass(frozen=True, eq=False)
class OpenMask:
    """A mask that is read.

    Attributes:
        given: The mask before it was opened.
        source: Its pixels.
        meaning: What its values mean.
    """

    given: GivenMask
    source: ImageSource
    meaning: Meaning

    @property
    def info(self) -> ImageInfo:
        """Facts from its file."""
        return self.source.info

    def labels(self, plane: int, rows: slice) -> NDArray[Any]:
        """Return the labels (h, w) of some rows of a plane, `IGNORED` where nobody has annotated."""
        return self.meaning.labels(self.source.read(plane, (rows, slice(0, self.info.width))))

    def above(self, plane: int, rows: slice, threshold: float) -> NDArray[np.bool_]:
        """Return (h, w) where the values of some rows of a plane are above a threshold."""
        values = self.meaning.values(self.source.read(plane, (rows, slice(0, self.info.width))))
        found: NDArray[np.bool_] = values > threshold
        return found


def choose_planes(info: ImageInfo, pages: str | None) -> Sequence[int]:
    """Return the planes of a mask to compare."""
    return range(info.planes) if pages is None else parse_pages(pages, info.planes, Path(info.name))


@contextmanager
def understood(given: GivenMask, pages: str | None) -> Iterator[OpenMask]:
    """Open a mask and decide what the values of its chosen planes mean."""
    with given.opened() as source:
        yield OpenMask(given, source, given.decide(source, choose_planes(source.info, pages)))


def check_threshold(mask: OpenMask) -> None:
    """Raise a DataError if a threshold has no meaning for a mask."""
    if mask.meaning.shape or not isinstance(mask.meaning.rule, (AsIs, Above)):
        raise DataError(
            f"A threshold has no meaning for {mask.info.name}. {mask.meaning.taken or 'It has a palette of colours'}.",
            "Leave the threshold out.",
        )


def check_numbers(mask: OpenMask) -> None:
    """Raise a DataError if the values of a mask are cut at a threshold, so that they number no objects."""
    if mask.meaning.kind in CUT:
        raise DataError(
            f"{mask.info.name} holds {mask.info.dtype} values, not instance labels. {mask.meaning.taken}.",
            LABELS_REMEDY,
        )
