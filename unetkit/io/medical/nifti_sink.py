"""Masks, labels and probabilities as NIfTI, in the space of their input, written while they are made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from numpy.typing import NDArray

from unetkit.foundation.atomic import errors_of, partial_file
from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import UNNAMED_AXES, OutputSpec
from unetkit.io.base.space import Space
from unetkit.io.medical.affine import UM_PER_MM, to_affine, voxel_size
from unetkit.io.medical.nifti_header import COMMENT, MM, NOTES_START
from unetkit.io.writing.block_store import OrderedSink
from unetkit.io.writing.gzip_stream import gzip_stream
from unetkit.io.writing.rechunk import Band, cut_bands

LARGEST_SIZE = 2**15 - 1
"""Voxels along an axis that NIfTI-1 has numbers for; larger volumes are NIfTI-2."""

MOST_DIMENSIONS = 7

BAND_BYTES = 2**22
"""Pixels that are written at a time, at most; unless a single row is larger."""

STORED = {np.dtype(np.uint32): np.dtype(np.int32)}
"""Types that are stored as another: many programs read no uint32, and all read int32."""

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

LEVELS = {"f": 1}
"""Level of gzip by the kind of the pixels: fractions hardly shrink."""

USUAL_LEVEL = 2

COMPRESSED = ".nii.gz"


def check_nifti(path: Path, spec: OutputSpec) -> None:
    """Check that NIfTI can hold an output.

    Raises:
        OutputError: NIfTI has no such dtype, no pyramids, or fewer dimensions.
    """
    if np.dtype(spec.dtype).name not in TYPES:
        raise OutputError(f"{path}: no NIfTI of {spec.dtype} is written.", f"Use one of {', '.join(TYPES)}.")
    if spec.pyramid:
        raise OutputError(f"{path}: a NIfTI holds no pyramid.", "Write a .tif or .zarr, or leave the pyramid out.")
    if len(_Layout(spec).shape) > MOST_DIMENSIONS:
        raise OutputError(
            f"{path}: a NIfTI holds at most {MOST_DIMENSIONS} axes, not {len(_Layout(spec).shape)}.",
            "Write a .tif or .zarr.",
        )


class NiftiSink(OrderedSink):
    """Writes a NIfTI, which appears under its name when it is whole.

    Its dimensions are x, y and z, then the other plane axes, the last one first, then the channels, where there are
    several. With a space, the affine, the codes of `qform` and `sform` and the unit are those of the input. Without
    one, the pixel size makes an affine in which the first row is in front and the first column on the right, so that
    viewers show planes as they are stored. Labels of 32 bits are stored as int32. The same rows give the same bytes,
    however they are cut.

    Args:
        path: The file; compressed if it ends in .gz.
        spec: What will be written: planes.

    Raises:
        OutputError: NIfTI cannot hold it.
    """

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        check_nifti(path, spec)
        super().__init__(path, spec)
        self._layout = _Layout(spec)
        self._dtype = STORED.get(spec.dtype, spec.dtype)

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows.

        Raises:
            OutputError: The file cannot be written, or has labels above those of int32.
        """
        spec = self._spec
        height = max(1, BAND_BYTES // (spec.channels * spec.width * self._dtype.itemsize))
        start = np.frombuffer(_header(spec, self._dtype, self._layout), np.uint8)
        with (
            errors_of(rows) as safe_rows,
            partial_file(self._path) as partial,
            partial.open("wb") as file,
            closing(cut_bands(spec, safe_rows, height)) as bands,
        ):
            if not self._path.name.lower().endswith(COMPRESSED):
                file.write(start.data)
                self._place(file, start.nbytes, bands)
            elif self._layout.is_in_order:
                self._compress(file, start, (self._stored(band) for band in bands))
            else:
                with TemporaryFile(dir=self._path.parent) as scratch:
                    self._place(scratch, 0, bands)
                    scratch.seek(0)
                    self._compress(file, start, _pieces(scratch))

    def _compress(self, file: IO[bytes], start: NDArray[Any], pixels: Iterable[NDArray[Any]]) -> None:
        """Write header and pixels as one gzip stream."""

        def parts() -> Iterator[NDArray[Any]]:
            yield start
            yield from pixels

        file.writelines(gzip_stream(parts(), LEVELS.get(self._dtype.kind, USUAL_LEVEL)))

    def _place(self, file: IO[bytes], offset: int, bands: Iterable[Band]) -> None:
        """Write each channel of each band where it belongs."""
        for band in bands:
            for channel, pixels in enumerate(self._stored(band)):
                file.seek(offset + self._layout.position(band.plane, channel, band.top) * self._dtype.itemsize)
                file.write(np.ascontiguousarray(pixels).data)

    def _stored(self, band: Band) -> NDArray[Any]:
        """Return pixels (channels, h, width) as they are stored, little-endian."""
        pixels = band.pixels
        if self._dtype != pixels.dtype and pixels.max() > np.iinfo(self._dtype).max:
            raise OutputError(
                f"{self._path}: there are more objects than int32 has numbers for.", "Write a .tif or .zarr."
            )
        return pixels.astype(self._dtype.newbyteorder("<"), copy=False)


class _Layout:
    """Where planes lie in a NIfTI.

    Args:
        spec: What is written.

    Attributes:
        axes: One letter for each dimension, in C order.
        shape: Sizes along `axes`.
        is_in_order: Whether rows come in the order in which they are stored.
    """

    def __init__(self, spec: OutputSpec) -> None:
        axes = spec.plane_axes
        depth = axes.index("Z") if "Z" in axes else 0 if len(axes) == 1 and axes in UNNAMED_AXES else None
        self._spec = spec
        self._others = [i for i in range(len(axes)) if i != depth]
        self._depth = 1 if depth is None else spec.plane_shape[depth]
        self._depth_axis = depth
        others = "".join(axes[i] for i in self._others)
        several = spec.channels > 1
        self.axes = f"{'C' if several else ''}{others}ZYX"
        sizes = tuple(spec.plane_shape[i] for i in self._others)
        self.shape = (*([spec.channels] if several else []), *sizes, self._depth, *spec.size)
        self.is_in_order = not several and depth in (None, len(axes) - 1)

    def position(self, plane: int, channel: int, row: int) -> int:
        """Return how many pixels are stored before the first one of a row."""
        spec = self._spec
        at = np.unravel_index(plane, spec.plane_shape) if spec.plane_shape else ()
        volume = channel
        for i in self._others:
            volume = volume * spec.plane_shape[i] + int(at[i])
        depth = 0 if self._depth_axis is None else int(at[self._depth_axis])
        return ((volume * self._depth + depth) * spec.height + row) * spec.width


def _header(spec: OutputSpec, dtype: np.dtype[Any], layout: _Layout) -> bytes:
    """Return all that lies before the pixels."""
    kind: Any = nib.Nifti1Header if max(layout.shape) <= LARGEST_SIZE else nib.Nifti2Header
    header = kind(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(layout.shape[::-1])
    header["descrip"] = b"unetkit"
    header["scl_slope"], header["scl_inter"] = 1, 0
    _set_place(header, spec, layout)
    found = {"axes": layout.axes, "channels": list(spec.channel_names), "notes": dict(spec.notes)}
    text = NOTES_START + json.dumps(found, ensure_ascii=False)
    header.extensions.append(Nifti1Extension(COMMENT, text.encode("utf-8", "backslashreplace")))
    header["vox_offset"] = header.single_vox_offset + header.extensions.get_sizeondisk()
    file = BytesIO()
    header.write_to(file)
    data = file.getvalue()
    return data + bytes(int(header["vox_offset"]) - len(data))


def _set_place(header: Any, spec: OutputSpec, layout: _Layout) -> None:
    """Write the affine, the size of a voxel and the units."""
    space = spec.space or _made_space(spec)
    unit = "unknown" if space is None else space.unit
    time = next((step.size for step in spec.steps if step.axis == "T" and step.unit == "s"), None)
    if time is not None and len(layout.shape) > 3 and layout.axes[-4] == "T":
        header["pixdim"][4] = time
        header.set_xyzt_units(unit, "sec")
    else:
        header.set_xyzt_units(unit)
    if space is None:
        return
    matrix = np.array(space.affine) / MM[unit]
    matrix[3] = (0, 0, 0, 1)
    header["pixdim"][1:4] = voxel_size(matrix) or (1, 1, 1)
    qform, sform = space.codes or (space.code, space.code)
    header.set_sform(matrix, sform)
    if qform:
        header.set_qform(matrix, qform)
    if not np.allclose(header.get_best_affine(), matrix, rtol=1e-4):  # a view has changed what the codes stood for
        header.set_sform(matrix, sform or qform or 1)


def _made_space(spec: OutputSpec) -> Space | None:
    """Return a space of the pixel size, None if that is not known."""
    if spec.pixel_size_um is None:
        return None
    y, x = (size / UM_PER_MM for size in spec.pixel_size_um[-2:])
    z = next((step.size / UM_PER_MM for step in spec.steps if step.axis == "Z" and step.unit == "µm"), min(y, x))
    return Space(to_affine(np.diag([-x, -y, z, 1.0])))


def _pieces(file: IO[bytes]) -> Iterator[NDArray[Any]]:
    while data := file.read(BAND_BYTES):
        yield np.frombuffer(data, np.uint8)
