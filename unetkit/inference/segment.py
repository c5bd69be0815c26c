"""Tiled prediction: file to file, folder to folder, array to array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from unetkit.errors import ConfigError, ImageError, OutputError, UnetkitError
from unetkit.inference.engine import run_tiles
from unetkit.inference.forward import Forward, Output, choose_device
from unetkit.inference.grid import TileGrid, make_grid, round_up
from unetkit.io.files import create_sink, find_images, image_stem, open_image
from unetkit.io.image import UNNAMED_AXES, ArraySink, ArraySource, ImageInfo, ImageSource, OutputSpec
from unetkit.models.segmenter import Segmenter, load_model
from unetkit.models.spec import ModelSpec

DEFAULT_TILE = 1024
"""Size of a window, in pixels: large enough that the halo costs little, small enough for the memory of a laptop."""

DEFAULT_BATCH = {"cuda": 8, "mps": 4, "cpu": 1}
"""Windows that go through the network together, by kind of device."""

LARGEST_SAMPLES = 4
"""An array whose last dimension is this or less, the two before being larger, is colours and not narrow planes."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Tiling:
    """How an image is cut and what is predicted.

    Args:
        tile: Largest window that the network sees at once, in pixels, a multiple of the encoder's stride.
        halo: Context around the part of a tile that is kept, in pixels; by default the one measured for the model.
        batch: Tiles that go through the network together; by default 1 on a CPU and 8 on a GPU.
        device: "auto" (CUDA, else MPS, else CPU) or a torch device such as "cpu" or "cuda:1".
        output: "mask" or "probabilities".
        threshold: Foreground probability from which a pixel is foreground; by default the model's.
    """

    tile: int | None = None
    halo: int | None = None
    batch: int | None = None
    device: str = "auto"
    output: Output = "mask"
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise ConfigError(f"batch: {self.batch} is not possible.", "Use 1 or more.")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ConfigError(f"threshold: {self.threshold:g} is not possible.", "Use a number between 0 and 1.")
        if self.output not in ("mask", "probabilities"):
            raise ConfigError(f"output: '{self.output}' is not possible.", "Use 'mask' or 'probabilities'.")

    def grid(self, height: int, width: int, spec: ModelSpec) -> TileGrid:
        """Lay tiles over a plane of this size for a model.

        Raises:
            ConfigError: The tile or the halo does not fit the model's stride.
        """
        halo = spec.halo if self.halo is None else self.halo
        smallest = round_up(2 * halo + 1, spec.stride)
        tile = max(DEFAULT_TILE, smallest) if self.tile is None else self.tile
        return make_grid(height, width, tile=tile, halo=halo, stride=spec.stride)


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
    sink = ArraySink(_output_spec(source.info, segmenter, tiling), out)
    _run(source, sink, segmenter, tiling, progress)
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


@dataclass(frozen=True)
class Segmented:
    """One output of `segment`.

    Attributes:
        input: The image.
        output: The file that was written.
        pixels: Number of pixels that were predicted.
    """

    input: Path
    output: Path
    pixels: int


def segment(
    input: str | Path,
    output: str | Path,
    model: Segmenter | str | Path,
    *,
    tiling: Tiling | None = None,
    overwrite: bool = False,
    progress: Callable[[ImageInfo], Progress] | None = None,
) -> list[Segmented]:
    """Segment an image file of any size into a file, or every image of a folder into a folder.

    Args:
        input: TIFF, PNG or JPEG, or a folder of them.
        output: `.tif`, `.tiff` or `.png`; for a folder of images the folder that gets one `.tif` for each.
        model: A model from `load_model`, or the path of a model file.
        tiling: Tile, halo, batch, device, kind of output and threshold; the model's and the machine's by default.
        overwrite: Whether existing outputs are replaced, each at the moment when the new one is complete.
        progress: Called for each image; returns a function that is called with the number of pixels predicted since
            its last call.

    Returns:
        What was written.

    Raises:
        UnetkitError: An input cannot be read, the output exists or cannot be written, or a setting is not possible. Of
            a folder the other images are segmented all the same, and the error names those that failed.
    """
    tiling = tiling or Tiling()
    jobs = _plan(Path(input), Path(output), overwrite)
    segmenter = model if isinstance(model, Segmenter) else load_model(model)
    tiling.grid(1, 1, segmenter.spec)  # an impossible tile or device is an error before any file is touched
    choose_device(tiling.device)
    if Path(input).is_dir():
        _make_folder(Path(output))
    done: list[Segmented] = []
    failed: list[UnetkitError] = []
    for source_path, sink_path in jobs:
        try:
            done.append(_segment_file(source_path, sink_path, segmenter, tiling, overwrite, progress))
        except UnetkitError as error:
            if len(jobs) == 1:
                raise
            failed.append(error)
    if failed:
        problems = " ".join(f"({i}) {error.problem}" for i, error in enumerate(failed, 1))
        raise ImageError(f"{len(failed)} of {len(jobs)} images were not segmented: {problems}", failed[0].remedy)
    return done


