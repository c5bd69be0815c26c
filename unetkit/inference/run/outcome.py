"""What `segment` did with one image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unetkit.inference.checks.seams import Seams
from unetkit.io.base.contracts import BadTile


@dataclass(frozen=True)
class SegmentOutcome:
    """One output of `segment`.

    Attributes:
        image: The image.
        result: The file that was written.
        pixels: Number of pixels of the image; 0 if the result was there already.
        kept: How many of them the run had predicted that was resumed.
        seconds: Time that it took.
        plan: Backend, precision, tile, halo and batch, and why.
        tiles: Number of tiles.
        skipped: Tiles that were left out as empty.
        picture: Picture of what was left out, if there was any.
        bad_tiles: Parts of the image that could not be decoded, and are background.
        objects: Number of objects in all planes, of labels.
        planes: Number of planes of the image.
        min_size: Objects of fewer pixels were left out, of labels.
        min_confidence: Objects that the models were less sure of were left out, of labels; None where they do not say.
        seams: What comparing tiles with far more context gave, if it was asked for.
        image_classes: Probability of each class of the whole image, where the models judge them.
        predicted: What a whole image is judged to show, in a table of classes: 1 or 0, or the name of a class.
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
    seams: Seams | None = None
    image_classes: dict[str, float] = field(default_factory=dict)
    predicted: str = ""
