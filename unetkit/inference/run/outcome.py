"""The outcome of `segment` for one image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unetkit.inference.checks.seams import Seams
from unetkit.inference.checks.uncertain_fields import Field
from unetkit.io.base.contracts import BadTile
from unetkit.objects.summary import Summary


@dataclass(frozen=True)
class SegmentOutcome:
    """One output of `segment`.

    Attributes:
        image: The image.
        result: The file that was written.
        pixels: Number of pixels of the image; 0 if the result was there already.
        kept: Number of these pixels that an earlier run had predicted, which was resumed.
        seconds: Time that it took.
        plan: Backend, precision, tile, halo and batch, and why.
        tiles: Number of tiles.
        skipped: Tiles that were left out as empty.
        picture: Picture of the tiles that were left out, if there were any.
        bad_tiles: Parts of the image that could not be decoded, and are background.
        objects: Number of objects in all planes, for labels.
        planes: Number of planes of the image.
        min_size: Objects of fewer pixels were left out of labels.
        min_confidence: Objects of a lower confidence were left out of labels; None without a confidence.
        zoom: Pixels that the models saw, along each axis, for one of the image.
        seams: Result of comparing tiles with far more context, if it was asked for.
        image_classes: Probability of each class of the whole image, if the models classify it.
        files: Files that were written of its objects.
        predicted: Predicted class of a whole image, in a table of classes: 1 or 0, or the name of a class.
        remarks: What was logged about the image: how it differs from the training images, what was chosen to read it.
        field: The field of which the models are least sure, where images are ranked by it.
        summary: What the objects amount to, where they are measured.
    """

    image: Path
    result: Path
    pixels: int
    kept: int = 0
    seconds: float = 0.0
    plan: str = ""
    tiles: int = 0
    skipped: int = 0
    picture: Path | None = None
    bad_tiles: tuple[BadTile, ...] = ()
    objects: int | None = None
    planes: int = 1
    min_size: int = 0
    min_confidence: float | None = None
    zoom: float = 1.0
    seams: Seams | None = None
    image_classes: dict[str, float] = dataclasses.field(default_factory=dict)
    files: tuple[Path, ...] = ()
    predicted: str = ""
    remarks: tuple[str, ...] = ()
    field: Field | None = None
    summary: Summary | None = None


class Remarks:
    """Logs sentences on an image, and keeps them.

    Args:
        log: Called with each sentence.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._taken: list[str] = []

    def __call__(self, sentence: str) -> None:
        """Take a sentence."""
        self._taken.append(sentence)
        self._log(sentence)

    @property
    def taken(self) -> tuple[str, ...]:
        """All sentences so far."""
        return tuple(self._taken)
