"""Windows beside and on each other, in any number of axes."""

from __future__ import annotations

from collections.abc import Iterable

from unetkit.io.base.contracts import Window


def sizes_of(window: Window) -> tuple[int, ...]:
    """Return how many pixels a window has along each axis."""
    return tuple(part.stop - part.start for part in window)


def overlap(one: Window, other: Window) -> bool:
    """Return whether two windows share a pixel."""
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def common(one: Window, other: Window) -> Window:
    """Return what two windows share, which overlap."""
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def inside(part: Window, whole: Window) -> Window:
    """Return where a part of a window lies in the pixels of the window."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True))


def uncovered(window: Window, blocks: Iterable[Window]) -> list[Window]:
    """Return what of a window none of the blocks covers, in windows that do not overlap.

    >>> uncovered((slice(0, 9), slice(0, 9)), [(slice(0, 5), slice(0, 9)), (slice(5, 9), slice(3, 9))])
    [(slice(5, 9, None), slice(0, 3, None))]
    """
    left = [window]
    for block in sorted(blocks, key=lambda one: [part.start for part in one]):  # in order, so that little is in pieces
        left = [rest for part in left for rest in _without(part, block)]
        if not left:
            break
    return left


def _without(window: Window, block: Window) -> list[Window]:
    """Return a window without a block, in windows that do not overlap."""
    if not overlap(window, block):
        return [window]
    parts = []
    for axis, shared in enumerate(common(window, block)):
        for start, stop in ((window[axis].start, shared.start), (shared.stop, window[axis].stop)):
            if start < stop:
                parts.append((*window[:axis], slice(start, stop), *window[axis + 1 :]))
        window = (*window[:axis], shared, *window[axis + 1 :])
    return parts
