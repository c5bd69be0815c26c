"""DICOM files that tests write, with pydicom."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1, 0, 0, 0, 1, 0)


def dataset(pixels, *, series="1.2.3", instance=None, syntax=ExplicitVRLittleEndian, kind=CTImageStorage, **fields):
    """Return a file with pixels (rows, columns[, 3]) or, with NumberOfFrames among the fields, (frames, ...)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = UID(instance or generate_uid())
    one = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    one.SOPClassUID = kind
    one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    one.SeriesInstanceUID = series
    one.PatientName = "Secret^Name"
    one.PatientID = "secret-id"
    one.PatientBirthDate = "19010101"
    one.Modality = "CT"
    frames = "NumberOfFrames" in fields
    one.Rows, one.Columns = pixels.shape[frames : frames + 2]
    one.SamplesPerPixel = 3 if pixels.ndim == 3 + frames else 1
    one.PhotometricInterpretation = "RGB" if one.SamplesPerPixel == 3 else "MONOCHROME2"
    if one.SamplesPerPixel == 3:
        one.PlanarConfiguration = 0
    one.BitsAllocated = one.BitsStored = pixels.dtype.itemsize * 8
    one.HighBit = one.BitsStored - 1
    one.PixelRepresentation = int(pixels.dtype.kind == "i")
    one.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    for name, value in fields.items():
        setattr(one, name, value)
    return one


def write(path: Path, *args, **fields):
    """Write one file."""
    dataset(*args, **fields).save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, volume, *, origin=(-10.0, -20.0, 5.0), spacing=(3.0, 0.5, 0.25), **fields):
    """Write a volume (z, y, x) slice by slice, with names and numbers that say nothing of their order.

    Args:
        folder: Where to.
        volume: The pixels.
        origin: Place of the first voxel.
        spacing: Distances along z, y and x in mm.
        fields: Elements of all files; `orientation` is that of the rows and columns.
    """
    folder.mkdir(exist_ok=True)
    orientation = np.array(fields.pop("orientation", AXIAL), float)
    normal = np.cross(orientation[:3], orientation[3:])
    names = np.random.default_rng(3).permutation(len(volume))
    paths = []
    for z, pixels in enumerate(volume):
        position = np.array(origin) + z * spacing[0] * normal
        paths.append(
            write(
                folder / f"IM{names[z]:04d}",
                pixels,
                **{
                    "InstanceNumber": int(names[z]) + 1,
                    "ImagePositionPatient": [f"{one:.6f}" for one in position],
                    "ImageOrientationPatient": [f"{one:.9f}" for one in orientation],
                    "PixelSpacing": list(spacing[1:]),
                    **fields,
                },
            )
        )
    return paths


def groups(volume, *, origin=(0.0, 0.0, 0.0), step=2.0, order=None, slopes=None):
    """Return the functional groups of a file of several frames: those of all, and those of each."""
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    orientation.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    frames = []
    for number in order if order is not None else range(len(volume)):
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = [*origin[:2], origin[2] + step * float(number)]
        frame.PlanePositionSequence = Sequence([position])
        if slopes is not None:
            values = Dataset()
            values.RescaleSlope, values.RescaleIntercept = slopes[number], 0
            frame.PixelValueTransformationSequence = Sequence([values])
        frames.append(frame)
    return {
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": Sequence(frames),
        "NumberOfFrames": len(frames),
    }
