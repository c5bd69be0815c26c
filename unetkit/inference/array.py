"""Tiled prediction from array to array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.foundation.options import split_options
from unetkit.foundation.progress import pixel_progress
from unetkit.inference.engine.ensemble import Ensemble, Models, gather_models
from unetkit.inference.run.output import INTERPOLATED, put_back
from unetkit.inference.run.predictor import Predictor, Progress
from unetkit.inference.run.recipe import Recipe, make_recipe
from unetkit.inference.run.zoom import find_zoom, largest_zoom, with_zoom
from unetkit.inference.tiling.grid import TileBlock
from unetkit.inference.tiling.options import Output, OutputOptions, SegmentOptions, TilingOptions
from unetkit.io.base.array_likes import check_array, named_axes
from unetkit.io.base.arrays import ArraySink, ArraySource
from unetkit.io.base.contracts import UNNAMED_AXES, ImageInfo, ImageSource
from unetkit.io.decoding.cache import CACHE_BYTES
from unetkit.io.views.kept_planes import KeptPlanes
from unetkit.io.views.regrid import unzoomed
from unetkit.io.views.volume import VolumeSource
from unetkit.io.writing.resume_store import kept_and_new
from unetkit.models.builtin_models import DEFAULT_MODEL
from unetkit.models.sampling import ValidSource
from unetkit.zoo.references import find_model

RELEASED_PIXELS = 512 * 512
"""Largest window, in pixels, whose memory is kept after a call. The memory of larger ones is given back."""

LARGEST_COLOUR_SAMPLES = 4
"""Largest size of a last dimension that holds colours, if the two dimensions before it are larger."""


def predict_tiled(
    array: Any,
    model: Models | None = None,
    *,
    axes: str | None = None,
    output: Output = "mask",
    threshold: float | None = None,
    split: bool = False,
    close: float | None = None,
    min_size: int | None = None,
    min_confidence: float | None = None,
    out: Any = None,
    progress: Progress | bool | None = None,
    **tiling: Any,
) -> Any:
    """Segment an array of any size.

    Args:
        array: Raw pixels: a NumPy array, or anything with `shape` and `dtype` that can be sliced like one (zarr, dask,
            xarray, memmap). Only the windows that a tile needs are read.
        model: A model from `load_model`, the path of a model file, or the name of a built-in model; the mean of several
            counts. By default the built-in "nuclei".
        axes: One letter for each dimension, for example "YX", "CYX", "YXS" (S: samples such as RGB), "ZCYX". By default
            the names that the array gives its dimensions (xarray, Zarr, OME-Zarr); where it gives none, the channels
            are found by their number, and all other leading dimensions are planes.
        output: "mask", "probabilities", "uncertainty" or "labels"; "restored" for a model that `unetkit pretrain` made.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground; by default the model's.
        split: For labels: separate touching objects. A model with instances does so by itself.
        close: For labels: by how much the probability falls between regions that are kept apart, such as neurons whose
            membrane has a gap, 0 to 1.
        min_size: For labels: objects of fewer pixels are left out; by default those below the smallest size in the
            model's training images, if it is known.
        min_confidence: For labels of a model with instances: objects of a lower confidence, 0 to 1, are left out; by
            default those below the model's.
        out: Array to write to, for a result that does not fit in memory: a memmap, zarr, or NumPy array of the shape
            and dtype described below.
        progress: True shows a bar, in a notebook or a terminal. Or a function, which is called with the number of
            pixels predicted since its last call.
        **tiling: Any field of `unetkit.inference.tiling.options.TilingOptions`: tile, halo, batch, device, backend,
            precision, memory, zoom, tta, skip_empty.

    Returns:
        `out`, or a new NumPy array. Of a model of volumes it has D, H, W in place of H, W. It is a mask (planes ..., H,
        W) of uint8, 0 and 255, or class numbers where the model has more than two classes; or probabilities of float32,
        0 to 1, (planes ..., classes, H, W) where the model has more than two classes; or the uncertainty, float32 from
        0 to 1, (planes ..., H, W), with several models or tta (planes ..., 2, H, W) with the spread between them; or
        labels of uint16, or uint32 where there are more than 65,535 objects, 0 for background; or the restored image
        (planes ..., channels, H, W) in the range and type of the array. In a stack, no two objects have the same
        number: they are counted on from plane to plane.

    A model from `load_model` stays on its backend from call to call, as long as there is the model, and may be used by
    several threads at a time. One that is given as a file or by its name is loaded anew by each call.

    Raises:
        ImageError: It is no array, does not fit the model, or has NaN or infinite pixels.
        ConfigError: A tile, halo, batch, device, backend or threshold that is not possible.
        ModelError: The model file cannot be used, or what the model predicts is NaN.
        OutputError: `out` has the wrong shape or dtype.

    Example:
        >>> import numpy as np, unetkit
        >>> slide = np.memmap("slide.raw", np.uint8, "r", shape=(60_000, 80_000))  # doctest: +SKIP
        >>> mask = unetkit.predict_tiled(slide, "model.safetensors")  # doctest: +SKIP
    """
    check_array(array)
    ensemble = gather_models(find_model(DEFAULT_MODEL) if model is None else model)
    (choices,) = split_options(tiling, TilingOptions)
    write = OutputOptions(
        output=output,
        threshold=threshold,
        split=split,
        close=close,
        min_size=min_size,
        min_confidence=min_confidence,
    )
    source = _as_source(array, choose_axes(array, ensemble.channels) if axes is None else axes, ensemble)
    return _predict_source(source, ensemble, SegmentOptions(tiling=choices, write=write), out, progress)


def predict_plane(
    stack: Any,
    model: Models,
    plane: int,
    *,
    axes: str,
    output: Output = "mask",
    min_size: int | None = None,
    progress: Progress | bool | None = None,
    **tiling: Any,
) -> NDArray[Any]:
    """Segment one plane of a stack, of which a model may see the neighbours too.

    Args:
        stack: Raw pixels, see `predict_tiled`; only what is needed of the planes is read.
        model: The model.
        plane: Number of the plane, from 0.
        axes: One letter for each dimension; one of them, Z, numbers the planes.
        output: See `predict_tiled`.
        min_size: See `predict_tiled`.
        progress: See `predict_tiled`.
        **tiling: See `predict_tiled`.

    Returns:
        What `predict_tiled` returns for that plane.
    """
    ensemble = gather_models(model)
    (choices,) = split_options(tiling, TilingOptions)
    options = SegmentOptions(tiling=choices, write=OutputOptions(output=output, min_size=min_size))
    source = _as_source(stack, axes, ensemble)
    found: NDArray[Any] = _predict_source(source, ensemble, options, progress=progress, only=plane)
    return found


def _as_source(array: Any, axes: str, ensemble: Ensemble) -> ValidSource:
    """Return an array as an image for models."""
    stored: ImageSource = ArraySource(array, axes)
    if ensemble.planes > 1 and not isinstance(array, np.ndarray):  # each part of it is computed or decoded once
        stored = KeptPlanes(stored, ensemble.planes, CACHE_BYTES)
    return ValidSource(VolumeSource(stored) if ensemble.dims == 3 else stored)


def _predict_source(
    source: ValidSource,
    ensemble: Ensemble,
    options: SegmentOptions,
    out: Any = None,
    progress: Progress | bool | None = None,
    only: int | None = None,
) -> Any:
    """Predict an image, or only one of its planes, and return the array of the output."""
    most = largest_zoom(ensemble, options)
    planned = source if most == 1 else source.zoomed(most)  # planned for an image of the size that it may have
    pixels = planned.info.pixels if only is None else prod(planned.info.size)
    predictor = Predictor(
        ensemble,
        options.tiling,
        planned,
        pixels,
        kind=ensemble.kind(options.write),
        threshold=options.write.threshold,
        log=log_nothing,
    )
    zoom = find_zoom(source, predictor, options, only)
    seen = source if zoom == 1 else source.zoomed(zoom)
    back = None if zoom == 1 else unzoomed(seen.info, source.info)
    info = seen.info if only is None else replace(seen.info, plane_axes="", plane_shape=())
    recipe = make_recipe(with_zoom(options, zoom), ensemble, info, predictor.plan, back=back)
    assert recipe.grid is not None
    blocks = recipe.blocks if only is None else [replace(block, item=only) for block in recipe.blocks]
    with shown_progress(progress, info) as advance:
        try:
            return _predict(predictor, seen, blocks, recipe, out, advance)
        finally:
            if prod(recipe.grid.window) > RELEASED_PIXELS:
                predictor.release()


def _predict(
    predictor: Predictor,
    source: ValidSource,
    blocks: Sequence[TileBlock],
    recipe: Recipe,
    out: Any,
    progress: Progress | None,
) -> Any:
    """Predict an array, and return the array of the output.

    Args:
        predictor: The models.
        source: The array.
        blocks: What of it is predicted, in the order of the blocks of the output.
        recipe: The decisions about the output.
        out: Array to write to.
        progress: Called with the number of pixels predicted since the last call.
    """
    if recipe.options.write.output != "labels":
        sink = ArraySink(recipe.output, out)

        kept: list[NDArray[Any]] = []
        interpolated = recipe.back is not None and recipe.options.write.output in INTERPOLATED

        def write(bands: Iterator[NDArray[Any]]) -> None:
            for item, window, band in put_back(recipe, kept_and_new(kept, 0, bands) if interpolated else bands, kept):
                sink.write_block(item, window, band)

        predictor.run(source, blocks, write, progress=progress)
        return sink.array
    from unetkit.inference.run.labelling import make_labels  # here, since only labels need OpenCV and its memory

    bands: list[NDArray[Any]] = []

    def collect(rows: Iterator[NDArray[Any]]) -> None:
        bands.extend(rows)

    predictor.run(source, blocks, collect, progress=progress)
    labels = make_labels(bands, recipe)
    sink = ArraySink(replace(recipe.output, dtype=np.dtype(labels.dtype)), out)
    rows = labels.rows()
    sink.write(rows if recipe.back is None else recipe.back.rows(rows, recipe.info.planes))
    return sink.array


@contextmanager
def shown_progress(progress: Progress | bool | None, info: ImageInfo) -> Iterator[Progress | None]:
    """Give the function that is called with the number of pixels that are done, if there is one.

    Args:
        progress: See `predict_tiled`.
        info: The image.

    Raises:
        ConfigError: It is neither a function nor a truth value.
    """
    if callable(progress):
        yield progress
    elif progress is None or progress is False:
        yield None
    elif progress is True:
        with pixel_progress(asked=True) as begin:
            yield begin(info.name, info.pixels)
    else:
        raise ConfigError("progress is neither True nor a function.", "Use progress=True to see a bar.")


def choose_axes(array: Any, channels: int) -> str:
    """Return the axes of an array: those that it names, or else `guess_axes`.

    An axis without a known name is the channels if it has as many as the model takes.

    Raises:
        ImageError: Neither is possible.
    """
    shape = tuple(int(size) for size in array.shape)
    axes = named_axes(array)
    if axes is None:
        return guess_axes(shape, channels)
    unnamed = [axis for axis, size in zip(axes, shape, strict=True) if axis in UNNAMED_AXES and size == channels > 1]
    if len(unnamed) == 1 and not {"C", "S"} & set(axes):
        return axes.replace(unnamed[0], "C")
    return axes


def guess_axes(shape: tuple[int, ...], channels: int) -> str:
    """Name the dimensions of an array for a model that takes `channels` channels.

    Y and X are last, or before a last dimension of the size `channels` or 1; the dimension before Y is the channels if
    it has the size `channels`; all dimensions before are planes.

    Raises:
        ImageError: The array has fewer than 2 or more than 5 dimensions, or looks like samples of another number.
    """
    if not 2 <= len(shape) <= 5:
        raise ImageError(f"An array of shape {shape} is not an image.", "Give 2 to 5 dimensions, for example (H, W).")
    if len(shape) >= 3 and channels > 1 and shape[-3] == channels:
        spatial = "CYX"
    elif len(shape) >= 3 and shape[-1] in (1, channels) and shape[-2] > shape[-1]:
        spatial = "YXS"
    elif len(shape) >= 3 and shape[-1] <= LARGEST_COLOUR_SAMPLES < min(shape[-3:-1]):
        raise ImageError(
            f"An array of shape {shape} looks like an image of {shape[-1]} channels, but the model takes {channels}.",
            f"Give an image of {channels}, or say what the dimensions are with axes, for example 'ZYX'.",
        )
    else:
        spatial = "YX"
    return "QTZ"[3 - (len(shape) - len(spatial)) :] + spatial
