"""Metadata that unetkit writes, checked by the libraries of the formats: ome-types for OME-XML, yaozarrs for OME-Zarr.

What they would only warn about, and attributes that are not in the schema, are faults here.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import ome_types
import yaozarrs
import zarr
from xsdata.formats.dataclass.parsers.config import ParserConfig


def parse_ome_xml(text: str) -> ome_types.OME:
    """Return what an OME-XML says; whatever the schema does not know, or wants otherwise, is a ValueError."""
    with _warnings_are_faults():
        return ome_types.from_xml(text, parser_kwargs={"config": ParserConfig(fail_on_unknown_attributes=True)})


def check_ome_zarr(path: Path) -> None:
    """Check an OME-Zarr, its metadata and its arrays, against the specification of its version.

    Raises:
        ValueError: It does not follow it.
    """
    with _warnings_are_faults():
        yaozarrs.validate_zarr_store(str(path))
    with TemporaryDirectory() as folder:
        image = Path(folder) / path.name
        shutil.copytree(path, image)
        if _drop_label(image):  # yaozarrs looks at the arrays of images, and not at those of labels
            with _warnings_are_faults():
                yaozarrs.validate_zarr_store(str(image))


def _drop_label(path: Path) -> bool:
    """Make an image of a label image; return whether it was one."""
    attributes = zarr.open_group(path, mode="r+").attrs
    ome = attributes.get("ome", attributes.asdict())
    if "image-label" not in ome:
        return False
    plain = {name: value for name, value in ome.items() if name != "image-label"}
    attributes.put({**attributes, "ome": plain} if "ome" in attributes else plain)
    return True


@contextmanager
def _warnings_are_faults() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    faults = [one for one in caught if not issubclass(one.category, ResourceWarning | DeprecationWarning)]
    if faults:
        raise ValueError("; ".join(str(one.message) for one in faults))
