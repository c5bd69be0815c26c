"""What an affine says: how large voxels are, and which way the stored axes run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.space import Affine

UM_PER_MM = 1000.0

DIGITS = 6
"""Digits of a size that single precision keeps, in which files store it."""


def to_affine(matrix: NDArray[Any]) -> Affine:
    """Return a matrix (4, 4) as the rows of a `Space`."""
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix)


def voxel_size(matrix: NDArray[Any]) -> tuple[float, float, float] | None:
    """Return the size of a voxel along x, y and z in the unit of the matrix; None if there is no such size.

    >>> voxel_size(np.diag([-0.7, 0.7, 3, 1]))
    (0.7, 0.7, 3.0)
    """
    x, y, z = (float(f"{size:.{DIGITS}g}") for size in np.linalg.norm(np.asarray(matrix)[:3, :3], axis=0))
    return (x, y, z) if np.isfinite([x, y, z]).all() and min(x, y, z) > 0 else None


def from_axes(directions: NDArray[Any], origin: NDArray[Any], signs: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the affine to RAS+ of a volume whose axes are told one by one.

    Args:
        directions: (3, 3); row i is the way from a voxel to the next one along the i-th stored axis (x, y, z).
        origin: Place of the first voxel.
        signs: What turns the axes of the file's space to the right, to the front and up.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(directions, float).T
    matrix[:3, 3] = origin
    found: NDArray[np.float64] = np.diag([*signs, 1.0]) @ matrix
    return found


def size_in_um(matrix: NDArray[Any], mm: float = 1.0) -> tuple[float, float, float] | None:
    """Return the size of a voxel along x, y and z in µm, given millimetres in a unit of the matrix."""
    size = voxel_size(np.asarray(matrix) * mm)
    return None if size is None else (size[0] * UM_PER_MM, size[1] * UM_PER_MM, size[2] * UM_PER_MM)
