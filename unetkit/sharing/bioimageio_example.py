"""An example that travels with a model: a part of an image, what the model finds in it, and a picture of both."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from unetkit.drawing.pixels import class_colour, resize, to_display
from unetkit.foundation.errors import ConfigError
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.run.inputs import open_for
from unetkit.io.base.contracts import match_channels
from unetkit.io.base.read_options import WHOLE
from unetkit.models.masks import to_mask
from unetkit.models.sampling import ValidSource
from unetkit.models.segmenter import Segmenter
from unetkit.synthetic import make_cells, make_nuclei

USUAL_SIDE = 256
"""Side of the part of a plane that becomes the example, in pixels, where the model takes such parts."""

PLACES = 4
"""Places along each axis of an image among which the example is chosen."""

PANEL = 512
"""Side of the image and of the mask in the picture, in pixels."""

LEAST_OUTPUT = 1e-3
"""Smallest of the largest values of the output that a test can tell from nothing."""


@dataclass(frozen=True)
class Example:
    """A part of an image and what a model finds in it.

    Attributes:
        pixels: (1, network_inputs, ...) float32, raw.
        probabilities: (1, network_channels, ...) float32.
        picture: (h, w, 3) image and mask side by side.
        origin: Where the image comes from, for people.
    """

    pixels: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    picture: NDArray[np.uint8]
    origin: str


def make_example(segmenter: Segmenter, image: Path | None, smallest: tuple[int, ...]) -> Example:
    """Return the example for a model.

    Args:
        segmenter: The model, on the CPU.
        image: Image from which a part with much contrast is taken; None for a drawn one.
        smallest: Smallest size that the package takes along each axis.

    Raises:
        ImageError: The image cannot be read.
        ConfigError: Its background is bright, which the package would have to invert; or nothing is found in it.
    """
    spec = segmenter.spec
    size = smallest
    if spec.dims == 2:
        size = tuple(
            least + max(-(-(USUAL_SIDE - least) // stride), 0) * stride
            for least, stride in zip(smallest, spec.strides, strict=True)
        )
    part = _draw(segmenter, size) if image is None else _read(segmenter, image, size)
    pixels = np.ascontiguousarray(part, np.float32)
    values = segmenter.normalizer.statistics(pixels[spec.middle].reshape(spec.in_channels, -1))
    if segmenter.normalizer.stored is None and (values.scale < 0).any():
        raise ConfigError(
            f"{image} has a bright background. This model inverts such images, and a package cannot state that.",
            "Give a cover with a dark background, or --fixed with this one.",
        )
    batch = [torch.from_numpy(array)[None] for array in (pixels, values.center, values.scale)]
    with torch.inference_mode():
        probabilities = segmenter(*batch).numpy()
    if probabilities.max() < LEAST_OUTPUT:
        raise ConfigError(
            f"The model finds nothing in {image or 'a drawn image'}, so that it is no test of it.",
            "Give --cover with an image like those it was trained on.",
        )
    picture = _draw_picture(pixels[spec.middle], probabilities[0], segmenter)
    return Example(pixels[None], probabilities, picture, str(image.name) if image else "a drawn image of nuclei")


def _draw(segmenter: Segmenter, size: tuple[int, ...]) -> NDArray[Any]:
    """Return a drawn image (network_inputs, *size), the same in every channel."""
    drawn = make_cells(*size, seed=0)[0] if len(size) == 2 else make_nuclei(size, seed=0)[0]  # type: ignore[arg-type]
    return np.repeat(drawn[None], segmenter.spec.network_inputs, 0)


def _read(segmenter: Segmenter, image: Path, size: tuple[int, ...]) -> NDArray[Any]:
    """Return the part (network_inputs, *size) of an image that has the most contrast, mirrored where it is smaller."""
    stored, _ = open_for(image, gather_models(segmenter), WHOLE)
    with closing(ValidSource(stored)) as source:
        info = source.info
        item = prod(info.plane_shape) // 2
        choices = []
        for whole, length in zip(info.size, size, strict=True):
            last = max(whole - length, 0)
            starts = sorted({round(last * place / (PLACES - 1)) for place in range(PLACES)})
            choices.append([slice(start, min(start + length, whole)) for start in starts])
        parts = (source.read(item, window) for window in product(*choices))
        best = max(parts, key=lambda part: float(np.std(part, dtype=np.float64)))
        best = match_channels(best, segmenter.spec.network_inputs, info.name)
    missing = [(0, length - own) for length, own in zip(size, best.shape[1:], strict=True)]
    return np.pad(best, [(0, 0), *missing], mode="symmetric")


def _draw_picture(pixels: NDArray[Any], probabilities: NDArray[Any], segmenter: Segmenter) -> NDArray[np.uint8]:
    """Return the image (C, ...) and the mask of its probabilities side by side, both square; of a volume its middle."""
    spec = segmenter.spec
    if spec.dims == 3:
        pixels, probabilities = pixels[:, pixels.shape[1] // 2], probabilities[:, probabilities.shape[1] // 2]
    side = min(pixels.shape[1:])
    top, left = ((length - side) // 2 for length in pixels.shape[1:])
    square = (slice(None), slice(top, top + side), slice(left, left + side))
    found = to_mask(torch.from_numpy(probabilities[: spec.out_channels][square]), spec.threshold, axis=0).numpy()
    colours = np.zeros((side, side, 3), np.uint8)
    for number in range(1, spec.classes):
        colours[found == number] = (255, 255, 255) if spec.classes == 2 else class_colour(number)
    mask = cv2.resize(colours, (PANEL, PANEL), interpolation=cv2.INTER_NEAREST)
    return np.concatenate([resize(to_display(pixels[square]), PANEL, PANEL), mask], axis=1)
