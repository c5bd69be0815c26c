"""Tiled prediction from file to file and from folder to folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from unetkit.errors import ImageError, OutputError, UnetkitError
from unetkit.inference.forward import Output, choose_device
from unetkit.inference.tiling import Progress, Tiling, describe_output, predict
from unetkit.io.files import create_sink, find_images, image_stem, is_folder, open_image
from unetkit.io.image import UNNAMED_AXES, ImageSource
from unetkit.io.reading import WHOLE, Reading
from unetkit.models.segmenter import Segmenter, load_model


@dataclass(frozen=True)
class Segmented:
    """One output of `segment`.

    Attributes:
        image: The image.
        result: The file that was written.
        pixels: Number of pixels that were predicted.
    """

    image: Path
    result: Path
    pixels: int


def segment(
    image: str | Path,
    result: str | Path,
    model: Segmenter | str | Path,
    *,
    output: Output = "mask",
    tile: int | None = None,
    halo: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    threshold: float | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int], Progress] | None = None,
) -> list[Segmented]:
    """Segment an image file of any size into a file, or every image of a folder into a folder.

    Args:
        image: TIFF, PNG or JPEG, or a folder of them.
        result: `.tif`, `.tiff` or `.png`; for a folder of images the folder that gets one `.tif` for each.
        model: A model from `load_model`, or the path of a model file.
        output: "mask" is 0 background and 255 foreground (class numbers where there are more classes), "probabilities"
            is float32.
        tile: Largest window that the network sees at once, in pixels, a multiple of the encoder's stride.
        halo: Context around the part of a tile that is kept, in pixels; by default the one measured for the model.
        batch: Tiles that go through the network together; by default 1 on a CPU and 8 on a GPU.
        device: "auto" (CUDA, else MPS, else CPU) or a torch device such as "cpu" or "cuda:1".
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground; by default the model's.
        overwrite: Whether existing outputs are replaced, each at the moment when the new one is complete.
        progress: Called for each image with its name and its number of pixels; returns a function that is called with
            the number of pixels predicted since its last call.

    Returns:
        What was written.

    Raises:
        UnetkitError: An input cannot be read, the output exists or cannot be written, or a setting is not possible. Of
            a folder the other images are segmented all the same, and the error names those that failed.
    """
    tiling = Tiling(tile, halo, batch, device, output, threshold)
    jobs = _plan(Path(image), Path(result), overwrite)
    segmenter = model if isinstance(model, Segmenter) else load_model(model)
    tiling.grid(1, 1, segmenter.spec)  # an impossible tile or device is an error before any file is touched
    choose_device(tiling.device)
    if is_folder(image):
        _make_folder(Path(result))
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


def open_for(path: Path, channels: int, reading: Reading = WHOLE) -> ImageSource:
    """Open an image for a model: an axis without a name that has the model's number of channels is the channels."""
    source = open_image(path, reading)
    if reading.axes is not None:
        return source
    info = source.info
    unnamed = [i for i, axis in enumerate(info.axes) if axis in UNNAMED_AXES]
    if channels > 1 and info.channels == 1 and len(unnamed) == 1 and info.shape[unnamed[0]] == channels:
        source.close()
        return open_image(path, replace(reading, axes=info.axes.replace(info.axes[unnamed[0]], "C")))
    return source


def _plan(image: Path, result: Path, overwrite: bool) -> list[tuple[Path, Path]]:
    """Pair inputs with outputs; raise before any work if an output could not be written."""
    if not is_folder(image):
        if result.exists() and image.exists() and result.samefile(image):
            raise OutputError(f"The output {result} is the input itself.", "Choose another name.")
        return [(image, result)]
    if result.exists() and not result.is_dir():
        raise OutputError(f"{result} is a file, but {image} is a folder.", "Give a folder for the outputs.")
    if result.exists() and result.resolve() == image.resolve():
        raise OutputError(f"The outputs would go into the folder of the inputs, {image}.", "Give another folder.")
    jobs = [(path, result / f"{image_stem(path)}.tif") for path in find_images(image)]
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
    image: Path,
    result: Path,
    segmenter: Segmenter,
    tiling: Tiling,
    overwrite: bool,
    progress: Callable[[str, int], Progress] | None,
) -> Segmented:
    """Segment one file."""
    with closing(open_for(image, segmenter.spec.in_channels)) as source:
        info = source.info
        sink = create_sink(result, describe_output(info, segmenter, tiling), overwrite=overwrite)
        pixels = info.planes * info.height * info.width
        predict(source, sink, segmenter, tiling, progress(image.name, pixels) if progress else None)
    return Segmented(image, result, pixels)
