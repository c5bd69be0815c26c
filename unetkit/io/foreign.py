"""Formats of microscopes and medicine that are not read, or not yet: named in errors, with what to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unetkit.foundation.errors import ImageError
from unetkit.io.medical.needs import INSTALL as MEDICAL_INSTALL
from unetkit.io.microscopes.vendors import INSTALL, vendor_of

OVERVIEWS = {
    ".mrxs": ("MIRAX (3DHISTECH)", "{0.stem}", "Slidedat.ini"),
    ".vsi": ("Olympus VSI (cellSens)", "_{0.stem}_", ""),
}
"""Files that hold a small overview, as JPEG or TIFF; by suffix the format, the folder beside it that holds the slide's
pixels, and a file in there."""


KNOWN = {
    ".afi": "Aperio AFI, a list of the .svs files of a slide",
    ".ali": "Hamamatsu Aquacosmos",
    ".bmp": "Windows bitmap",
    ".dib": "Windows bitmap",
    ".dm3": "Gatan Digital Micrograph",
    ".dm4": "Gatan Digital Micrograph",
    ".flex": "PerkinElmer Flex",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".hdr": "ANALYZE, or the header of a NIfTI in two files",
    ".ics": "Image Cytometry Standard",
    ".ids": "Image Cytometry Standard",
    ".ims": "Imaris",
    ".img": "ANALYZE, or the pixels of a NIfTI in two files",
    ".isyntax": "Philips iSyntax",
    ".jp2": "JPEG 2000",
    ".j2k": "JPEG 2000",
    ".klb": "KLB",
    ".lof": "Leica LOF",
    ".mrc": "MRC",
    ".mvd2": "Volocity",
    ".n5": "N5",
    ".nd": "MetaMorph ND, a list of .stk or .tif files",
    ".ndpis": "Hamamatsu NDPIS, a list of the .ndpi files of a slide",
    ".npy": "a NumPy array",
    ".npz": "NumPy arrays",
    ".oib": "Olympus OIB",
    ".oif": "Olympus OIF",
    ".oir": "Olympus OIR",
    ".pdf": "PDF",
    ".pickle": "a Python pickle",
    ".pkl": "a Python pickle",
    ".pic": "Bio-Rad PIC",
    ".psd": "Photoshop",
    ".raw": "raw pixels",
    ".rec": "MRC",
    ".sld": "SlideBook",
    ".sldy": "SlideBook",
    ".svg": "SVG, a drawing without pixels",
    ".svslide": "Sakura",
    ".vms": "Hamamatsu VMS, a list of the files of a slide",
    ".vmu": "Hamamatsu VMU, a list of the files of a slide",
    ".webp": "WebP",
    ".xdce": "InCell, a list of .tif files",
    ".zvi": "Zeiss ZVI",
}
"""Formats by suffix, which need a plug-in of bioio or another program."""

MEDICAL = {
    ".dcm": "DICOM",
    ".dicom": "DICOM",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".nhdr": "NRRD",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".nrrd": "NRRD",
}
"""Formats by suffix that are read, most of them with the extra `medical`."""

PAIRS = (".hdr", ".img")
"""Those that nibabel writes as one NIfTI."""

PLUGINS = {".sld": "bioio-sldy", ".sldy": "bioio-sldy"}
"""Plug-ins of bioio that read a format, by suffix."""

LISTS = (".afi", ".nd", ".ndpis", ".xdce")
"""Those that list files which are read."""

PICTURES = (".bmp", ".dib", ".gif", ".heic", ".jp2", ".j2k", ".pdf", ".psd", ".svg", ".webp")
"""Those that any program for pictures exports as PNG."""

ARRAYS = (".npy", ".npz", ".raw")
"""Those that are for Python."""

PICKLES = (".pickle", ".pkl")
"""Those that run code when they are read."""

REMEDIES = {
    **dict.fromkeys(LISTS, "Give the image files that it lists."),
    **dict.fromkeys(PAIRS, "Write it as one file with nibabel: `nib-convert {0.stem}.hdr {0.stem}.nii`."),
    **dict.fromkeys(PICTURES, "Export it as PNG or TIFF."),
    **dict.fromkeys(
        ARRAYS, "Segment it in Python with unetkit.predict_tiled, or write it as TIFF with tifffile.imwrite."
    ),
}
"""What to do about a file, by its suffix."""

CELLPOSE = "_seg.npy"
"""End of the names of files in which Cellpose keeps outlines and masks, as a pickle."""

CELLPOSE_REMEDY = "In Cellpose choose File > Save masks as PNG/TIF, or call cellpose.io.save_masks in Python."

COMPANION = ".companion.ome"


def is_overview(path: Path) -> bool:
    """Return whether a file is the small overview of a slide whose pixels lie in a folder beside it."""
    return path.suffix.lower() in OVERVIEWS and path.is_file()


def refuse_overview(path: Path) -> None:
    """Raise an ImageError if a file is such an overview."""
    if not is_overview(path):
        return
    maker, pattern, index = OVERVIEWS[path.suffix.lower()]
    folder = path.with_name(pattern.format(path))
    there = folder.is_dir() and (not index or (folder / index).is_file())
    raise ImageError(
        f"{path} holds only an overview of a slide, as {maker} files do: the pixels lie in the folder {folder.name} "
        f"beside it{'' if there else ', which is missing'}, and are not read.",
        _conversion(path) if there else f"Copy the folder {folder.name} too. {_conversion(path)}",
    )


def refuse_foreign(folder: Path, entries: Iterable[Path]) -> None:
    """Raise an ImageError if a folder without images has files of formats that are not read."""
    entries = [path for path in entries if path.is_file()]
    missing = [path for path in entries if vendor_of(path) is not None]
    if missing:
        vendor = vendor_of(missing[0])
        raise ImageError(
            f"The folder {folder} has no images that can be read without more packages, but {len(missing)} "
            f"{'file' if len(missing) == 1 else 'files'} of microscopes, such as {missing[0].name}"
            f"{f' ({vendor.maker})' if vendor else ''}.",
            INSTALL,
        )
    medical = [path for path in entries if medical_kind(path)]
    if medical:
        count = f"{len(medical)} {'file' if len(medical) == 1 else 'files'} of medicine or of HDF5"
        raise ImageError(
            f"The folder {folder} has no images that can be read without more packages, but {count}, such as "
            f"{medical[0].name} ({medical_kind(medical[0])}).",
            MEDICAL_INSTALL,
        )
    foreign = [path for path in entries if path.suffix.lower() in (KNOWN | OVERVIEWS)]
    if not foreign:
        return
    first = foreign[0]
    suffix = first.suffix.lower()
    kind = KNOWN[suffix] if suffix in KNOWN else OVERVIEWS[suffix][0]
    count = "a file of a format that is" if len(foreign) == 1 else f"{len(foreign)} files of formats that are"
    raise ImageError(
        f"The folder {folder} has no images that can be read, but {count} not read ({suffix}: {kind}).",
        _remedy(first, suffix) if suffix in KNOWN else _conversion(first),
    )


def medical_kind(path: Path) -> str:
    """Return the format of medicine, or HDF5, that a file has by its name; "" if none."""
    return next((kind for suffix, kind in MEDICAL.items() if path.name.lower().endswith(suffix)), "")


def unknown_format(path: Path) -> ImageError:
    """Return the error for a file whose content is of no kind that is read; its name tells what it probably is."""
    if path.name.lower().endswith(COMPANION):
        return ImageError(
            f"{path} holds the metadata of an OME-TIFF in several files, and no pixels.",
            "Give one of the .ome.tif files beside it.",
        )
    vendor = vendor_of(path)
    if vendor is not None:
        return ImageError(
            f"{path} has the name of a {vendor.maker} file, but not its content.", "Copy or export it again."
        )
    if medical_kind(path):
        return ImageError(
            f"{path} has the name of a {medical_kind(path)} file, but not its content.", "Copy or export it again."
        )
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    suffix = suffixes[0] if suffixes[1:] == [".gz"] else (suffixes or [""])[-1]
    known = KNOWN.get(suffix)
    is_format = f", but by its name {known} ({suffix})" if known else ""
    return ImageError(f"{path} is not a TIFF, PNG or JPEG image, nor an OME-Zarr{is_format}.", _remedy(path, suffix))


def _remedy(path: Path, suffix: str) -> str:
    is_cellpose = path.name.lower().endswith(CELLPOSE)
    if is_cellpose or suffix in PICKLES:
        instead = CELLPOSE_REMEDY if is_cellpose else "Write its arrays as TIFF with tifffile.imwrite."
        return f"It is a pickle, which can run code when it is read. {instead}"
    if suffix in REMEDIES:
        return REMEDIES[suffix].format(path)
    if suffix in KNOWN:
        return _conversion(path)
    return "Give one of these, or convert the file to OME-TIFF first (for example with Fiji or bfconvert)."


def _conversion(path: Path) -> str:
    """Return how to read or convert a file of a microscope."""
    plugin = PLUGINS.get(path.suffix.lower())
    install = f"Run `pip install {plugin}`, whose reader unetkit uses then. Or convert it" if plugin else "Convert it"
    other = "" if plugin else ", or install a plug-in of bioio that reads it"
    return (
        f"{install} first: `bfconvert {path.name} {path.stem}.ome.tiff`, or `bioformats2raw {path.name} "
        f"{path.stem}.zarr`{other}."
    )
