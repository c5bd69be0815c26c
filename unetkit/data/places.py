"""Where the images and masks of a training run are, as its settings name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unetkit.data.drawn import is_drawn, name_classes
from unetkit.data.folders import find_unpaired
from unetkit.data.pairs import Pair, Unpaired, find_pairs
from unetkit.foundation.errors import ConfigError
from unetkit.io.base.inner import file_of
from unetkit.io.masks.color_table import read_color_table


@dataclass(frozen=True)
class Places:
    """Where images and masks are; the fields are the settings of `SegmentationData` of the same names.

    Attributes:
        train: Images to train on.
        masks: Their masks, where `train` does not have them.
        pages: Pages of the stack `train` to use.
        val: Images to validate on; a fraction, or None, where they are taken from `train`.
        val_masks: Masks of `val`.
        val_pages: Pages to validate on, of the stack `val`, or of `train` where `val` names none.
        unpaired: What to do with images without a mask and masks without an image; None for "stop".
        ignore: Value in masks of pixels that nobody has annotated; None if there are none.
        colors: Colours of the classes in the masks, by name, or a file with them; see `read_color_table`.
        spacing: Distances of the pixels of images whose files do not know them; see `ReadOptions`.
    """

    train: str
    masks: str | None = None
    pages: str | None = None
    val: float | str | None = None
    val_masks: str | None = None
    val_pages: str | None = None
    unpaired: Unpaired | None = None
    ignore: int | None = None
    colors: dict[str, Any] | str | None = None
    spacing: str | None = None

    @property
    def names_validation(self) -> bool:
        """Whether images to validate on are named, rather than a fraction of those of `train`."""
        return isinstance(self.val, str) or self.val_pages is not None

    def find(self, dims: Literal[2, 3] = 2) -> list[Pair]:
        """Find the pairs of `train`, planes or volumes; see `find_pairs`."""
        pairs = self._find_train(dims)
        return name_classes(pairs, self._find_named(dims)) if any(map(is_drawn, pairs)) else pairs

    def find_validation(self, dims: Literal[2, 3] = 2) -> list[Pair]:
        """Find the pairs that are named to validate on, see `find_pairs`; none where they are a fraction."""
        pairs = self._find_named(dims)
        return name_classes(pairs, self._find_train(dims)) if any(map(is_drawn, pairs)) else pairs

    def _find_train(self, dims: Literal[2, 3]) -> list[Pair]:
        return self._pairs(dims, self.train, self.masks, self.pages, self.unpaired)

    def _find_named(self, dims: Literal[2, 3]) -> list[Pair]:
        if isinstance(self.val, str):
            return self._pairs(dims, self.val, self.val_masks, self.val_pages, self.unpaired)
        return self._pairs(dims, self.train, self.masks, self.val_pages) if self.names_validation else []

    def _pairs(
        self,
        dims: Literal[2, 3],
        images: str,
        masks: str | None,
        pages: str | None,
        unpaired: Unpaired | None = None,
    ) -> list[Pair]:
        if self.colors is not None and self.ignore is not None:
            raise ConfigError(
                "data.ignore has no meaning beside data.colors.", "Give the colour of what is ignored the name ignore."
            )
        colors = None if self.colors is None else read_color_table(self.colors)
        return find_pairs(
            Path(images), _path(masks), pages, unpaired or "stop", self.ignore, colors, dims, self.spacing
        )

    def left_out(self) -> list[Path]:
        """Return the images without a mask and the masks without an image that are skipped."""
        if self.unpaired != "skip":
            return []
        named = [(self.val, self.val_masks)] if isinstance(self.val, str) else []
        places = [(self.train, self.masks), *named]
        return [path for images, masks in places for path in find_unpaired(Path(images), _path(masks))]


def name_of(data: str) -> str:
    """Return a name for data: that of the folder, or of the file without its suffix."""
    path = file_of(data).resolve()
    return path.name if path.is_dir() else path.stem


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
