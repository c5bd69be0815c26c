"""Objects of volumes, plane by plane: for programs that know outlines in the planes of a stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Objects


def sections_of(objects: Objects, depth: int) -> Iterator[tuple[NDArray[np.intp], Objects]]:
    """Yield which objects of a volume lie in each plane that some of them reach, and their pixels in it.

    Args:
        objects: At least one object of a volume.
        depth: Planes of the volume.

    Yields:
        The places (M,) of the objects in the batch, and the same objects in the plane. Planes are numbered through all
        volumes.
    """
    z, y = objects.coordinates
    owners = objects.owners
    order = np.lexsort((owners, z))  # stable: rows stay in order
    z, owners = z[order], owners[order]
    runs = replace(objects.runs[order], rows=y[order])
    ends = np.flatnonzero(np.append(True, z[1:] != z[:-1]))
    for start, stop in zip(ends, np.append(ends[1:], len(z)), strict=True):
        own = owners[start:stop]
        first = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
        place = own[first]
        plane = objects.plane * depth + int(z[start])
        yield place, Objects(plane, objects.labels[place], np.append(first, len(own)), runs[start:stop])
