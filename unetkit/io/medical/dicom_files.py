"""Headers of DICOM files: slices, of which a file has one or, with several frames, many.

No element with a name, a birthday or anything else of a patient is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from unetkit.foundation.errors import ImageError
from unetkit.io.medical.dicom_signature import DIRECTORY, is_dicom_file

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"

REFUSED = {
    WHOLE_SLIDE: ("a whole slide", "Convert it first: `bfconvert {0.name} {0.stem}.ome.tiff`."),
    SEGMENTATION: ("a segmentation", "Convert it to NIfTI first, for example with `segimage2itkimage` of dcmqi."),
}
"""Classes of objects that are images, and are not read: what each is, and what to do."""

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"),
    *("InstanceNumber", "AcquisitionNumber", "TemporalPositionIndex", "TemporalPositionIdentifier", "EchoTime"),
    *("DiffusionBValue", "FrameTime", "SpacingBetweenSlices"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "PixelRepresentation", "PixelPaddingValue"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing"),
    *("RescaleSlope", "RescaleIntercept"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
"""Elements that are read."""

PARTS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}
"""In which part of a frame's description an element stands, in files of several frames."""

ORDERS = ("TemporalPositionIndex", "TemporalPositionIdentifier", "AcquisitionNumber", "DiffusionBValue", "EchoTime")
"""Elements that tell volumes at one place apart, where there are several."""


@dataclass(frozen=True)
class Slice:
    """A slice, or a frame.

    Attributes:
        path: The file.
        frame: Number of the frame in the file.
        frames: Number of frames in the file.
        series: Number of the series that is its own in the world.
        instance: Number of the file that is its own in the world.
        title: Number, modality and description of the series.
        series_number: Number of the series in the study.
        order: What tells it apart from others at its place; then its number in the series.
        size: Rows and columns.
        samples: Values of a pixel.
        photometric: "MONOCHROME2", "RGB", ...
        bits: Bits that are used of each value.
        allocated: Bits that each value takes.
        signed: Whether values are signed.
        padding: Value of pixels outside of the image, if there is one.
        slope: What stored values are multiplied with.
        inter: What is added to them then.
        position: Place (x, y, z) of the centre of its first pixel in mm, to the left, to the back and up (LPS).
        orientation: Directions of its rows (the way that x runs) and of its columns.
        spacing: Distance of pixels (y, x) in mm.
        at_detector: Whether the distance is that on the detector of a radiograph.
        frame_seconds: Time between frames, if they follow each other in time.
        syntax: How its pixels are compressed.
    """

    path: Path
    frame: int
    frames: int
    series: str
    instance: str
    title: str
    series_number: int
    order: tuple[float, ...]
    size: tuple[int, int]
    samples: int
    photometric: str
    bits: int
    allocated: int
    signed: bool
    padding: int | None
    slope: float
    inter: float
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    at_detector: bool
    frame_seconds: float | None
    syntax: UID


def find_slices(path: Path) -> tuple[list[Slice], int]:
    """Return the slices in a file, a folder, or the files that a DICOMDIR lists; and how many files are no images.

    Raises:
        ImageError: A file cannot be read, one that a DICOMDIR lists is missing, or there is no image.
    """
    slices: list[Slice] = []
    others = 0
    for one in _files(path):
        found = read_slices(one)
        slices += found
        others += not found
    if not slices:
        raise ImageError(f"{path} is DICOM, but holds no image.", "Give the files of the images themselves.")
    return slices, others


