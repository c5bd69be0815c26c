"""Formats of medicine in the table of formats. Their libraries are imported when a file is opened or written."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from unetkit.foundation.atomic import check_target
from unetkit.io.base.contracts import ImageSink, ImageSource, OutputSpec
from unetkit.io.base.format import Format, Writer
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.base.series import Series
from unetkit.io.medical.dicom_folder import is_dicom_folder
from unetkit.io.medical.dicom_signature import is_dicom
from unetkit.io.medical.needs import has, require_reader, require_writer
from unetkit.io.medical.nifti_signature import is_nifti

A_NIFTI = "a NIfTI file"

METAIMAGE_START = rb"\s*(ObjectType\s*=\s*Image|NDims\s*=\s*\d)"
"""How a MetaImage begins."""


def _open_nifti(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
    require_reader("nibabel", path, A_NIFTI)
    from unetkit.io.medical.nifti_header import read_header
    from unetkit.io.medical.volume_source import StoredVolume

    return StoredVolume(path, read_header(path), reading, as_stored=as_stored, cache_bytes=cache_bytes)


def _list_nifti(path: Path) -> tuple[Series, ...]:
    require_reader("nibabel", path, A_NIFTI)
    from unetkit.io.medical.nifti_header import read_header

    return (read_header(path).series,)


def _nifti_sink(path: Path, spec: OutputSpec) -> ImageSink:
    require_writer("nibabel", path, A_NIFTI)
    from unetkit.io.medical.nifti_sink import NiftiSink

    return NiftiSink(path, spec)


def _check_nifti(path: Path, spec: OutputSpec) -> None:
    require_writer("nibabel", path, A_NIFTI)
    from unetkit.io.medical.nifti_sink import check_nifti

    check_nifti(path, spec)


def _check_nifti_place(path: Path, overwrite: bool) -> None:
    require_writer("nibabel", path, A_NIFTI)
    check_target(path, overwrite)


def _nifti_notes(path: Path) -> dict[str, str]:
    if not has("nibabel"):
        return {}
    from unetkit.io.medical.nifti_header import read_nifti_notes

    return read_nifti_notes(path)


NIFTI = Format(
    name="NIfTI",
    suffixes=(),
    sniff=is_nifti,
    open=_open_nifti,
    list_series=_list_nifti,
    other_suffixes=(".nii", ".nii.gz"),
    writer=Writer((".nii.gz", ".nii"), _nifti_sink, _check_nifti_place, _check_nifti),
    read_notes=_nifti_notes,
    is_installed=partial(has, "nibabel"),
)


def _open_dicom(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
    require_reader("pydicom", path, "DICOM")
    from unetkit.io.medical.dicom_source import DicomSource

    return DicomSource(path, reading, as_stored=as_stored, cache_bytes=cache_bytes)


def _list_dicom(path: Path) -> tuple[Series, ...]:
    require_reader("pydicom", path, "DICOM")
    from unetkit.io.medical.dicom_source import list_dicom_series

    return list_dicom_series(path)


DICOM_FILE = Format(
    name="DICOM",
    suffixes=(),
    sniff=lambda _, start: is_dicom(start),
    open=_open_dicom,
    list_series=_list_dicom,
    other_suffixes=(".dcm", ".dicom"),
    is_installed=partial(has, "pydicom"),
)

DICOM_FOLDER = Format(
    name="DICOM series",
    suffixes=(),
    sniff=lambda path, _: is_dicom_folder(path),
    open=_open_dicom,
    list_series=_list_dicom,
    is_folder=True,
)


def _open_nrrd(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
    require_reader("nrrd", path, "an NRRD file", "pynrrd")
    from unetkit.io.medical.nrrd_header import read_nrrd_header
    from unetkit.io.medical.volume_source import StoredVolume

    return StoredVolume(path, read_nrrd_header(path), reading, as_stored=as_stored, cache_bytes=cache_bytes)


def _list_nrrd(path: Path) -> tuple[Series, ...]:
    require_reader("nrrd", path, "an NRRD file", "pynrrd")
    from unetkit.io.medical.nrrd_header import read_nrrd_header

    return (read_nrrd_header(path).series,)


def _open_metaimage(path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> ImageSource:
    from unetkit.io.medical.metaimage_header import read_metaimage_header
    from unetkit.io.medical.volume_source import StoredVolume

    return StoredVolume(path, read_metaimage_header(path), reading, as_stored=as_stored, cache_bytes=cache_bytes)


def _list_metaimage(path: Path) -> tuple[Series, ...]:
    from unetkit.io.medical.metaimage_header import read_metaimage_header

    return (read_metaimage_header(path).series,)


NRRD = Format(
    name="NRRD",
    suffixes=(),
    sniff=lambda _, start: start.startswith(b"NRRD0"),
    open=_open_nrrd,
    list_series=_list_nrrd,
    other_suffixes=(".nrrd", ".nhdr"),
    is_installed=partial(has, "nrrd"),
)

METAIMAGE = Format(
    name="MetaImage",
    suffixes=(),
    sniff=lambda _, start: re.match(METAIMAGE_START, start) is not None,
    open=_open_metaimage,
    list_series=_list_metaimage,
    other_suffixes=(".mha", ".mhd"),
)

MEDICAL = (NIFTI, DICOM_FILE, DICOM_FOLDER, NRRD, METAIMAGE)
