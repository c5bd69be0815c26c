"""True objects that were drawn: an annotation file in place of a true mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from unetkit.annotations.classes import names_of, settle_names
from unetkit.annotations.formats import has_annotation_suffix, read_annotations
from unetkit.annotations.objects import Annotations
from unetkit.annotations.source import AnnotationSource
from unetkit.data.drawn import drawn_meaning
from unetkit.data.drawn_files import image_of
from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import ImageSource
from unetkit.io.masks.meaning import Meaning, open_mask
from unetkit.scoring.given import GivenMask


@dataclass(frozen=True, eq=False)
class DrawnTruth(GivenMask):
    """An annotation file to compare with.

    Attributes:
        like: The prediction, whose size is that of the image.
        classes: Names of the classes from 1 on; empty where objects are compared, whatever their class.
    """

    like: Path = Path()
    classes: tuple[str, ...] = ()

    def is_volume(self, source: ImageSource) -> bool:  # noqa: ARG002
        """Return that the objects were drawn in planes."""
        return False

    def anywhere(self) -> Self:
        """Return the file as it is understood in every working folder, not read yet."""
        assert isinstance(self.place, Path)
        return replace(self, place=self.place.absolute(), like=self.like.absolute())

    @cached_property
    def annotations(self) -> Annotations:
        """What was drawn."""
        assert isinstance(self.place, Path)
        return read_annotations(self.place, image_of(self.place, self.like))

    @contextmanager
    def opened(self) -> Iterator[ImageSource]:
        """Draw the objects."""
        with closing(open_mask(self.like)) as source:
            info = source.info
        yield AnnotationSource(self.annotations, info, "classes" if self.classes else "labels", self.classes)

    def decide(self, source: ImageSource, planes: Sequence[int]) -> Meaning:  # noqa: ARG002  # it needs no pixels
        """Return what the values mean: they are those that were drawn."""
        assert isinstance(source, AnnotationSource)
        return drawn_meaning(source, source.notes(source.tally(), ()))

    @property
    def is_numbered(self) -> bool:
        """Whether its objects are known to be numbered."""
        return True


def as_drawn(
    pairs: Sequence[tuple[GivenMask, GivenMask]], classes: int
) -> tuple[list[tuple[GivenMask, GivenMask]], tuple[str, ...]]:
    """Return pairs of prediction and truth, with annotation files read as such, and the names of their classes.

    Args:
        pairs: The pairs.
        classes: Number of mask values, the background included: with more than 2, objects have the number of their
            class, in the order of the names.

    Raises:
        DataError: A file cannot be read, is compared with an array, or there are more classes than that.
    """
    found: list[tuple[GivenMask, GivenMask]] = []
    for prediction, truth in pairs:
        if not isinstance(truth.place, Path) or not has_annotation_suffix(truth.place):
            found.append((prediction, truth))
        elif isinstance(prediction.place, Path):
            found.append((prediction, DrawnTruth(truth.place, truth.role, like=prediction.place)))
        else:
            raise DataError(
                f"{truth.name} is compared with an array, which says nothing of its axes.",
                "Make a mask of it first: unetkit rasterize ANNOTATIONS IMAGE mask.tif.",
            )
    drawn = [truth for _, truth in found if isinstance(truth, DrawnTruth)]
    if not drawn or classes == 2:
        return found, ()
    names = settle_names(set().union(*(names_of(truth.annotations.objects) for truth in drawn)), where="the truth")
    if len(names) >= classes:
        raise DataError(
            f"The truth has the classes {', '.join(names)}, but {classes} are compared, the background included.",
            f"Give classes: {len(names) + 1}.",
        )
    return [
        (prediction, replace(truth, classes=names) if isinstance(truth, DrawnTruth) else truth)
        for prediction, truth in found
    ], names
