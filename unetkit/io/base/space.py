"""Where a volume lies in the scanner or the patient."""

from __future__ import annotations

from dataclasses import dataclass

Affine = tuple[tuple[float, float, float, float], ...]
"""Four rows of four numbers."""


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
