"""Volumes written to formats that hold planes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from unetkit.io.base.blocks import check_block
from unetkit.io.base.contracts import ImageSink, OutputSpec, Window
from unetkit.io.views.volume import sizes_of_planes


def spec_of_planes(spec: OutputSpec) -> OutputSpec:
    """Return an output of volumes as one of planes: Z is the last of the plane axes. One of planes stays as it is."""
    return spec if len(spec.size) == 2 else replace(spec, **sizes_of_planes(spec))


class VolumeSink:
    """Takes volumes for a sink of planes.

    Args:
        planes: The sink, made for `spec_of_planes(spec)`.
        spec: What is written.
    """

    shared = False

    def __init__(self, planes: ImageSink, spec: OutputSpec) -> None:
        self._planes = planes
        self._spec = spec

    @property
    def block(self) -> tuple[int, ...]:
        """What blocks keep to, along each axis."""
        return (1, *self._planes.block)

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from bands (channels, d, height, width) that follow each other.

        Raises:
            OutputError: The output cannot be written.
        """
        self._planes.write(_planes_of(rows))

    def begin(self) -> None:
        """Begin an output that is written in blocks."""
        self._planes.begin()

    def write_block(self, item: int, window: Window, pixels: NDArray[Any]) -> None:
        """Write one block (channels, d, h, w) of a volume, plane by plane."""
        check_block(self._spec, item, window, pixels)
        depths, *inside = window
        first = item * self._spec.size[0]
        for z in range(depths.start, depths.stop):
            self._planes.write_block(first + z, tuple(inside), pixels[:, z - depths.start])

    def finish(self) -> None:
        """Let the output appear."""
        self._planes.finish()

    def abandon(self) -> None:
        """Remove what was written."""
        self._planes.abandon()


def _planes_of(bands: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield the planes (channels, height, width) of bands (channels, d, height, width)."""
    for band in bands:
        for z in range(band.shape[1]):
            yield band[:, z]
        del band  # before the next is made
