"""Random pixels, and all pixels of an image file at once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.io.files import open_image


def random(*shape: int, dtype: Any = np.uint16) -> NDArray[Any]:
    """Return random pixels, the same for each call, up to 249."""
    return np.random.default_rng(len(shape)).integers(0, 250, shape).astype(dtype)


def whole(path: Path, reading: ReadOptions = WHOLE) -> tuple[ImageInfo, NDArray[Any]]:
    """Return what an image is, and its pixels (planes, C, height, width)."""
    with closing(open_image(path, reading)) as source:
        places = tuple(slice(0, size) for size in source.info.size)
        return source.info, np.stack([source.read(plane, places) for plane in range(source.info.planes)])
