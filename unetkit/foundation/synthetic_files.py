"""Folders of synthetic volumes: images, masks, and labels of whole volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, OutputError
from unetkit.foundation.synthetic_nuclei import VOXEL_UM, make_nuclei
from unetkit.foundation.synthetic_spine import VOXEL_MM, make_spine

Drawn = tuple[str, NDArray[Any], NDArray[Any]]
"""Stem of a volume, its image and its labels."""


def write_nuclei(
    folder: Path,
    count: int,
    size: tuple[int, int, int],
    seed: int,
    voxel_um: tuple[float, float, float] = VOXEL_UM,
    suffix: str = ".tif",
) -> None:
    """Write light-sheet stacks and their labels as images/nuclei_000.tif, ... and masks/nuclei_000.tif, ...

    Args:
        folder: Folder of the files; made if it does not exist.
        count: Number of stacks.
        size: Voxels of each along (z, y, x).
        seed: The same seed gives the same files; stack i depends on (seed, i) only.
        voxel_um: Sides of a voxel along (z, y, x) in µm.
        suffix: ".tif" for OME-TIFF; ".nii" or ".nii.gz" for NIfTI, which takes `unetkit[medical]`.

    Raises:
        OutputError: `folder` holds images or masks already, or cannot be written.
        ConfigError: A size is not positive, or the suffix is another one.
    """

    def draw(number: int) -> Drawn:
        return (f"nuclei_{number:03}", *make_nuclei(size, np.random.default_rng((seed, number)), voxel_um))

    _write_all(folder, (draw(number) for number in range(count)), voxel_um, suffix)


def write_spines(
    folder: Path,
    count: int,
    size: tuple[int, int, int],
    seed: int,
    voxel_mm: tuple[float, float, float] = VOXEL_MM,
    suffix: str = ".nii.gz",
) -> None:
    """Write CT volumes of spines and their vertebrae as images/spine_000.nii.gz, ... and masks/spine_000.nii.gz, ...

    A file labels.csv has the columns image and label: 1 where a vertebra is fractured, else 0. Every other one is.

    Args:
        folder: Folder of the files; made if it does not exist.
        count: Number of volumes.
        size: Voxels of each along (z, y, x).
        seed: The same seed gives the same files; volume i depends on (seed, i) only.
        voxel_mm: Sides of a voxel along (z, y, x) in mm.
        suffix: See `write_nuclei`.

    Raises:
        OutputError: `folder` holds images, masks or labels already, or cannot be written.
        ConfigError: A size is not positive, or the suffix is another one.
    """
    table = folder / "labels.csv"
    if table.exists():
        raise OutputError(f"{table} exists already.", "Choose another folder or empty this one.")
    labels: list[str] = []

    def draw(number: int) -> Drawn:
        spine = make_spine(size, np.random.default_rng((seed, number)), voxel_mm, fractured=number % 2 == 1)
        labels.append(f"images/spine_{number:03}{suffix},{int(spine.fractured)}")
        return f"spine_{number:03}", spine.image, spine.labels

    voxel_um = (1000 * voxel_mm[0], 1000 * voxel_mm[1], 1000 * voxel_mm[2])
    _write_all(folder, (draw(number) for number in range(count)), voxel_um, suffix)
    table.write_text("\n".join(["image,label", *labels]) + "\n", encoding="utf-8")


def write_volume(path: Path, pixels: NDArray[Any], voxel_um: tuple[float, float, float]) -> None:
    """Write a volume (Z, Y, X) with the sides of its voxels (z, y, x), as OME-TIFF or NIfTI by its suffix.

    In NIfTI, X goes to the left, Y to the back and Z up, as in CT.

    Raises:
        ConfigError: The suffix is another one, or nibabel is not installed.
    """
    _writer(path.name)(path, pixels, voxel_um)


def _write_all(folder: Path, volumes: Iterable[Drawn], voxel_um: tuple[float, float, float], suffix: str) -> None:
    """Write images and masks, one after the other."""
    write = _writer(f"volume{suffix}")
    for part in ("images", "masks"):
        if (folder / part).exists() and any((folder / part).iterdir()):
            raise OutputError(f"{folder / part} holds files already.", "Choose another folder or empty this one.")
    try:
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for stem, image, labels in volumes:
            write(folder / "images" / f"{stem}{suffix}", image, voxel_um)
            write(folder / "masks" / f"{stem}{suffix}", labels, voxel_um)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error}.", "Choose a folder with room to write.") from error


def _writer(name: str) -> Callable[[Path, NDArray[Any], tuple[float, float, float]], None]:
    """Return what writes a file of this name."""
    if name.endswith((".nii", ".nii.gz")):
        return _write_nifti
    if name.endswith((".tif", ".tiff")):
        return _write_tiff
    raise ConfigError(f"No volume is written as {name}.", "Give the suffix .tif, .nii or .nii.gz.")


def _write_tiff(path: Path, pixels: NDArray[Any], voxel_um: tuple[float, float, float]) -> None:
    metadata: dict[str, Any] = {"axes": "ZYX"}
    for axis, side in zip("ZYX", voxel_um, strict=True):
        metadata |= {f"PhysicalSize{axis}": side, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata, compression="zlib")


def _write_nifti(path: Path, pixels: NDArray[Any], voxel_um: tuple[float, float, float]) -> None:
    try:
        import nibabel
    except ImportError as error:
        raise ConfigError("NIfTI is written by nibabel.", "Install it: pip install 'unetkit[medical]'.") from error
    z, y, x = (side / 1000 for side in voxel_um)
    affine = np.diag([-x, -y, z, 1.0])
    image = nibabel.Nifti1Image(pixels.transpose(2, 1, 0), affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    nibabel.save(image, path)
