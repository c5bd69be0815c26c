"""`unetkit export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unetkit.cluster.options import ALONE, ClusterOptions
from unetkit.exporting.options import DEFAULT_EXPORT, ExportOptions
from unetkit.foundation.errors import ConfigError
from unetkit.measuring.options import DEFAULT_MEASURE, MeasureOptions
from unetkit.sharing.options import DEFAULT_SHARING, SharingOptions
from unetkit.sharing.said import NOTHING_SAID, SaidOptions

SUFFIX = ".geojson.gz"
"""Usual ending of the files in a folder of results."""


def export_command(
    source: Path,
    result: Path,
    image: Path | None = None,
    no_measurements: bool = False,
    suffix: str = SUFFIX,
    exporting: ExportOptions = DEFAULT_EXPORT,
    measuring: MeasureOptions = DEFAULT_MEASURE,
    machines: ClusterOptions = ALONE,
    sharing: SharingOptions = DEFAULT_SHARING,
    said: SaidOptions = NOTHING_SAID,
) -> None:
    """Export the objects of label images to QuPath or Fiji, or a model to other runtimes, zoos and hubs.

      unetkit export labels.tif objects.geojson.gz                  GeoJSON for QuPath, with exact outlines
      unetkit export labels.tif rois.zip                            ROIs for Fiji
      unetkit export runs/cells-1 cells.onnx --check image.tif      a model for ONNX Runtime
      unetkit export nuclei nuclei --format huggingface             a folder for the Hugging Face Hub

    Args:
        source: Labels: TIFF, OME-Zarr, NIfTI or PNG with a number for each object and 0 for background, of any program;
            or a folder of them. Or a model: a model.safetensors, the folder of a run, or the name of a built-in one.
        result: For labels .geojson or .geojson.gz for QuPath, .zip for ROIs of ImageJ and Fiji; for a folder of labels
            the folder that gets a file for each. For a model .onnx, .pt (TorchScript), .zip (bioimage.io), or a folder.
        image: Image whose intensities are measured in the objects, for QuPath; or a folder of images with the names of
            the labels.
        no_measurements: Give objects no measurements: the file is smaller, and takes half the time.
        suffix: Ending of the files in a folder of results.
        exporting: How objects are written.
        measuring: What is measured.
        machines: Where it is done.
        sharing: How a model is exported.
        said: What is said of an exported model.
    """
    from unetkit.foundation.console import loading, log
    from unetkit.foundation.progress import pixel_progress
    from unetkit.sharing.export import is_model

    objects: dict[str, Any] = {"no_measurements": no_measurements, "suffix": suffix}
    objects |= {**vars(exporting), **vars(measuring), **vars(machines)}
    usual = {"no_measurements": False, "suffix": SUFFIX}
    usual |= {**vars(DEFAULT_EXPORT), **vars(DEFAULT_MEASURE), **vars(ALONE)}
    models: dict[str, Any] = {**vars(sharing), **vars(said)}
    if is_model(source, sharing.format):
        overwrite = objects.pop("overwrite")
        _refuse({"image": image, **objects}, usual, "a model", "it is for label images")
        with loading():
            from unetkit.sharing.export_model import export_model

        export_model(source, result, overwrite=overwrite, log=log, **models)
        return
    _refuse(models, {**vars(DEFAULT_SHARING), **vars(NOTHING_SAID)}, "label images", f"{source} is no model")
    from unetkit.measuring.export import export_objects

    with pixel_progress() as progress:
        counts = export_objects(source, result, image, **objects, log=log, progress=progress)
    images = f" of {len(counts)} label images" if len(counts) > 1 else ""
    log(f"{sum(counts):,} objects{images} written to {result}.")


def _refuse(given: dict[str, Any], usual: dict[str, Any], what: str, why: str) -> None:
    """Raise a ConfigError for an option that was given but has no meaning."""
    for name, value in given.items():
        if value != usual.get(name):
            raise ConfigError(f"{name} has no meaning for {what}.", f"Leave it out: {why}.")
