"""Blocks of a volume at any place, for a sink whose blocks are of whole chunks."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageSink, OutputSpec, Window
from unetkit.io.views.volume_sink import spec_of_planes
from unetkit.io.writing.block_store import BlockStore


class AlignedBlocks:
    """Keeps blocks on disk until all are there, then hands them on chunk by chunk.

    In memory are the chunks beside each other along the last axis.

    Args:
        sink: The sink, which was begun.
        path: The output, beside which a temporary file is made.
        spec: What is written, in three axes.

    Raises:
        OutputError: The temporary file cannot be made.
    """

    def __init__(self, sink: ImageSink, path: Path, spec: OutputSpec) -> None:
        self._sink = sink
        self._spec = spec
        self._planes = spec_of_planes(spec)
        self._store = BlockStore(path, self._planes, strip_rows=sink.block[1])

    def put(self, item: int, window: Window, pixels: NDArray[Any]) -> None:
        """Keep a block (channels, d, h, w).

        Raises:
            OutputError: The disk is full.
        """
        depths, *inside = window
        for z in range(depths.start, depths.stop):
            self._store.put(item * self._spec.size[0] + z, tuple(inside), pixels[:, z - depths.start])

    def hand_on(self) -> None:
        """Write all blocks to the sink.

        Raises:
            OutputError: The output cannot be written.
        """
        depth, height, width = self._spec.size
        thick, high, _ = self._sink.block
        for item, front, top in product(range(self._spec.planes), range(0, depth, thick), range(0, height, high)):
            planes = range(front, min(front + thick, depth))
            rows = [self._store.strip(item * depth + z, top // high) for z in planes]
            place = slice(front, planes.stop), slice(top, min(top + high, height)), slice(0, width)
            self._sink.write_block(item, place, np.stack(rows, axis=1))

    def close(self) -> None:
        """Delete the temporary file."""
        self._store.close()
