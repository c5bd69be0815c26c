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

from unetkit.postprocess.faces import Faces, Line, Sides
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
        "edges.first": edges.first,
        "edges.second": edges.second,
        "edges.saddle": edges.saddle,
        "tile_groups": faces.tile_groups,
    }
    for side, line in faces.sides._asdict().items():
        arrays |= {f"{side}.nodes": line.nodes, f"{side}.distances": line.distances, f"{side}.steps": line.steps}
    return arrays


def _from_arrays(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Faces:
    def wide(name: str) -> NDArray[np.int64]:
        return arrays[prefix + name].astype(np.int64)

    def line(side: str) -> Line:
        distances, steps = (arrays[f"{prefix}{side}.{name}"].astype(np.int32) for name in ("distances", "steps"))
        return Line(wide(f"{side}.nodes"), distances, steps)

    return Faces(
        Groups(np.cumsum(wide("gaps")), LARGEST_DISTANCE - wide("depths"), wide("sizes")),
        Edges(wide("edges.first"), wide("edges.second"), wide("edges.saddle")),
        Sides(*(line(side) for side in Sides._fields)),
        wide("tile_groups"),
    )
