"""Preview of `segment`: the image as it is interpreted, the plan, and the time, memory and disk that it takes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from shutil import disk_usage

from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.run.image import ImageRun
from unetkit.inference.run.jobs import Order
from unetkit.inference.tiling.grid import TileGrid
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.inference.tuning.device import resident_memory
from unetkit.inference.tuning.plan import ExecutionPlan, measure_footprint, needed_memory
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.files import check_output


@dataclass(frozen=True)
class Preview:
    """The plan for the first image, and the time, memory and disk for all images.

    Attributes:
        info: The first image as it is interpreted.
        images: Number of images.
        plan: Backend, precision, tile, halo and batch.
        grid: The tiles of a plane of the first image.
        seconds: Estimated from one tile, for all images if they are like the first.
        memory: Bytes, estimated, of the process on a CPU and of the device on a GPU.
        disk: Bytes of the outputs before compression, for all images if they are like the first.
        free_disk: Bytes that are free where the outputs go.
        min_size: Objects of fewer pixels would be left out of labels; None for other outputs.
        min_confidence: Objects of a lower confidence would be left out of labels; None without a confidence.
        zoom: Pixels that the models see, along each axis, for one of the first image.
        scratch: Bytes of the temporary files that reading the first image takes.
        warnings: Remarks on the first image, such as differences from the training images.
    """

    info: ImageInfo
    images: int
    plan: ExecutionPlan
    grid: TileGrid
    seconds: float
    memory: int
    disk: int
    free_disk: int
    min_size: int | None
    min_confidence: float | None
    zoom: float
    scratch: int
    warnings: tuple[str, ...]


def preview(order: Order, options: SegmentOptions) -> Preview:
    """Find out what `segment` would do, and write nothing.

    Args:
        order: From `take_order`.
        options: The user's choices.

    Raises:
        UnetkitError: What `segment` would raise before it predicts.
    """
    ensemble = gather_models(order.models)
    job, count = order.jobs[0], len(order.jobs)
    warnings: list[str] = []
    resident = resident_memory()
    source, predictor, recipe = ImageRun(order, ensemble, options, None, warnings.append).prepare(job)
    with closing(source):
        info, plan, grid, output = recipe.info, predictor.plan, predictor.grid(source.info), recipe.output
        if job.result == order.result or order.result.is_dir():  # a folder that is missing would be made
            check_output(job.result, output, overwrite=options.write.overwrite or options.write.resume)
        seconds = predictor.time_tile(source, grid) * len(grid) * info.planes * count
    used = 0 if plan.device.type == "cuda" else resident
    footprint = measure_footprint(ensemble, info, plan.halo, plan.precision, ensemble.kind(options.write))
    folder = next(parent for parent in job.result.resolve().parents if parent.is_dir())
    return Preview(
        info=info,
        images=count,
        plan=plan,
        grid=grid,
        seconds=seconds,
        memory=needed_memory(plan, footprint, info, options.tiling.memory_bytes) + used,
        disk=recipe.pixels * output.channels * output.dtype.itemsize * count,
        free_disk=disk_usage(folder).free,
        min_size=recipe.min_size,
        min_confidence=recipe.min_confidence,
        zoom=recipe.zoom,
        scratch=info.scratch_bytes,
        warnings=tuple(warnings),
    )
