"""Probabilities of the directions of a volume, on disk until all are there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import beside, cannot_write, shared_file
from unetkit.io.base.contracts import BadTile, ImageInfo, Window
from unetkit.io.writing.same_job import check_same_job, job_to_json

CHUNK = 64
"""Side of a chunk. All directions are read in boxes at the end, so chunks are cubes."""

BUFFER_BYTES = 2**27
"""Most bytes of planes that wait until a chunk is full, unless one band has more."""

STATE_FILE = "state.json"

ENDING = ".directions"


class DirectionStore:
    """A folder beside an output with the probabilities of each direction, each on its own grid.

    What is finished is counted in groups of bands. A run that was killed goes on after the last whole group.

    Args:
        output: The output.
        job: All that decides what the folder holds, in values that JSON knows.
        infos: The volumes of each direction.
        classes: Channels of the probabilities.

    Attributes:
        path: The folder.
    """

    def __init__(self, output: Path, job: dict[str, Any], infos: Sequence[ImageInfo], classes: int) -> None:
        self.path = beside(output, ENDING)
        self._job = json.loads(job_to_json(job))
        self._infos = infos
        self._classes = classes
        self._done = [0] * len(infos)
        self._arrays: list[Any] = []

    @staticmethod
    def job_of(output: Path) -> dict[str, Any] | None:
        """Return the job of what an earlier run left beside an output; None if there is nothing."""
        state = _read_state(beside(output, ENDING))
        return None if state is None else state["job"]

    def begin(self, *, anew: bool) -> bool:
        """Go on with what an earlier run left, or begin.

        Args:
            anew: Whether what an earlier run left is replaced.

        Returns:
            Whether there was something to go on with.

        Raises:
            OutputError: What is there is of another run, or cannot be written.
        """
        import zarr

        stored = None if anew else _read_state(self.path)
        if stored is not None:
            check_same_job(self.path, stored["job"], self._job)
            self._done = list(stored["done"])
        try:
            if stored is None:
                self.remove()
                self.path.mkdir()
            group = zarr.open_group(self.path, mode="a")
            self._arrays = [
                group[str(number)] if stored is not None else self._create(group, number, info)
                for number, info in enumerate(self._infos)
            ]
            self._write_state()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return any(self._done)

    def done(self, direction: int) -> int:
        """Return how many groups of bands of a direction are finished."""
        return self._done[direction]

    def put(self, direction: int, item: int, window: Window, pixels: NDArray[np.float32]) -> None:
        """Write a group of bands (C, d, h, w), the next one of a direction.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            self._arrays[direction][(item, slice(None), *window)] = pixels
            self._done[direction] += 1
            self._write_state()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def source(self, direction: int) -> StoredVolume:
        """Return the probabilities of a direction as an image of volumes."""
        return StoredVolume(self._arrays[direction], self._infos[direction], self._classes)

    def remove(self) -> None:
        """Delete the folder."""
        self._arrays = []
        shutil.rmtree(self.path, ignore_errors=True)

    def _create(self, group: Any, number: int, info: ImageInfo) -> Any:
        from zarr.codecs import BloscCodec

        return group.create_array(
            str(number),
            shape=(prod(info.plane_shape), self._classes, *info.size),
            chunks=(1, 1, *(min(CHUNK, length) for length in info.size)),
            dtype="float32",
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=4),
        )

    def _write_state(self) -> None:
        with shared_file(self.path / STATE_FILE) as file:
            file.write(json.dumps({"job": self._job, "done": self._done}).encode())


def _read_state(path: Path) -> dict[str, Any] | None:
    """Return the job of a folder and what is finished; None if there is nothing."""
    try:
        state: dict[str, Any] = json.loads((path / STATE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return state


class StoredVolume:
    """An array (items, C, z, y, x) as an image of volumes.

    Args:
        array: The array.
        info: The volumes that it is of.
        channels: Its channels.

    Attributes:
        info: The image as it is interpreted.
        bad_tiles: Always empty.
    """

    def __init__(self, array: Any, info: ImageInfo, channels: int) -> None:
        self._array = array
        self.info = replace(info, channels=channels, dtype=np.dtype(np.float32))
        self.bad_tiles: list[BadTile] = []

    def read(self, item: int, window: Window) -> NDArray[np.float32]:
        """Return pixels (C, d, h, w) of one volume."""
        pixels: NDArray[np.float32] = np.asarray(self._array[(item, slice(None), *window)])
        return pixels

    def close(self) -> None:
        """Nothing to release."""
