"""What a block tells of its objects, as it goes through a file from the process that found them to the one that joins.

A million objects take about 7 MB, in blocks of 16 megapixels.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.faces import Faces, Side
from unetkit.postprocess.joining import Groups
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges


@dataclass(frozen=True)
class BlockFaces:
    """What a block tells of its objects.

    Attributes:
        classes: The faces of each class but the background; of a mask those of its foreground alone.
    """

    classes: tuple[Faces, ...]

    def to_bytes(self) -> bytes:
        """Return it for a file: a compressed npz file, without pickle."""
        arrays = {
            f"{number}.{name}": _narrowed(array)
            for number, faces in enumerate(self.classes)
            for name, array in _to_arrays(faces).items()
        }
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return zlib.compress(buffer.getvalue(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> BlockFaces:
        """Read what `to_bytes` gave."""
        with np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False) as arrays:
            count = len({name.split(".")[0] for name in arrays})
            return cls(tuple(_from_arrays(arrays, f"{number}.") for number in range(count)))


def _narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers from 0 in their narrowest type."""
    return array.astype(np.min_scalar_type(int(array.max(initial=0))))


def _to_arrays(faces: Faces) -> dict[str, NDArray[Any]]:
    """Return whole numbers from 0, most of them small: groups are in the order of their first pixels."""
    groups, edges = faces.groups, faces.edges
    arrays: dict[str, NDArray[Any]] = {
        "gaps": np.diff(groups.first, prepend=0),
        "depths": LARGEST_DISTANCE - groups.peaks,
        "sizes": groups.sizes,
        "sums": groups.sums,
        "qualities": groups.qualities,
        "edges.first": edges.first,
        "edges.second": edges.second,
        "edges.saddle": edges.saddle,
        "tile_groups": faces.tile_groups,
        "axes": np.array(len(faces.sides)),
    }
    for axis, ends in enumerate(faces.sides):
        for end, side in enumerate(ends):
            arrays |= {} if side is None else {f"{axis}.{end}.{name}": array for name, array in vars(side).items()}
    return arrays


def _from_arrays(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Faces:
    def wide(name: str) -> NDArray[np.int64]:
        return arrays[prefix + name].astype(np.int64)

    def side(axis: int, end: int) -> Side | None:
        name = f"{prefix}{axis}.{end}."
        if f"{name}nodes" not in arrays:
            return None
        nodes, distances, steps = (arrays[name + part] for part in ("nodes", "distances", "steps"))
        return Side(nodes.astype(np.int32), distances.astype(np.int16), steps.astype(np.uint8))

    return Faces(
        Groups(
            np.cumsum(wide("gaps")),
            LARGEST_DISTANCE - wide("depths"),
            wide("sizes"),
            wide("sums"),
            wide("qualities"),
        ),
        Edges(wide("edges.first"), wide("edges.second"), wide("edges.saddle")),
        tuple((side(axis, 0), side(axis, 1)) for axis in range(int(arrays[f"{prefix}axes"]))),
        wide("tile_groups"),
    )
