"""The image whose intensities are measured in the objects of a label image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unetkit.foundation.errors import DataError, UnetkitError
from unetkit.foundation.threads import read_ahead
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo, ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.views.volume import VolumeSource, as_planes
from unetkit.measuring.mask_file import MaskFile
from unetkit.objects.channel_names import as_numbers, name_channels
from unetkit.objects.label_file import LabelFile, open_by_strips


class IntensityFile:
    """An image that fits a label image.

    Args:
        path: The image.
        labels: The label image.
        channels: Channels to read, see `ReadOptions`; all by default.

    Attributes:
        info: Facts from the file.

    Raises:
        ImageError: The file cannot be read, or has no such channel.
        DataError: It has other planes or another size than the labels, or can be no volume as these are.
    """

    def __init__(self, path: str | Path, labels: LabelFile | MaskFile, channels: str | None = None) -> None:
        deep = len(labels.info.size) == 3
        self._source: ImageSource = open_by_strips(path, ReadOptions(channels=channels), deep=deep)
        self._rows = labels.rows
        if axes := _axes_of_channels(self._source.info, labels.info):
            self._source.close()
            self._source = open_by_strips(path, ReadOptions(channels=channels, axes=axes), deep=deep)
        try:
            if deep:
                self._source = VolumeSource(self._source)
            self.info: ImageInfo = self._source.info
            _check_fit(self.info, labels.info)
        except UnetkitError:
            self.close()
            raise

    def close(self) -> None:
        """Release the file."""
        self._source.close()

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, for columns: those of the file, the colours, `intensity`, or `channel_0` and on."""
        return name_channels(self.info)

    def strips(self, plane: int) -> Iterator[NDArray[Any]]:
        """Yield the pixels (C, h, width) or (C, d, ...) of each strip of the labels; a thread reads ahead."""
        others = tuple(slice(0, extent) for extent in self.info.size[1:])
        yield from read_ahead(as_numbers(self._source.read(plane, (rows, *others))) for rows in self._rows)


def _axes_of_channels(image: ImageInfo, labels: ImageInfo) -> str | None:
    """Return other axes of an image whose one axis without a name is its channels, since the labels do not have it."""
    unnamed = [axis for axis in image.plane_axes if axis in UNNAMED_AXES]
    labels = as_planes(labels) if len(labels.size) == 3 else labels
    if image.planes == labels.planes or labels.planes != 1 or len(image.plane_axes) != 1 or not unnamed:
        return None
    return image.axes.replace(unnamed[0], "S" if "C" in image.axes else "C")


def _check_fit(image: ImageInfo, labels: ImageInfo) -> None:
    """Raise a DataError if an image and labels differ in size or planes."""
    if image.size != labels.size:
        sizes = [" x ".join(map(str, one.size)) for one in (labels, image)]
        raise DataError(
            f"{labels.name} has {sizes[0]} pixels, but {image.name} {sizes[1]}.",
            "Give the image that the labels were made of, at the same level.",
        )
    if image.planes != labels.planes:
        words = [f"{one.planes} plane{'s' if one.planes > 1 else ''} (axes {one.axes})" for one in (labels, image)]
        raise DataError(
            f"{labels.name} has {words[0]}, but {image.name} has {words[1]}.",
            "Give the image that the labels were made of, with all its planes.",
        )
