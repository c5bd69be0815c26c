"""Compare what an export gives with what unetkit gives, on real images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.inference.tiling.windows import measure_plane
from unetkit.io.base.contracts import match_channels
from unetkit.io.files import find_images, open_image
from unetkit.io.views.neighbours import NeighbourSource
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.sharing.graphs import INPUT, takes_raw
from unetkit.sharing.options import Format

TOLERANCES = {False: 1e-3, True: 5e-2}
"""Largest difference of probabilities that passes, in 32 bits and in half precision."""

LARGEST_SIDE = {2: 1024, 3: 96}
"""Largest size along each axis of what is compared, in the middle of an image."""

Run = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], NDArray[np.float32]]
"""Runs an export: raw pixels (1, C, ...), center and scale (1, C) in, its output out."""


def largest_difference(
    form: Format, segmenter: Segmenter, written: Path, images: Path, *, half: bool
) -> tuple[float, int]:
    """Return the largest difference between the probabilities of an export and of unetkit, and the number of images.

    Args:
        form: Form of the export.
        segmenter: The model that was exported.
        written: The export.
        images: An image, or a folder of them.
        half: Whether it is in half precision.

    Raises:
        ModelError: The difference is too large.
        ImageError: An image cannot be read or has other channels.
        ConfigError: What runs the export is not installed, or there is no image.
    """
    run = RUNNERS.get(form, _run_as_model)(written, segmenter)
    worst, count = 0.0, 0
    for pixels, center, scale in _windows(segmenter, images):
        with torch.inference_mode():
            own = segmenter(pixels, center, scale).numpy()
            worst = max(worst, float(np.abs(run(pixels, center, scale) - own).max()))
        count += 1
    if not count:
        raise ConfigError(f"There is no image in {images}.", "Give an image or a folder of images.")
    if not worst <= TOLERANCES[half]:
        raise ModelError(
            f"The export differs from unetkit by {worst:.2g} on {images}, and was not kept.",
            "Export it without --half." if half else "Please report this, with the model.",
        )
    return worst, count


def changed_pixels(own: Segmenter, fixed: Segmenter, images: Path) -> float:
    """Return the share of mask pixels, 0 to 1, that change when fixed values take the place of those of each image.

    Args:
        own: The model, which measures each image.
        fixed: The same model with fixed values.
        images: An image, or a folder of them.
    """
    changed, count = 0, 0
    for (pixels, *measured), (_, *given) in zip(_windows(own, images), _windows(fixed, images), strict=True):
        with torch.inference_mode():
            first, second = (
                _mask(model(pixels, *values).numpy(), own.spec) for model, values in ((own, measured), (fixed, given))
            )
        changed += int(np.count_nonzero(first != second))
        count += first.size
    return changed / count


def _mask(probabilities: NDArray[np.float32], spec: ModelSpec) -> NDArray[Any]:
    """Return the mask (N, ...) of a model's output (N, network_channels, ...): true or false, or class numbers."""
    mask: NDArray[Any] = probabilities[:, 0] >= spec.threshold if spec.classes == 2 else probabilities.argmax(1)
    return mask


def _windows(segmenter: Segmenter, images: Path) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield the middle of each image as raw float32 pixels (1, C, ...), with its center and scale (1, C)."""
    spec = segmenter.spec
    is_folder = images.is_dir() and images.suffix.lower() != ".zarr"
    for path in find_images(images) if is_folder else [images]:
        with closing(open_image(path, dims=spec.dims)) as source:
            (values,) = measure_plane(source, 0, [segmenter.normalizer], spec.in_channels)
            seen = source if spec.planes == 1 else NeighbourSource(source, spec.planes, spec.in_channels)
            window = _middle(source.info.size, spec)
            pixels = match_channels(np.asarray(seen.read(0, window)), spec.network_inputs, str(path))
        missing = [-length % stride for length, stride in zip(pixels.shape[1:], spec.strides, strict=True)]
        filled = np.pad(pixels, [(0, 0), *((0, more) for more in missing)], mode="symmetric").astype(np.float32)
        arrays = (np.ascontiguousarray(one[None], np.float32) for one in (filled, values.center, values.scale))
        yield tuple(map(torch.from_numpy, arrays))  # type: ignore[misc]  # there are three


def _middle(size: tuple[int, ...], spec: ModelSpec) -> tuple[slice, ...]:
    """Return the middle of an image, as large as is compared."""
    most = [LARGEST_SIDE[spec.dims] // stride * stride for stride in spec.strides]
    starts = [max(length - limit, 0) // 2 for length, limit in zip(size, most, strict=True)]
    return tuple(
        slice(start, start + min(length, limit)) for start, length, limit in zip(starts, size, most, strict=True)
    )


def _input_of(segmenter: Segmenter) -> Callable[..., torch.Tensor]:
    """Return what makes the input of a graph: raw pixels, or normalised ones."""
    return (lambda pixels, *_: pixels) if takes_raw(segmenter.spec) else segmenter.normalizer


def _run_onnx(written: Path, segmenter: Segmenter) -> Run:
    from unetkit.models.onnx_graph import open_graph

    session, made = open_graph(written), _input_of(segmenter)

    def run(*window: torch.Tensor) -> Any:
        return session.run(None, {INPUT: made(*window).numpy()})[0]

    return run


def _run_torchscript(written: Path, segmenter: Segmenter) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's: that TorchScript will have a successor
        network = torch.jit.load(str(written))  # type: ignore[no-untyped-call]
    made = _input_of(segmenter)
    return lambda *window: network(made(*window)).numpy()


def _run_package(written: Path, segmenter: Segmenter) -> Run:
    """Run the graph of ONNX in a package of bioimage.io."""
    from zipfile import ZipFile

    from unetkit.sharing.bioimageio_weights import ONNX_FILE

    with TemporaryDirectory() as folder, ZipFile(written) as package:
        return _run_onnx(Path(package.extract(ONNX_FILE, folder)), segmenter)


def _run_as_model(written: Path, segmenter: Segmenter) -> Run:  # noqa: ARG001
    """Run an export as unetkit opens it."""
    from unetkit.zoo.opening import load_model
    from unetkit.zoo.references import model_files

    model = load_model(model_files(written)[0])
    return lambda *window: model(*window).numpy()


RUNNERS: dict[str, Callable[[Path, Segmenter], Run]] = {
    "onnx": _run_onnx,
    "torchscript": _run_torchscript,
    "bioimageio": _run_package,
}
"""What runs the forms that a runtime opens by itself."""
