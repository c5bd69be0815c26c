"""What `segment` would do: the image as it is interpreted, the plan, and what it takes of time, memory and disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from unetkit.inference.engine.ensemble import Models, gather_models
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.recipe import describe_output, least_confidence, smallest_size
from unetkit.inference.segment import SegmentRun
from unetkit.inference.tiling.grid import TileGrid
from unetkit.inference.tiling.options import OutputOptions, TilingOptions
from unetkit.inference.tuning.device import choose_device, resident_memory
from unetkit.inference.tuning.plan import ExecutionPlan, measure_footprint, needed_memory
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import check_output


@dataclass(frozen=True)
class Preview:
    """What would be done with the first image, and what all images would take.

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
        min_confidence: The same of objects that the models are less sure of; None too where they do not say.
        scratch: Bytes of the temporary files that reading the first image takes.
        warnings: In what the first image differs from the training images, and more of the kind.
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
    scratch: int
    warnings: tuple[str, ...]


def preview(
    jobs: Sequence[Job],
    result: Path,
    models: Models,
    reading: ReadOptions,
    tiling: TilingOptions,
    written: OutputOptions,
) -> Preview:
    """Find out what `segment` would do, writing nothing.

    Args:
        jobs: What `plan_jobs` makes of the images and `result`.
        result: The output, or the folder of several.
        models: See `segment`.
        reading: See `segment`.
        tiling: See `segment`.
        written: See `segment`.

    Raises:
        UnetkitError: What `segment` would raise before it predicts.
    """
    ensemble = gather_models(models)
    job = jobs[0]
    warnings: list[str] = []
    segmentation = SegmentRun(reading, tiling, written, None, warnings.append)
    with closing(segmentation.open(job, ensemble)) as source:
        used = 0 if choose_device(tiling.device).type == "cuda" else resident_memory()
        info = source.info
        predictor = segmentation.predictor(source, ensemble, jobs)
        plan, grid = predictor.plan, predictor.grid(info)
        spec = describe_output(info, ensemble, plan, reading, tiling, written)
        if job.result == result or result.is_dir():  # a folder that is missing would be made
            check_output(job.result, spec, overwrite=written.overwrite or written.resume)
        seconds = predictor.time_tile(source) * len(grid) * info.planes * len(jobs)
    footprint = measure_footprint(ensemble, info, plan.halo, plan.precision, ensemble.kind(written.output))
    folder = next(parent for parent in job.result.resolve().parents if parent.is_dir())
    return Preview(
        info=info,
        images=len(jobs),
        plan=plan,
        grid=grid,
        seconds=seconds,
        memory=needed_memory(plan, footprint, info, tiling.memory_bytes) + used,
        disk=info.planes * spec.channels * info.height * info.width * spec.dtype.itemsize * len(jobs),
        free_disk=disk_usage(folder).free,
        min_size=smallest_size(info, ensemble, written) if written.output == "labels" else None,
        min_confidence=least_confidence(ensemble, written) if written.output == "labels" else None,
        scratch=info.scratch_bytes,
        warnings=tuple(warnings),
    )
