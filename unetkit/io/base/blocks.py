"""Outputs that are written in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageSink, OutputSpec, SharedSink, Window


def is_shared(sink: ImageSink) -> TypeGuard[SharedSink]:
    """Return whether several processes may write blocks of an output at a time."""
    return sink.shared


@contextmanager
def written_in_blocks(sink: ImageSink) -> Iterator[None]:
    """Begin an output whose blocks the body writes; finish it at the end, or abandon it on any error."""
    try:
        sink.begin()
        yield
        sink.finish()
    except BaseException:  # whatever it is, nothing must be left
        sink.abandon()
        raise


def check_block(
    spec: OutputSpec, item: int, window: Window, pixels: NDArray[Any], grid: Sequence[int] | None = None
) -> None:
    """Check that a block fits an output.

    Args:
        spec: The output.
        item: See `ImageSink.write_block`.
        window: See `ImageSink.write_block`.
        pixels: See `ImageSink.write_block`.
        grid: What blocks keep to along each axis, see `ImageSink.block`; None where any will do.

    Raises:
        ValueError: It is not of the output's shape or dtype, lies outside of it, or cuts what is stored as a unit.
    """
    inside = 0 <= item < spec.planes and len(window) == len(spec.size)
    if not inside or not all(0 <= part.start < part.stop <= size for part, size in zip(window, spec.size, strict=True)):
        raise ValueError(f"A block at {window} of item {item} lies outside of {spec}.")
    shape = (spec.channels, *(part.stop - part.start for part in window))
    if pixels.shape != shape or pixels.dtype != spec.dtype:
        raise ValueError(f"A block of {pixels.dtype} has the shape {pixels.shape} instead of {shape} of {spec.dtype}.")
    for part, step, size in zip(window, grid or (), spec.size, strict=grid is not None):
        if part.start % step or (part.stop % step and part.stop != size):
            raise ValueError(f"A block at {window} cuts what is stored as a unit: keep to multiples of {step}.")
