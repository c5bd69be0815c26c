"""A volume through a model of planes in three directions: XY, XZ and YZ. The mean of their probabilities counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError
from unetkit.inference.checks.domain_check import PIXEL_SIZE_FACTOR
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.engine.uncertainty import UNCERTAINTY_CHANNELS
from unetkit.inference.run.averaging import Averaged
from unetkit.inference.run.direction_store import BUFFER_BYTES, CHUNK, DirectionStore
from unetkit.inference.run.inputs import open_for
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.predictor import PlaneFacts, Predictor, Progress
from unetkit.inference.run.recipe import Recipe, make_recipe
from unetkit.inference.run.unfinished import starts_anew
from unetkit.inference.tiling.grid import TileBlock, TileGrid
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.inference.tuning.device import cache_bytes, choose_device
from unetkit.inference.tuning.plan import ExecutionPlan
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.series import broadcast_sizes
from unetkit.io.files import create_sink
from unetkit.io.views.kept_planes import keep_planes
from unetkit.io.views.regrid import RegridSource, make_regrid
from unetkit.io.views.rescale import RescaledSource
from unetkit.io.views.reslice import ResliceSource
from unetkit.io.views.volume import VolumeSource, depth_axis
from unetkit.io.writing.resume_store import BandStore
from unetkit.models.sampling import ValidSource

NAMES = ("XY", "XZ", "YZ")
"""Directions, by the axis of a volume along which their planes follow each other."""

SAME_SIZE = 0.1
"""Pixels that differ from the wanted size by a smaller share are left as they are."""

DEEP = 3.0
"""Voxels that are deeper than this many times their width are remarked on."""

KEPT_SHARE = 0.5
"""Share of the memory for decoded pixels that keeps whole planes, each of which is seen in all directions."""


def direction_voxels(
    voxel: Sequence[float] | None, model: Sequence[float] | None, wanted: Sequence[float], planes: int
) -> list[tuple[float, ...] | None]:
    """Return the size of the voxels (z, y, x) that each direction needs, in µm; None where they stay as they are.

    In its planes, pixels are as large as the model knows them. From plane to plane they need not be finer than that; a
    model that sees neighbouring planes has them as far apart in all directions as in the image.

    Args:
        voxel: Size of the voxels of the volume; None if it is not known.
        model: Size of the pixels (y, x) that the model was trained on, if it is known.
        wanted: The user's size of pixels: one, or (y, x); empty if it is left open.
        planes: Neighbouring planes that the model sees.
    """
    if voxel is None:
        return [None] * 3
    own = tuple(voxel[1:])
    if wanted:
        size = broadcast_sizes(wanted, 2)
    elif model is not None and any(
        not 1 / PIXEL_SIZE_FACTOR <= mine / its <= PIXEL_SIZE_FACTOR for mine, its in zip(own, model, strict=True)
    ):
        size = tuple(model)
    else:
        size = own
    found: list[tuple[float, ...] | None] = []
    for axis in range(3):
        apart = voxel[0] if planes > 1 else max(voxel[axis], *size)
        sizes = [*size[:axis], apart, *size[axis:]]
        near = [
            there if abs(there / asked - 1) < SAME_SIZE else asked for there, asked in zip(voxel, sizes, strict=True)
        ]
        found.append(None if near == list(voxel) else tuple(near))
    return found


@dataclass(frozen=True)
class Direction:
    """One direction through a volume.

    Attributes:
        number: Axis of the volume along which its planes follow each other.
        whole: The volume as the direction needs it, without what holds no data.
        planes: Its planes.
        slab: Planes that are read together.
    """

    number: int
    whole: ValidSource
    planes: ImageSource
    slab: int

    @property
    def volume(self) -> ImageInfo:
        """Description of the volume."""
        return self.whole.info


class Directions:
    """A volume that is seen in three directions.

    Args:
        path: The image.
        ensemble: The models, of planes.
        options: The user's choices.
        note: Called with sentences about the image.

    Attributes:
        info: The volume as it is stored, which the output is like.

    Raises:
        UnetkitError: The image cannot be read, has no depth, or the models take volumes.
    """

    def __init__(self, path: Path, ensemble: Ensemble, options: SegmentOptions, note: Callable[[str], None]) -> None:
        if ensemble.dims == 3:
            raise ConfigError(f"{ensemble.name} takes volumes, which have no directions.", "Leave directions out.")
        self._ensemble = ensemble
        self._options = options
        self._note = note
        self._volume = _open_volume(path, ensemble, options, note)
        self.info = self._volume.info
        try:
            self._ways = _directions(self._volume, ensemble, options.read.pixel_sizes, note)
        except BaseException:  # whatever it is, the file must not stay open
            self._volume.close()
            raise

    @property
    def planes(self) -> ImageSource:
        """The planes of the first direction."""
        return self._ways[0].planes

    @property
    def bad_tiles(self) -> tuple[BadTile, ...]:
        """What could not be decoded so far."""
        return tuple(self._volume.bad_tiles)

    def recipe(self, plan: ExecutionPlan) -> Recipe:
        """Decide everything about the output: objects are those of the volume, found in its mask."""
        volume, planes = self.info, make_recipe(self._options, self._ensemble, self.planes.info, plan)
        unsure = self._options.write.output == "uncertainty"
        output = replace(
            planes.output,
            size=volume.size,
            plane_axes=volume.plane_axes,
            plane_shape=volume.plane_shape,
            pixel_size_um=volume.pixel_size_um,
            steps=volume.steps,
            space=volume.space,
            channels=2 if unsure else planes.output.channels,
            channel_names=UNCERTAINTY_CHANNELS if unsure else planes.output.channel_names,
        )
        return replace(planes, info=volume, grid=None, min_confidence=None, output=output)

    def segment(self, job: Job, predictor: Predictor, recipe: Recipe, progress: Progress | None) -> dict[str, Any]:
        """Predict all directions and write the output; return what the outcome says of the objects.

        Raises:
            UnetkitError: See `ImageRun.do`. What is finished stays beside the output.
        """
        infos = [way.volume for way in self._ways]
        whole = {**recipe.job, "output": "probabilities", "directions": [[*info.size] for info in infos]}
        store = DirectionStore(job.result, whole, infos, self._ensemble.classes)
        if store.begin(anew=starts_anew(self._options.write)):
            self._note(f"{store.path} holds parts of directions that are finished: going on from there.")
        for way in self._ways:
            _predict(way, predictor, store, progress)
        found = _write(job, recipe, _averaged(store, self._ways, recipe), store.path, self._note)
        store.remove()
        return found

    def close(self) -> None:
        """Close the image."""
        self._volume.close()


def _open_volume(path: Path, ensemble: Ensemble, options: SegmentOptions, note: Callable[[str], None]) -> VolumeSource:
    """Open a stack as volumes whose planes are decoded once."""
    cached = cache_bytes(options.tiling.memory_bytes, choose_device(options.tiling.device))
    kept = round(cached * KEPT_SHARE)
    source, chosen = open_for(path, ensemble, replace(options.read, pixel_size=None), cached - kept)
    try:
        info = source.info
        volume = VolumeSource(keep_planes(source, info.plane_shape[depth_axis(info)], kept))
    except BaseException:  # whatever it is, the file must not stay open
        source.close()
        raise
    for remark in (*info.remarks, *chosen):
        note(f"{info.name}: {remark}")
    return volume


def _directions(
    volume: ImageSource, ensemble: Ensemble, wanted: Sequence[float], note: Callable[[str], None]
) -> list[Direction]:
    info = volume.info
    voxel = info.pixel_size_um
    if voxel is not None and voxel[0] > DEEP * min(voxel[1:]):
        note(
            f"{info.name} has voxels {voxel[0] / min(voxel[1:]):.1f} times as deep as wide: in XZ and YZ most of what "
            "the model sees lies between planes. Compare the result with that of XY alone."
        )
    if voxel is None:
        note(f"{info.name} does not say how large its voxels are, so they are taken for cubes. --spacing says it.")
    found = []
    sizes = direction_voxels(voxel, ensemble.specs[0].pixel_size_um, wanted, ensemble.planes)
    for axis, voxel in enumerate(sizes):
        scaled = volume if voxel is None else RescaledSource(volume, voxel)
        whole = ValidSource(scaled)
        if axis == 0:  # as planes are always seen: each is measured, and has its own holes
            found.append(Direction(axis, whole, ValidSource(ResliceSource(scaled, axis)), CHUNK))
        else:
            planes = ResliceSource(whole, axis)
            found.append(Direction(axis, whole, planes, planes.slab))
    return found


def _predict(way: Direction, predictor: Predictor, store: DirectionStore, progress: Progress | None) -> None:
    """Predict what is missing of a direction."""
    grid = predictor.grid(way.planes.info)
    groups = list(_groups(way, grid, predictor.ensemble.classes))
    known = store.done(way.number)
    if progress is not None:
        progress(sum(block.pixels for group in groups[:known] for block in group) // len(NAMES))
    left = groups[known:]

    def write(bands: Iterator[NDArray[Any]]) -> None:
        for group in left:
            pixels = np.stack(list(islice(bands, len(group))), axis=1)  # (C, planes, h, w)
            item, window = _place(group, way)
            store.put(way.number, item, window, np.moveaxis(pixels, 1, 1 + way.number))

    if left:
        third = None if progress is None else lambda pixels: progress(pixels // len(NAMES))
        blocks = [block for group in left for block in group]
        predictor.run(way.planes, blocks, write, look=_look(way, predictor), progress=third)


def _look(way: Direction, predictor: Predictor) -> Callable[[int], PlaneFacts] | None:
    """Return what measures the planes of a direction; None for those that are measured one by one.

    A plane across y or x may pass nothing but background, and would then be taken for a faint image. So its values are
    those of the whole volume.
    """
    if way.number == 0:
        return None
    depth = way.volume.size[way.number]
    measured = cache(lambda item: predictor.measure(way.whole, item))
    return lambda plane: PlaneFacts(measured(plane // depth), predictor.background(way.planes, plane))


def _groups(way: Direction, grid: TileGrid, classes: int) -> Iterator[list[TileBlock]]:
    """Yield rows of tiles at one place in planes beside each other: few enough for memory, many enough for disk."""
    depth = way.volume.size[way.number]
    row = max(span.core_stop - span.core_start for span in grid.bands) * grid.size[1]
    most = max(1, min(CHUNK, way.slab, BUFFER_BYTES // (4 * classes * row)))
    thick = 1 << (most.bit_length() - 1)  # a power of 2, so that groups end with chunks
    across = len(grid.spans[1])
    for volume in range(way.planes.info.planes // depth):
        for front in range(0, depth, thick):
            items = range(volume * depth + front, volume * depth + min(front + thick, depth))
            for band in range(len(grid.bands)):
                yield [grid.cut(item, [(band, band + 1), (0, across)]) for item in items]


def _place(group: Sequence[TileBlock], way: Direction) -> tuple[int, Window]:
    """Return the volume in which a group of bands lies, and where."""
    item, first = divmod(group[0].item, way.volume.size[way.number])
    window = [*group[0].window]
    window.insert(way.number, slice(first, first + len(group)))
    return item, tuple(window)


def _averaged(store: DirectionStore, ways: Sequence[Direction], recipe: Recipe) -> Averaged:
    sources: list[ImageSource] = []
    for way in ways:
        source: ImageSource = store.source(way.number)
        if way.volume.size != recipe.info.size:
            source = RegridSource(source, make_regrid(way.volume, way.volume, None, recipe.info))
        sources.append(source)
    return Averaged(sources, recipe.options.write.output, recipe.threshold, recipe.output)


def _write(job: Job, recipe: Recipe, averaged: Averaged, folder: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """Write the output; return what the outcome says of the objects."""
    if recipe.options.write.output != "labels":
        averaged.write(create_sink(job.result, recipe.output, overwrite=recipe.options.write.overwrite))
        return {}
    from unetkit.inference.run.labelling import write_labels  # here: only labels need OpenCV and its memory

    with closing(BandStore.create(folder / "mask", {})) as bands:
        for band in averaged.bands():
            bands.append(band)
            del band  # before the next is made
        objects, summary = write_labels(job, bands, recipe, note)
    return {"objects": objects, "summary": summary}
