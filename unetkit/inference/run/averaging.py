"""The mean of the probabilities of all directions of a volume, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.inference.engine.uncertainty import Spread, normalised_entropy
from unetkit.inference.tiling.options import Output
from unetkit.io.base.blocks import written_in_blocks
from unetkit.io.base.contracts import ImageSink, ImageSource, OutputSpec, Window
from unetkit.io.base.windows import inside, sizes_of
from unetkit.models.masks import to_mask

WINDOW_BYTES = 2**25
"""Most bytes of the probabilities of one direction in a window, unless a block of the output has more."""

BAND_BYTES = 2**27
"""Most bytes of planes that are made at once, unless one has more."""


class Averaged:
    """An output made of several predictions of each voxel, window by window.

    Args:
        sources: The probabilities of each direction, all on the grid of the output.
        output: What is made: "mask", "labels" (as a mask), "probabilities" or "uncertainty".
        threshold: Foreground probability, 0 to 1, from which a voxel is foreground.
        spec: The output.
    """

    def __init__(self, sources: Sequence[ImageSource], output: Output, threshold: float, spec: OutputSpec) -> None:
        self._sources = sources
        self._output = output
        self._threshold = threshold
        self._spec = spec
        self._classes = sources[0].info.channels

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return voxels (channels, d, h, w) of the output."""
        spread = Spread(self._classes) if self._output == "uncertainty" else None
        total = torch.zeros((1, self._classes, *sizes_of(window)))
        for source in self._sources:
            predicted = torch.from_numpy(source.read(item, window))[None]
            total += predicted
            if spread is not None:
                spread.add(predicted, total)
        mean = total / len(self._sources)
        if spread is not None:
            return torch.cat([normalised_entropy(mean), spread.result()], dim=1)[0].numpy()
        if self._output == "probabilities":
            return mean[0].numpy()
        found = to_mask(mean[0].numpy(), self._threshold)[None]
        return found.astype(np.uint8) * np.uint8(255 if self._classes == 1 else 1)

    def bands(self) -> Iterator[NDArray[Any]]:
        """Yield bands (channels, d, height, width) from the start of a volume to its end, volume after volume."""
        spec = self._spec
        depth, *others = spec.size
        itemsize = 1 if self._output == "labels" else spec.dtype.itemsize
        step = max(1, min(depth, BAND_BYTES // (spec.channels * prod(others) * itemsize)))
        for item, front in product(range(spec.planes), range(0, depth, step)):
            whole = (slice(front, min(front + step, depth)), *(slice(0, length) for length in others))
            parts = [(window, self.read(item, window)) for window in self._windows(whole, (1, 1, 1))]
            band = np.empty((len(parts[0][1]), *sizes_of(whole)), parts[0][1].dtype)
            while parts:
                window, pixels = parts.pop()
                band[:, *inside(window, whole)] = pixels
            yield band
            del band  # before the next is made

    def write(self, sink: ImageSink) -> None:
        """Write the output: in blocks where the sink stores them, else from its first plane to its last.

        Raises:
            OutputError: It cannot be written.
        """
        if set(sink.block) == {1}:
            return sink.write(self.bands())
        with written_in_blocks(sink):
            whole = tuple(slice(0, length) for length in self._spec.size)
            for item in range(self._spec.planes):
                for window in self._windows(whole, sink.block):
                    sink.write_block(item, window, self.read(item, window))
        return None

    def _windows(self, whole: Window, block: Sequence[int]) -> Iterator[Window]:
        """Yield a part of a volume in boxes of whole blocks, about as long along each axis."""
        side = max(1, round((WINDOW_BYTES / (4 * self._classes)) ** (1 / 3)))
        steps = [max(1, side // step) * step for step in block]
        yield from product(
            *(
                [slice(at, min(at + step, part.stop)) for at in range(part.start, part.stop, step)]
                for part, step in zip(whole, steps, strict=True)
            )
        )