def open_for(path: Path, channels: int) -> ImageSource:
    """Open an image for a model: an axis without a name that has the model's number of channels is the channels."""
    source = open_image(path)
    info = source.info
    unnamed = [i for i, axis in enumerate(info.axes) if axis in UNNAMED_AXES]
    if channels > 1 and info.channels == 1 and len(unnamed) == 1 and info.shape[unnamed[0]] == channels:
        source.close()
        return open_image(path, axes=info.axes.replace(info.axes[unnamed[0]], "C"))
    return source


def _plan(input: Path, output: Path, overwrite: bool) -> list[tuple[Path, Path]]:
    """Pair inputs with outputs; raise before any work if an output could not be written."""
    if not input.is_dir():
        if output.exists() and input.exists() and output.samefile(input):
            raise OutputError(f"The output {output} is the input itself.", "Choose another name.")
        return [(input, output)]
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file, but {input} is a folder.", "Give a folder for the outputs.")
    if output.exists() and output.resolve() == input.resolve():
        raise OutputError(f"The outputs would go into the folder of the inputs, {input}.", "Give another folder.")
    jobs = [(path, output / f"{image_stem(path)}.tif") for path in find_images(input)]
    targets = [target for _, target in jobs]
    _check_free(targets, overwrite)
    return jobs


def _check_free(targets: Sequence[Path], overwrite: bool) -> None:
    twice = {target for target in targets if targets.count(target) > 1}
    if twice:
        raise OutputError(
            f"Several inputs would be written to {min(twice)}.", "Rename them, so that each has a stem of its own."
        )
    existing = [target for target in targets if target.exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{len(existing)} of {len(targets)} outputs exist already, for example {existing[0]}.",
            "Pass --overwrite or choose another folder.",
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made ({error.strerror}).", "Choose a folder that you may write to."
        ) from error


def _segment_file(
    input: Path,
    output: Path,
    segmenter: Segmenter,
    tiling: Tiling,
    overwrite: bool,
    progress: Callable[[ImageInfo], Progress] | None,
) -> Segmented:
    """Segment one file."""
    with closing(open_for(input, segmenter.spec.in_channels)) as source:
        info = source.info
        sink = create_sink(output, _output_spec(info, segmenter, tiling), overwrite=overwrite)
        _run(source, sink, segmenter, tiling, progress(info) if progress else None)
    return Segmented(input, output, info.planes * info.height * info.width)


def _run(source: ImageSource, sink: Any, segmenter: Segmenter, tiling: Tiling, progress: Progress | None) -> None:
    """Predict all planes of a source into a sink.

    Raises:
        ImageError: The pixels are no real numbers.
    """
    spec = segmenter.spec
    if source.info.dtype.kind not in "buif":
        raise ImageError(
            f"{source.info.name} has pixels of {source.info.dtype}.", "Give real numbers, for example the magnitude."
        )
    device = choose_device(tiling.device)
    threshold = spec.threshold if tiling.threshold is None else tiling.threshold
    run_tiles(
        source,
        sink,
        tiling.grid(source.info.height, source.info.width, spec),
        Forward(segmenter, device, tiling.output, threshold),
        segmenter.normalizer,
        channels=spec.in_channels,
        batch=DEFAULT_BATCH.get(device.type, 1) if tiling.batch is None else tiling.batch,
        progress=progress,
    )


def _output_spec(info: ImageInfo, segmenter: Segmenter, tiling: Tiling) -> OutputSpec:
    """Describe the output for an image, with what made it."""
    spec = segmenter.spec
    probabilities = tiling.output == "probabilities"
    return OutputSpec(
        height=info.height,
        width=info.width,
        dtype=np.dtype(np.float32 if probabilities else np.uint8),
        channels=spec.out_channels if probabilities else 1,
        plane_axes=info.plane_axes,
        plane_shape=info.plane_shape,
        pixel_size_um=info.pixel_size_um,
        notes=(
            ("made_by", f"unetkit {version('unetkit')}"),
            ("model", Path(segmenter.name).name),
            ("model_sha256", segmenter.sha256),
            ("output", tiling.output),
            ("threshold", f"{spec.threshold if tiling.threshold is None else tiling.threshold:g}"),
            ("halo", str(spec.halo if tiling.halo is None else tiling.halo)),
        ),
    )
