"""`unetkit export`: objects of labels to files of other programs, and models to other runtimes, zoos and hubs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetkit.foundation.errors import ConfigError
from unetkit.models.builtin_models import builtin_path
from unetkit.models.model_file import MODEL_FILE
from unetkit.sharing.options import SharingOptions
from unetkit.sharing.said import SaidOptions
from unetkit.zoo.kinds import kind_of
from unetkit.zoo.references import is_address

if TYPE_CHECKING:
    from unetkit.models.segmenter import Segmenter

MODEL_OPTIONS = tuple(field.name for cls in (SharingOptions, SaidOptions) for field in fields(cls))
"""Names of the options that have a meaning for models only."""

BOTH = ("overwrite", "log")
"""Names of the options that have one for both."""


def export(
    source: Segmenter | str | Path, result: str | Path, image: str | Path | None = None, **options: Any
) -> list[int] | Path:
    """Export the objects of label images to QuPath or Fiji, or a model to other runtimes, zoos and hubs.

    Args:
        source: A label image or a folder of them; or a model, see `load_model`, or the folder of a run.
        result: The file or folder.
        image: For objects: the image whose intensities are measured.
        options: For objects see `export_objects`, for a model see `export_model`.

    Returns:
        For objects their number in each label image; for a model the file or folder.

    Raises:
        UnetkitError: See `export_objects` and `export_model`. An option of one has no meaning for the other.
    """
    if is_model(source, options.get("format")):
        given = [name for name in options if name not in (*MODEL_OPTIONS, *BOTH)] + ["image"] * (image is not None)
        if given:
            raise ConfigError(f"{given[0]} has no meaning for a model.", "Leave it out; it is for label images.")
        from unetkit.sharing.export_model import export_model

        return export_model(source, result, **options)
    given = [name for name in options if name in MODEL_OPTIONS]
    if given:
        raise ConfigError(
            f"{given[0]} has no meaning for label images, and {source} is no model.",
            "Leave it out, or give a model: a model.safetensors, or the folder of a run.",
        )
    from unetkit.measuring.export import export_objects

    assert isinstance(source, str | Path)
    return export_objects(source, result, image, **options)


def is_model(source: Segmenter | str | Path, named: str | None = None) -> bool:
    """Return whether what is exported is a model: it is loaded, its name says so, or a format of models is named."""
    if named is not None or not isinstance(source, str | Path):
        return True
    if is_address(source) or builtin_path(source) is not None:
        return True
    path = Path(source)
    if (path / MODEL_FILE).is_file():
        return True
    return path.exists() and path.suffix.lower() != ".zip" and kind_of(path) is not None
