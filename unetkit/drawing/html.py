"""Pages of HTML that need nothing else: pictures and styles are inside, and nothing is loaded from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import cv2
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from unetkit import __version__
from unetkit.drawing.pixels import Display
from unetkit.foundation.atomic import make_folder, partial_file
from unetkit.foundation.names import printable

JPEG_QUALITY = 88

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
    height, width = display.shape[:2]
    kind, options = "png", [cv2.IMWRITE_PNG_COMPRESSION, 6]
    if height * width > SMALL_PICTURE:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(f".{kind}", cv2.cvtColor(display, cv2.COLOR_RGB2BGR), options)
    return embed(encoded.tobytes(), kind, width, height, description)


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
