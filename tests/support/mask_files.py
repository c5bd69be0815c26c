"""Masks as programs write them, by kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unetkit.foundation.synthetic import make_cells

LABELS = make_cells(128, 128, seed=1)[1].astype(np.uint16)
INSIDE = LABELS > 0
MASK = INSIDE.astype(np.uint8) * 255
NOTHING = np.zeros_like(MASK)
WHITE = np.full_like(MASK, 255)
THREE = np.where(INSIDE, 1 + LABELS % 3, 0).astype(np.uint8)
SOFT = cv2.GaussianBlur(MASK, (0, 0), 1.2)
WIDE = cv2.GaussianBlur(MASK, (0, 0), 3.0)
CLASSES = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)[THREE]
SPARE = np.random.default_rng(1).integers(40, 255, (LABELS.max(), 3)).astype(np.uint8)
OBJECTS = np.vstack([np.zeros((1, 3), np.uint8), SPARE])[LABELS]

Write = Callable[[Path], None]


def pil(
    pixels: NDArray[np.generic], mode: str | None = None, palette: list[int] | None = None, **options: object
) -> Write:
    """Write a file with Pillow."""

    def write(path: Path) -> None:
        image = Image.fromarray(pixels)
        image = image if mode is None else image.convert(mode)
        if palette is not None:
            image.putpalette(palette)
        image.save(path, **options)

    return write


def tiff(pixels: NDArray[np.generic], **options: object) -> Write:
    """Write a TIFF with tifffile."""
    return lambda path: tifffile.imwrite(path, pixels, **options)


def layer(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([colour, colour, colour, alpha])


def red(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([mask, NOTHING, NOTHING])


BLACK_AND_WHITE, WHITE_AND_BLACK = [0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0]
GREYS = [level for number in range(256) for level in (number,) * 3]
INVERTED_COLORMAP = np.zeros((3, 256), np.uint16)
INVERTED_COLORMAP[:, 0] = 65535

PLAIN: dict[str, tuple[str, Write]] = {
    "0 and 255": ("png", pil(MASK)),
    "one bit": ("png", pil(MASK, "1")),
    "opaque RGBA": ("png", pil(MASK, "RGBA")),
    "opaque LA": ("png", pil(MASK, "LA")),
    "grey as RGB": ("png", pil(MASK, "RGB")),
    "palette of greys": ("png", pil(MASK, "P", GREYS)),
    "black before white": ("png", pil(INSIDE.astype(np.uint8), "P", BLACK_AND_WHITE)),
    "black before red": ("png", pil(INSIDE.astype(np.uint8), "P", [0, 0, 0, 255, 0, 0])),
    "fax": ("tif", pil(MASK, "1", compression="group4")),
    "palette and alpha": ("tif", pil(MASK, "PA")),
    "inks": ("tif", pil(MASK, "CMYK")),
    "ImageJ": ("tif", tiff(MASK, imagej=True)),
    "float 0 and 1": ("tif", tiff(INSIDE.astype(np.float32))),
    "one value far below 1": ("tif", tiff((MASK / 255 / 255).astype(np.float64))),
    "labels": ("tif", tiff(LABELS)),
    "large labels": ("tif", tiff(LABELS.astype(np.int32) * 70000)),
    "float labels": ("tif", tiff(LABELS.astype(np.float32))),
    "classes": ("png", pil(THREE)),
}

DOUBTFUL: dict[str, tuple[str, Write, str, str]] = {
    "white before black": (
        "png",
        pil((~INSIDE).astype(np.uint8), "P", WHITE_AND_BLACK),
        "palette",
        "white is foreground",
    ),
    "white before black in TIFF": (
        "tif",
        tiff((~INSIDE).astype(np.uint8) * 255, photometric="palette", colormap=INVERTED_COLORMAP),
        "palette",
        "white is foreground",
    ),
    "red on white": (
        "png",
        pil(INSIDE.astype(np.uint8), "P", [255, 255, 255, 200, 0, 0]),
        "palette",
        "white is background",
    ),
    "red before black": (
        "png",
        pil((~INSIDE).astype(np.uint8), "P", [255, 0, 0, 0, 0, 0]),
        "palette",
        "red (255, 0, 0) is foreground",
    ),
    "transparent colour": (
        "png",
        pil(INSIDE.astype(np.uint8), "P", [255] * 6, transparency=0),
        "palette",
        "transparent",
    ),
    "palette of classes": (
        "png",
        pil(THREE, "P", [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]),
        "palette",
        "0 (black) is background",
    ),
    "palette with black last": (
        "png",
        pil(np.where(INSIDE, LABELS % 3, 3).astype(np.uint8), "P", [255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0]),
        "palette",
        "3 (black) is background",
    ),
    "white layer": ("png", pil(layer(WHITE, MASK)), "layer", "what is opaque is foreground"),
    "black layer": ("png", pil(layer(NOTHING, MASK)), "layer", "what is opaque is foreground"),
    "layer in grey": ("png", pil(np.dstack([WHITE, MASK])), "layer", "what is opaque is foreground"),
    "layer in TIFF": (
        "tif",
        tiff(layer(WHITE, MASK), photometric="rgb", extrasamples=["unassalpha"]),
        "layer",
        "opaque",
    ),
    "black on a layer that hides white": ("png", pil(layer(255 - MASK, MASK)), "layer", "opaque"),
    "labels on a layer": ("png", pil(layer(THREE * 60, MASK)), "transparent", "background"),
    "red on black": ("png", pil(red(MASK)), "colours", "red (255, 0, 0) is foreground, black is background"),
    "red in separate planes": (
        "tif",
        tiff(np.stack([MASK, NOTHING, NOTHING]), photometric="rgb", planarconfig="separate"),
        "colours",
        "red",
    ),
    "red in 16 bits": ("tif", tiff(red(MASK).astype(np.uint16) * 257, photometric="rgb"), "colours", "red"),
    "drawn by matplotlib": (
        "png",
        pil(np.where(INSIDE[..., None], (253, 231, 37), (68, 1, 84)).astype(np.uint8)),
        "colours",
        "yellow",
    ),
    "red with smooth borders": ("png", pil(cv2.GaussianBlur(red(MASK), (0, 0), 0.7)), "colours", "two colours"),
    "red in JPEG": ("jpg", pil(red(MASK), quality=85), "colours", "two colours"),
    "colours of classes": ("png", pil(CLASSES), "colours", "blue (0, 0, 255)"),
    "colours of objects": ("png", pil(OBJECTS), "colours", "each with a number of its own"),
    "JPEG": ("jpg", pil(MASK, quality=70), "compressed", "JPEG"),
    "JPEG in TIFF": ("tif", tiff(MASK, compression="jpeg"), "compressed", "JPEG"),
    "dark JPEG": ("jpg", pil(MASK // 3, quality=80), "compressed", "above the threshold 54.5"),
    "smooth borders": ("png", pil(SOFT), "blurred", "127.5"),
    "smooth borders in fractions": (
        "tif",
        tiff(SOFT.astype(np.float32) + np.float32(0.5) * (SOFT > 0)),
        "blurred",
        "above",
    ),
    "JPEG saved as PNG": ("png", pil(cv2.imdecode(cv2.imencode(".jpg", MASK)[1], 0)), "blurred", "127.5"),
    "probabilities": ("tif", tiff((WIDE / 255).astype(np.float32)), "probabilities", "threshold 0.5"),
    "probabilities of 8 bits": ("tif", tiff(WIDE), "probabilities", "255 for 1"),
    "probabilities of 16 bits": ("tif", tiff(WIDE.astype(np.uint16) * 257), "probabilities", "65535 for 1"),
    "raw output": ("tif", tiff((WIDE / 255 - 0.5).astype(np.float32)), "logits", "threshold 0"),
    "zero is white": ("tif", tiff(255 - MASK, photometric="miniswhite"), "white", "0 is white"),
    "labels where zero is white": (
        "tif",
        tiff(LABELS.astype(np.uint8), photometric="miniswhite"),
        "white",
        "labels all the same",
    ),
    "True and False": ("tif", tiff(INSIDE), "white", "True is foreground"),
    "one bit where zero is white": (
        "tif",
        tiff(np.pad(~INSIDE[8:-8, 8:-8], 8, constant_values=True), photometric="miniswhite"),
        "white",
        "white is foreground",
    ),
    "two values and no 0": ("tif", tiff(np.where(INSIDE, 240, 5).astype(np.uint8)), "blurred", "5 and 240"),
    "minus one": ("tif", tiff(-INSIDE.astype(np.int8)), "negative", "-1 is foreground"),
    "labels beyond 32 bits": ("tif", tiff(LABELS.astype(np.uint64) << np.uint64(58)), "renumbered", "numbered anew"),
}
