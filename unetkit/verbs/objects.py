"""`unetkit measure` and `unetkit rasterize`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unetkit.cluster.options import ALONE, ClusterOptions
from unetkit.measuring.options import DEFAULT_MEASURE, MeasureOptions

MOST_SUMMARIES = 10
"""Most images whose numbers are printed."""


def measure_command(
    labels: Path,
    image: Path | None,
    table: Path,
    measuring: MeasureOptions = DEFAULT_MEASURE,
    machines: ClusterOptions = ALONE,
) -> None:
    """Measure the objects of label images: a table with size, shape and intensities of each.

      unetkit measure labels.tif objects.csv
      unetkit measure labels.tif image.tif objects.csv --ring 5um

    Args:
        labels: TIFF, OME-Zarr, NIfTI or PNG with a number for each object and 0 for background, of any program; or a
            folder of them.
        image: Image whose intensities are measured, or a folder of images with the names of the labels; may be left
            out.
        table: .csv or .parquet; for a folder of labels the folder that gets a .csv for each and summary.csv.
        measuring: What is measured.
        machines: Where it is done.
    """
    from unetkit.foundation.console import log
    from unetkit.foundation.progress import pixel_progress
    from unetkit.measuring.measure import measure
    from unetkit.objects.summary import describe_summary

    with pixel_progress() as progress:
        done = measure(labels, image, table, **vars(measuring), **vars(machines), log=log, progress=progress)
    for summary in done[:MOST_SUMMARIES]:
        log(describe_summary(summary))
    if len(done) > MOST_SUMMARIES:
        log(f"... and {len(done) - MOST_SUMMARIES} more.")
    log(f"Written to {table}.")


def rasterize_command(
    annotations: Path,
    image: Path,
    result: Path,
    output: Literal["mask", "labels", "classes"] = "mask",
    classes: str | None = None,
    ignore: str | None = None,
    overwrite: bool = False,
) -> None:
    """Make masks of what people drew: in QuPath (GeoJSON), Fiji (ROI), labelme, or as COCO.

      unetkit rasterize slide.geojson slide.svs mask.tif
      unetkit rasterize drawn my_images masks --output classes

    Args:
        annotations: Annotation file; a folder with one for each image; or a COCO file for all images.
        image: The image that was annotated, or the folder of the images. Only sizes are read.
        result: .tif, .zarr or .png; for a folder of images the folder that gets one .tif for each.
        output: "mask" is 0 background and 255 foreground. "labels" gives each object a number of its own, "classes"
            each class. Later objects cover earlier ones.
        classes: Names of the classes in the order of their numbers, from 1, for example "stroma,tumour"; by default
            they are sorted.
        ignore: Names of classes whose pixels are ignored, beside "ignore": they get the largest value, 255 in masks.
            Where there are objects of the class "region", all outside of them is ignored.
        overwrite: Replace existing outputs.
    """
    from unetkit.data.rasterize import describe, rasterize
    from unetkit.foundation.console import log

    done = rasterize(
        annotations, image, result, output=output, classes=classes, ignore=ignore or (), overwrite=overwrite
    )
    for line in describe(done):
        log(line)
