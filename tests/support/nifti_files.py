"""NIfTI files that tests write, and all orientations of a volume."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np

ORIENTATIONS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]
"""The 48 ways in which stored axes run along those of space: which axis each runs along, and which way."""


def affine_of(axes, signs, zooms=(0.7, 1.25, 3.0), origin=(-90.5, 12.25, 7.0)):
    """Return the affine of an orientation."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for stored, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, stored] = sign * zooms[stored]
    affine[:3, 3] = origin
    return affine.astype(np.float32).astype(float)


def write_nifti(path: Path, pixels, affine=None, codes=(1, 1), units=("mm", "sec"), kind=nib.Nifti1Image, **fields):
    """Write pixels (x, y, z, ...) as they are, with header fields given by name."""
    affine = np.eye(4) if affine is None else affine
    image = kind(pixels, affine)
    image.header.set_xyzt_units(*units)
    image.set_qform(affine, codes[0])
    image.set_sform(affine, codes[1])
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path
