"""Tiled prediction from array to array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unetkit.errors import ImageError
from unetkit.inference.forward import Output
from unetkit.inference.tiling import Progress, Tiling, describe_output, predict
from unetkit.io.image import ArraySink, ArraySource
from unetkit.models.segmenter import Segmenter, load_model

LARGEST_SAMPLES = 4
"""An array whose last dimension is this or less, the two before being larger, is colours and not narrow planes."""


def predict_tiled(
    array: Any,
    model: Segmenter | str | Path,
    *,
    axes: str | None = None,
    tile: int | None = None,
    halo: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    output: Output = "mask",
    threshold: float | None = None,
    out: Any = None,
    progress: Progress | None = None,
) -> Any:
    """Segment an array of any size.

    Args:
        array: Raw pixels: a NumPy array, or anything with `shape` and `dtype` that can be sliced like one (zarr, dask,
            memmap). Only the windows that a tile needs are read.
        model: A model from `load_model`, or the path of a model file.
        axes: One letter for each dimension, for example "YX", "CYX", "YXS" (S: samples such as RGB), "ZCYX". By default
            the channels are found by their number; all other leading dimensions are planes.
        tile: Largest window that the network sees at once, in pixels, a multiple of the encoder's stride.
        halo: Context around the part of a tile that is kept, in pixels; by default the one measured for the model.
        batch: Tiles that go through the network together; by default 1 on a CPU and 8 on a GPU.
        device: "auto" (CUDA, else MPS, else CPU) or a torch device such as "cpu" or "cuda:1".
        output: "mask" or "probabilities".
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground; by default the model's.
        out: Array to write to, for a result that does not fit in memory: a memmap, zarr, or NumPy array of the shape
            and dtype described below.
        progress: Called with the number of pixels predicted since the last call.

    Returns:
        `out`, or a new NumPy array: a mask (planes ..., H, W) of uint8, 0 and 255, or class numbers where the model has
        more than two classes; or probabilities of float32, 0 to 1, (planes ..., classes, H, W) where the model has more
        than two classes.

    Raises:
        ImageError: The array does not fit the model, or has NaN or infinite pixels.
        ConfigError: A tile, halo, batch, device or threshold that is not possible.
        ModelError: The model file cannot be used.
        OutputError: `out` has the wrong shape or dtype.

    Example:
        >>> import numpy as np, unetkit
        >>> slide = np.memmap("slide.raw", np.uint8, "r", shape=(60_000, 80_000))  # doctest: +SKIP
        >>> mask = unetkit.predict_tiled(slide, "model.safetensors")  # doctest: +SKIP
    """
    segmenter = model if isinstance(model, Segmenter) else load_model(model)
    if axes is None:
        axes = guess_axes(tuple(int(size) for size in array.shape), segmenter.spec.in_channels)
    source = ArraySource(array, axes)
    tiling = Tiling(tile, halo, batch, device, output, threshold)
    sink = ArraySink(describe_output(source.info, segmenter, tiling), out)
    predict(source, sink, segmenter, tiling, progress)
    return sink.array


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
    elif len(shape) >= 3 and shape[-1] <= LARGEST_SAMPLES < min(shape[-3:-1]):
        raise ImageError(
            f"An array of shape {shape} looks like an image of {shape[-1]} channels, but the model takes {channels}.",
            f"Give an image of {channels}, or say what the dimensions are with axes, for example 'ZYX'.",
        )
    else:
        spatial = "YX"
    return "QTZ"[3 - (len(shape) - len(spatial)) :] + spatial
