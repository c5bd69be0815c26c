"""`unetkit segment`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic

from unetkit.cluster.options import ALONE, ClusterOptions
from unetkit.inference.tiling.object_options import NO_OBJECTS, ObjectOptions
from unetkit.inference.tiling.options import (
    DEFAULT_OUTPUT,
    DEFAULT_TILING,
    OutputOptions,
    SegmentOptions,
    TilingOptions,
)
from unetkit.io.base.read_options import WHOLE, ReadOptions


def segment_command(
    images: list[Path],
    result: Path,
    model: list[Path] = [],  # noqa: B006  # only read
    read: ReadOptions = WHOLE,
    tiling: TilingOptions = DEFAULT_TILING,
    write: OutputOptions = DEFAULT_OUTPUT,
    objects: ObjectOptions = NO_OBJECTS,
    cluster: ClusterOptions = ALONE,
    verify_seams: bool = False,
    dry_run: bool = False,
) -> None:
    """Segment images of any size: find the objects in them.

      unetkit segment image.tif mask.tif
      unetkit segment slides/*.svs masks --model runs/mine-1/model.safetensors --output labels

    Args:
        images: TIFF, OME-Zarr, PNG or JPEG; a folder of them, a pattern such as "slides/*.svs", or several of these.
        result: .tif, .zarr or .png; for several images the folder that gets one .tif for each; for the output "classes"
            a .csv. An OME-Zarr image itself, or a folder of them, gets a mask or labels inside.
        model: The model.safetensors of a run, or of several, whose mean counts; a folder stands for all below it. Or
            the name of a built-in model; by default "nuclei". Or a model of another program: a package of bioimage.io
            (.zip, folder, bioimageio:NICKNAME), an .onnx file, hf:owner/name, a folder of smp's save_pretrained.
        read: How images are read.
        tiling: How they are predicted.
        write: How results are written.
        objects: What is written of each object.
        cluster: Where it is done.
        verify_seams: Compare tiles of the result with passes that see far more of the image, and print how they differ.
        dry_run: Print what would be done and how long it would take, and do nothing.
    """
    from unetkit.foundation.console import loading, log, show
    from unetkit.foundation.progress import pixel_progress
    from unetkit.inference.run.jobs import check_extras, take_order
    from unetkit.inference.spread.workers import workers_of

    options = SegmentOptions(read, tiling, write, objects)
    check_extras(write.output, verify_seams=verify_seams, dry_run=dry_run)
    order = replace(take_order(images, result, model, options, log), cluster=cluster.cluster)
    with workers_of(None if dry_run else cluster.cluster, None, log) as crew:
        with loading():
            from unetkit.inference.preview import preview
            from unetkit.inference.segment import SegmentRun
            from unetkit.report.segmented import describe_preview, summarize

        if dry_run:
            show(describe_preview(preview(order, options)))
            if cluster.cluster is not None:
                log(
                    f"Time and memory are those of this machine alone; the workers of {cluster.cluster} share the time."
                )
            return
        start = monotonic()
        with pixel_progress(together=order.count if crew and order.count > 1 else None) as progress:
            done = SegmentRun(options, progress, log, verify_seams, crew).run(order)
        seconds = monotonic() - start if crew and order.count > 1 else None
    for line in summarize(done, order.result, options.read, seconds):
        log(line)
