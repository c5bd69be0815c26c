"""Where a volume lies in the scanner or the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

Affine = tuple[tuple[float, float, float, float], ...]
"""Four rows of four numbers."""

ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Where the axes of a space come from and where they run to: left, right; back (posterior), front; down, up."""

CODES = ("not said from where", "of the scanner", "aligned to another image", "Talairach", "MNI 152")
"""What the millimetres are counted from, by `Space.code`."""


@dataclass(frozen=True)
class Space:
    """The place of a volume in millimetres, as NIfTI has it.

    Attributes:
        affine: Maps the place (x, y, z, 1) of a voxel, counted from 0 along the stored axes, to millimetres: to the
            right, to the front and up (RAS+).
        code: What the millimetres are counted from, as in NIfTI's `sform_code`: 0 unknown, 1 scanner, 2 aligned, 3
            Talairach, 4 MNI.
        codes: `qform_code` and `sform_code` of the NIfTI file that it comes from; None where both are `code`.
        unit: Unit of length that the NIfTI file names: "mm", "meter", "micron" or "unknown".
    """

    affine: Affine
    code: int = 1
    codes: tuple[int, int] | None = None
    unit: str = "mm"

    def resampled(self, step: Sequence[float], start: Sequence[float]) -> Space:
        """Return the place of a volume whose voxels lie elsewhere on the axes of this one.

        Args:
            step: Voxels of this volume from one voxel of the other to the next along (z, y, x); of a plane, (y, x).
            start: Where the first voxel of the other lies along the same axes, in voxels of this one.

        >>> moved = Space(((2.0, 0, 0, 5), (0, 1, 0, 0), (0, 0, 3, 0), (0, 0, 0, 1))).resampled((1, 1, 2), (0, 0, 0.5))
        >>> moved.affine[0]
        (4.0, 0, 0, 6.0)
        """
        missing = 3 - len(step)
        steps = tuple(reversed((*(1.0,) * missing, *step)))
        starts = tuple(reversed((*(0.0,) * missing, *start)))
        x, y, z = steps
        rows = []
        for along_x, along_y, along_z, shift in self.affine:
            moved = shift + along_x * starts[0] + along_y * starts[1] + along_z * starts[2]
            rows.append((along_x * x, along_y * y, along_z * z, moved))
        return replace(self, affine=tuple(rows))

    @property
    def axis_codes(self) -> str:
        """The ways in which the stored axes x, y and z run, as programs of medicine name them.

        >>> Space(((-1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 3, 0), (0, 0, 0, 1))).axis_codes
        'LAS'
        """
        lengths = [sum(row[axis] ** 2 for row in self.affine[:3]) ** 0.5 or 1.0 for axis in range(3)]
        parts = [[row[axis] / lengths[axis] for axis in range(3)] for row in self.affine[:3]]
        best = max(permutations(range(3)), key=lambda order: sum(abs(parts[to][axis]) for axis, to in enumerate(order)))
        return "".join(ENDS[to][int(parts[to][axis] > 0)] for axis, to in enumerate(best))
