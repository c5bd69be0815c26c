"""Pages of HTML that need nothing else: pictures and styles are inside, and nothing is loaded from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from unetkit import __version__
from unetkit.drawing.layers import COVER_STEP, Layer
from unetkit.drawing.pixels import Display
from unetkit.foundation.atomic import make_folder, partial_file
from unetkit.foundation.names import printable

JPEG_QUALITY, THUMBNAIL_QUALITY = 88, 80

SMALL_PICTURE = 200_000
"""Most pixels of a picture that is kept without loss."""


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write an HTML page, whole or not at all; its folder is made if it does not exist.

    Everything that a template shows is escaped, so names of files and messages may hold any sign.

    Args:
        path: Where to.
        template: Name of a file in `unetkit/drawing/templates`, which extends "base.html".
        **values: What the template names; one that is missing is an error.

    Raises:
        OutputError: The file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("unetkit", "drawing/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_as_text,
    )
    environment.filters["picture"] = picture
    text = environment.get_template(template).render(version=__version__, **values)
    make_folder(path.parent, remedy="Choose another output.")
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _as_text(value: Any) -> Any:
    """Return a value of a template as it is written; names may hold bytes that are no text."""
    is_name = isinstance(value, str | Path) and not isinstance(value, Markup)
    return printable(str(value)) if is_name else value


def picture(display: Display, description: str | Path) -> Markup:
    """Return an <img> that holds its pixels: PNG if it is small, JPEG if not.

    Args:
        display: (H, W, 3).
        description: What it shows, for those who cannot see it.
    """
    small = display.shape[0] * display.shape[1] <= SMALL_PICTURE
    encoded = _png(cv2.cvtColor(display, cv2.COLOR_RGB2BGR)) if small else _jpeg(display, JPEG_QUALITY)
    return _image(encoded, display, description)


def embed(encoded: bytes, kind: str, width: int, height: int, description: str | Path) -> Markup:
    """Return an <img> that holds a file of pixels as it is.

    Args:
        encoded: The file.
        kind: "png" or "jpeg".
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        description: What it shows, for those who cannot see it.
    """
    data = b64encode(encoded).decode()
    alt = escape(printable(str(description)))
    return Markup('<img src="data:image/{}" width="{}" height="{}" alt="{}">').format(
        Markup(f"{kind};base64,{data}"), width, height, alt
    )


def layered(display: Display, layer: Layer, description: str | Path) -> Markup:
    """Return a small photograph, and over it a layer that a page can hide: an element of the class "shot".

    Args:
        display: (H, W, 3); it becomes a JPEG.
        layer: What lies over it, of the same size.
        description: What it shows, for those who cannot see it.
    """
    below = _image(_jpeg(display, THUMBNAIL_QUALITY), display, description)
    above = _image(_layer_png(layer), layer.cover, "")
    return Markup('<span class="shot">{}{}</span>').format(below, above)


def _png(pixels: NDArray[Any]) -> tuple[str, bytes]:
    """Return the name of the format, and an image in OpenCV's order of channels as a file of it."""
    return "png", cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()


def _layer_png(layer: Layer) -> tuple[str, bytes]:
    """Return a layer as PNG; of one colour as a palette of its covers, which is smaller and quicker."""
    if isinstance(layer.colours, np.ndarray):
        return _png(np.dstack([layer.colours[..., ::-1], layer.cover]))
    covers = Image.fromarray(layer.cover // np.uint8(COVER_STEP), "P")
    covers.putpalette(bytes(layer.colours) * (255 // COVER_STEP + 1))
    file = BytesIO()
    covers.save(file, "PNG", transparency=bytes(range(0, 256, COVER_STEP)), bits=4, compress_level=3)
    return "png", file.getvalue()


def _jpeg(display: Display, quality: int) -> tuple[str, bytes]:
    pixels = cv2.cvtColor(display, cv2.COLOR_RGB2BGR)
    return "jpeg", cv2.imencode(".jpeg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _image(encoded: tuple[str, bytes], pixels: NDArray[np.uint8], description: str | Path) -> Markup:
    kind, data = encoded
    return embed(data, kind, pixels.shape[1], pixels.shape[0], description)
