"""The header of a NIfTI file: its axes, its pixels, and where they lie."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from unetkit.foundation.errors import ImageError
from unetkit.io.base.space import Space
from unetkit.io.base.stored import Step
from unetkit.io.base.units import UNITS_S
from unetkit.io.medical.affine import UM_PER_MM, to_affine, voxel_size
from unetkit.io.medical.nifti_signature import GZIP, version_of
from unetkit.io.medical.streams import open_gzip
from unetkit.io.medical.volume_header import VolumeHeader

AXES = "XYZTCUV"
"""Letters of the seven dimensions that NIfTI has, as they are stored: X runs fastest."""

MM = {"mm": 1.0, "meter": 1000.0, "micron": 1e-3, "unknown": 1.0}
"""Millimetres in a unit of length. Where a file names none, all programs take millimetres."""

SECONDS = {"sec": "s", "msec": "ms", "usec": "us"}
"""Units of time of NIfTI, as `UNITS_S` names them."""

COMMENT = 6
"""Code of a header extension of plain text."""

NOTES_START = "unetkit "
"""What the text begins with in which unetkit notes what made a file; JSON follows."""


def read_header(path: Path) -> VolumeHeader:
    """Read the header of a NIfTI file.

    Raises:
        ImageError: It is damaged, its pixels lie in another file, or they are of a type that is no image's.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(len(GZIP)) == GZIP
        with open_gzip(path) if compressed else path.open("rb") as file:
            return _parse(file, path, compressed)
    except (HeaderDataError, EOFError, OSError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"{path} has no header of a NIfTI file that can be read, it is truncated or damaged ({error}).",
            "Copy or export it again.",
        ) from error


def _parse(file: BufferedIOBase, path: Path, compressed: bool) -> VolumeHeader:
    version, is_pair = version_of(file.read(352))
    if is_pair:
        raise ImageError(
            f"{path} holds the header of a NIfTI image whose pixels lie in another file (.hdr and .img).",
            "Write it as one file: `nib-convert` of nibabel does, for example `nib-convert a.hdr a.nii`.",
        )
    if not version:
        raise ValueError("it does not begin as NIfTI files do")
    file.seek(0)
    kind: Any = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    header = kind.from_fileobj(file)
    sizes = tuple(int(size) for size in header.get_data_shape())
    if len(sizes) < 2 or not all(sizes):
        raise ImageError(f"{path} holds no image: its shape is {sizes}.", "Copy or export it again.")
    dtype, samples = _pixels(header, path)
    notes = _read_notes(header)
    letters = str(notes.get("axes", ""))[::-1] or AXES  # C order of what unetkit wrote
    stored = [(axis, size) for i, (axis, size) in enumerate(zip(letters, sizes, strict=False)) if i < 3 or size > 1]
    stored = [*stored[::-1], *([("S", samples)] if samples else [])]
    space, voxel, remarks = _place(header)
    slope, inter = header.get_slope_inter()
    return VolumeHeader(
        format=f"NIfTI-{version}",
        pixels=path,
        compression="gzip" if compressed else "none",
        stream=partial(open_gzip, path) if compressed else None,
        axes="".join(axis for axis, _ in stored),
        shape=tuple(size for _, size in stored),
        dtype=dtype,
        offset=int(header.get_data_offset()),
        slope=1.0 if slope is None else float(slope),
        inter=float(inter or 0),
        space=space,
        voxel_um=voxel,
        steps=_time_step(header, sizes),
        notes=notes,
        remarks=remarks,
    )


def _pixels(header: Any, path: Path) -> tuple[np.dtype[Any], int]:
    """Return the stored type, and the number of samples of a colour, 0 if pixels are numbers."""
    dtype: np.dtype[Any] = header.get_data_dtype()
    if dtype.fields:  # red, green, blue and, with four, alpha: a byte each
        return np.dtype(np.uint8), len(dtype.fields)
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise ImageError(f"{path} has pixels of {dtype}, which are no image.", "Convert it to real numbers first.")
    return dtype, 0


def _place(header: Any) -> tuple[Space, tuple[float, float, float] | None, tuple[str, ...]]:
    """Return where the volume lies, the size of a voxel (x, y, z) in µm if it is known, and remarks."""
    codes = (int(header["qform_code"]), int(header["sform_code"]))
    unit = _unit(header, 0)
    affine = header.get_best_affine()
    remarks: tuple[str, ...] = ()
    if not np.isfinite(affine).all():
        affine, codes = header.get_base_affine(), (0, 0)
        remarks = ("Its place in space is no number: its axes are taken as they are stored.",)
    affine = affine * MM[unit]
    affine[3] = (0, 0, 0, 1)
    voxel = voxel_size(affine)
    silent = codes == (0, 0) and unit == "unknown" and voxel == (1, 1, 1)  # what programs write that know nothing
    x_y_z = None if voxel is None or silent else (voxel[0] * UM_PER_MM, voxel[1] * UM_PER_MM, voxel[2] * UM_PER_MM)
    return Space(to_affine(affine), codes[1] or codes[0], codes, unit), x_y_z, remarks


def _time_step(header: Any, sizes: tuple[int, ...]) -> tuple[Step, ...]:
    seconds = UNITS_S.get(SECONDS.get(_unit(header, 1), ""))
    if len(sizes) < 4 or seconds is None or not header["pixdim"][4] > 0:
        return ()
    return (Step("T", float(f"{float(header['pixdim'][4]) * seconds:.6g}"), "s"),)


def _unit(header: Any, which: int) -> str:
    """Return the name of the unit of length (0) or of time (1)."""
    try:
        unit = str(header.get_xyzt_units()[which])
    except KeyError:
        return "unknown"
    return unit if which or unit in MM else "unknown"


def read_nifti_notes(path: Path) -> dict[str, str]:
    """Return what made a file that unetkit wrote; empty for other files.

    Raises:
        ImageError: The header is damaged.
    """
    found = read_header(path).notes.get("notes", {})
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _read_notes(header: Any) -> dict[str, Any]:
    """Return what unetkit has noted in a header; empty if nothing."""
    for extension in header.extensions:
        text = bytes(extension.get_content() if extension.get_code() != COMMENT else extension.text.encode())
        if extension.get_code() == COMMENT and text.startswith(NOTES_START.encode()):
            with suppress(ValueError):
                found = json.loads(text[len(NOTES_START) :])
                return found if isinstance(found, dict) else {}
    return {}
