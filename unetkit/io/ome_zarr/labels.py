"""The `labels` group of an OME-Zarr image. It lists the masks and labels that viewers show."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from unetkit.foundation.atomic import cannot_write, drop_lock, make_folder
from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.series import pick_series

LABELS = "labels"

WRITTEN_VERSION = "0.5"
"""Version of OME-Zarr on Zarr 3 that is written."""

WAIT_SECONDS = 60
"""How many seconds another run may take to add a name."""


@dataclass(frozen=True)
class LabelPlace:
    """The place of a label image in an OME-Zarr image.

    Attributes:
        group: The folder of the group `labels`, which need not exist yet.
        zarr_format: 2 (OME-Zarr up to 0.4) or 3 (0.5), which all groups of an image share.
    """

    group: Path
    zarr_format: Literal[2, 3]


def find_label_place(path: Path) -> LabelPlace | None:
    """Return where a Zarr lies in the `labels` of an OME-Zarr image; None if it lies elsewhere.

    Raises:
        OutputError: The metadata of the image or of its labels are damaged, or the image is of a version that is only
            read.
    """
    group = Path(os.path.abspath(path)).parent  # noqa: PTH100  # a link stays what it is called
    if group.name != LABELS:
        return None
    for place, name in ((LabelPlace(group, 3), "zarr.json"), (LabelPlace(group, 2), ".zattrs")):
        ome = _ome(_read_json(group.parent / name), place.zarr_format)
        if "multiscales" in ome:
            version = str(ome.get("version", WRITTEN_VERSION))
            if place.zarr_format == 3 and not version.startswith(WRITTEN_VERSION):
                raise OutputError(
                    f"{group.parent} is an OME-Zarr of version {version}; labels are written into images "
                    f"of version 0.4 and {WRITTEN_VERSION} only.",
                    "Write them to a .zarr of their own.",
                )
            _names(_read_json(_metadata_file(place)), place)
            return place
    return None


def label_path(image: Path, name: str, series: int | None = None) -> Path:
    """Return where labels of a name lie in an OME-Zarr.

    Args:
        image: The folder of an image, a collection or a plate.
        name: Name of the labels.
        series: Number of the image in a collection or a plate; None for the one that is read by default.

    Raises:
        OutputError: It is no OME-Zarr image, or of a version that is only read.
        ImageError: It has no such series, or cannot be read.
    """
    path = image / LABELS / name
    if find_label_place(path) is not None:
        return path
    from unetkit.io.ome_zarr.metadata import choose_image, describe_image, find_images

    images = find_images(image)
    usual, _ = choose_image(images)
    number = pick_series(len(images), series, lambda i: describe_image(images[i], str(image)), str(image), usual)
    path = image / images[number].path / LABELS / name
    if find_label_place(path) is None:
        raise OutputError(f"{image} is no OME-Zarr image, so it has no place for labels.", "Choose another output.")
    return path


def is_consolidated(path: Path) -> bool:
    """Return whether the image that a label lies in has consolidated metadata, which do not list what is added."""
    place = find_label_place(path)
    if place is None:
        return False
    image = place.group.parent
    return (image / ".zmetadata").exists() or bool(_read_json(image / "zarr.json").get("consolidated_metadata"))


@contextmanager
def label_folder(path: Path) -> Iterator[None]:
    """Make the `labels` of an image in which an output is to lie, if it is to; remove them if an error left them empty.

    Raises:
        OutputError: They cannot be made.
    """
    place = find_label_place(path)
    if place is None:
        yield
        return
    make_folder(place.group)
    try:
        yield
    except BaseException:  # whatever it is, no empty folder must be left
        with suppress(OSError):  # it is not empty
            place.group.rmdir()
        raise


def check_label(path: Path, spec: OutputSpec) -> None:
    """Check that an output may lie where it is to lie: the labels of an image are whole numbers.

    Raises:
        OutputError: Probabilities are to become labels of an image.
    """
    if spec.dtype.kind not in "ui" and find_label_place(path) is not None:
        raise OutputError(
            f"{path}: the labels of an image are masks or labels, not values of {spec.dtype}.",
            "Write to another folder.",
        )


def register_label(path: Path) -> None:
    """Add a label image to the labels of the image that it lies in, if any. Nothing else of the image changes.

    Raises:
        OutputError: The list cannot be read or written.
    """
    place = find_label_place(path)
    if place is None:
        return
    lock = FileLock(place.group / ".unetkit.lock", timeout=WAIT_SECONDS)
    try:
        lock.acquire()
        try:
            _add_name(place, path.name)
        finally:
            drop_lock(lock)
    except Timeout:
        raise OutputError(
            f"{place.group} is locked by another program.", f"Add '{path.name}' to its list of labels yourself."
        ) from None
    except OSError as error:
        raise cannot_write(_metadata_file(place), error) from error


def _add_name(place: LabelPlace, name: str) -> None:
    """Add a name to the list. The file is replaced as a whole."""
    file = _metadata_file(place)
    content = _read_json(file)
    names = _names(content, place)
    if name in names:
        return
    if place.zarr_format == 3:
        content = {"zarr_format": 3, "node_type": "group", **content}
        attributes = content.setdefault("attributes", {})
        attributes["ome"] = {"version": WRITTEN_VERSION, **_ome(content, 3), LABELS: [*names, name]}
    else:
        content[LABELS] = [*names, name]
        _write_json(place.group / ".zgroup", {"zarr_format": 2})
    _write_json(file, content)


def _metadata_file(place: LabelPlace) -> Path:
    return place.group / ("zarr.json" if place.zarr_format == 3 else ".zattrs")


def _ome(content: dict[str, Any], zarr_format: int) -> dict[str, Any]:
    """Return the OME part of a group's metadata."""
    ome = (content.get("attributes") or {}).get("ome") if zarr_format == 3 else content
    return ome if isinstance(ome, dict) else {}


def _names(content: dict[str, Any], place: LabelPlace) -> list[str]:
    names = _ome(content, place.zarr_format).get(LABELS, [])
    if not isinstance(names, list):
        raise _damaged(_metadata_file(place))
    return names


def _read_json(file: Path) -> dict[str, Any]:
    """Return the content of a file of metadata, empty if there is no such file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(file) from error
    if not isinstance(content, dict):
        raise _damaged(file)
    return content


def _write_json(file: Path, content: dict[str, Any]) -> None:
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
    partial.replace(file)


def _damaged(file: Path) -> OutputError:
    return OutputError(
        f"The metadata in {file} cannot be read, so no label can be added there.",
        "Mend it, or write the output outside of the image.",
    )