def read_slices(path: Path) -> list[Slice]:
    """Return the slices in a file; none if it is DICOM and no image, such as a report or a plan.

    Raises:
        ImageError: It cannot be read, or is of a kind that is not read.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
        if "Rows" not in header or "Columns" not in header or "BitsAllocated" not in header:
            return []
        kind = str(header.get("SOPClassUID", ""))
        if kind in REFUSED:
            what, remedy = REFUSED[kind]
            raise ImageError(f"{path} is {what} in DICOM, which is not read.", remedy.format(path))
        return [_slice(header, path, frame) for frame in range(int(header.get("NumberOfFrames", 1) or 1))]
    except InvalidDicomError as error:
        raise ImageError(f"{path} is no DICOM file.", "Give DICOM files.") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.") from error
    except (EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, NotImplementedError) as error:
        raise ImageError(
            f"{path} has a header that cannot be read, it is truncated or damaged ({type(error).__name__}).",
            "Copy or export it again.",
        ) from error


def _files(path: Path) -> list[Path]:
    """Return the files that a path stands for."""
    directory = path / DIRECTORY if path.is_dir() else path
    if directory.name.upper() == DIRECTORY and directory.is_file():
        return _listed(directory)
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if one.is_file() and is_dicom_file(one))


def _listed(directory: Path) -> list[Path]:
    """Return the images that a DICOMDIR lists."""
    try:
        records = pydicom.dcmread(directory, specific_tags=["DirectoryRecordSequence"]).DirectoryRecordSequence
        names = [one.ReferencedFileID for one in records if one.get("DirectoryRecordType") == "IMAGE"]
    except (InvalidDicomError, AttributeError, EOFError, OSError, ValueError) as error:
        raise ImageError(
            f"{directory} does not list files that can be read ({type(error).__name__}).",
            "Give the folder of a series.",
        ) from error
    paths = [directory.parent.joinpath(*([name] if isinstance(name, str) else name)) for name in names]
    missing = [one for one in paths if not one.is_file()]
    if missing:
        raise ImageError(
            f"{len(missing)} of the {len(paths)} files that {directory} lists are missing, such as {missing[0]}.",
            "Copy them too, or give the folder of a series.",
        )
    return paths


def _slice(header: Dataset, path: Path, frame: int) -> Slice:
    number = header.get("InstanceNumber")
    spacing = _numbers(header, "PixelSpacing", frame)
    on_detector = _numbers(header, "ImagerPixelSpacing", frame) if spacing is None else None
    title = (header.get("SeriesNumber"), header.get("Modality"), header.get("SeriesDescription"))
    time = header.get("FrameTime")
    return Slice(
        path=path,
        frame=frame,
        frames=int(header.get("NumberOfFrames", 1) or 1),
        series=str(header.get("SeriesInstanceUID", "")),
        instance=str(header.get("SOPInstanceUID", path)),
        title=" ".join(str(one) for one in title if one not in (None, "")),
        series_number=int(header.get("SeriesNumber") or 0),
        order=(*(float(header.get(name) or 0) for name in ORDERS), float(number or 0), float(frame)),
        size=(int(header.Rows), int(header.Columns)),
        samples=int(header.get("SamplesPerPixel", 1)),
        photometric=str(header.get("PhotometricInterpretation", "MONOCHROME2")),
        bits=int(header.get("BitsStored", header.BitsAllocated)),
        allocated=int(header.BitsAllocated),
        signed=bool(header.get("PixelRepresentation", 0)),
        padding=_padding(header),
        slope=(_numbers(header, "RescaleSlope", frame) or (1.0,))[0],
        inter=(_numbers(header, "RescaleIntercept", frame) or (0.0,))[0],
        position=_numbers(header, "ImagePositionPatient", frame, 3),
        orientation=_numbers(header, "ImageOrientationPatient", frame, 6),
        spacing=spacing or on_detector,
        at_detector=on_detector is not None,
        frame_seconds=None if time is None else float(time) / 1000,
        syntax=UID(header.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2")),
    )


def _padding(header: Dataset) -> int | None:
    value = header.get("PixelPaddingValue")
    return value if isinstance(value, int) else None


def _numbers(header: Dataset, name: str, frame: int, count: int | None = None) -> tuple[float, ...] | None:
    """Return the numbers of an element of a frame: of its own description, that of all frames, or the file's.

    Args:
        header: The header.
        name: The element.
        frame: Number of the frame.
        count: How many there have to be; None for any.
    """
    value: Any = header.get(name)
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for groups in (*own[frame : frame + 1], *shared[:1]) if name in PARTS else ():
        part = groups.get(PARTS[name])
        if part and part[0].get(name) is not None:
            value = part[0].get(name)
            break
    if value is None or value == "":
        return None
    numbers = tuple(float(one) for one in value) if hasattr(value, "__iter__") else (float(value),)
    return numbers if numbers and count in (None, len(numbers)) else None
