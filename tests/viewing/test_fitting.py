from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unetkit.errors import DataError
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import ImageInfo
from unetkit.viewing.fitting import check_fit


def info(*shape: int, axes: str = "YX", pixel_um: float | None = None) -> ImageInfo:
    own = ArraySource(np.broadcast_to(np.uint8(0), shape), axes, "one.tif").info
    return own if pixel_um is None else replace(own, pixel_size_um=(pixel_um, pixel_um))


@pytest.mark.parametrize(
    "labels",
    [
        info(1000, 800),
        info(1000, 800, pixel_um=0.3),  # the same pixels, whatever their size is said to be
        info(500, 400, pixel_um=1.0),
        info(333, 267, pixel_um=1.5),  # sizes are rounded to whole pixels
        info(2000, 1600, pixel_um=0.25),
    ],
)
def test_labels_of_the_same_field_lie_on_the_image(labels: ImageInfo) -> None:
    check_fit(info(1000, 800, pixel_um=0.5), labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            info(500, 400),
            r"labels.tif has 500 x 400 pixels, but one.tif has 1000 x 800 pixels \(500 x 400 µm\)\..*both",
        ),
        (info(500, 400, pixel_um=0.5), r"500 x 400 pixels \(250 x 200 µm\)"),
        (info(490, 400, pixel_um=1.0), r"490 x 400 pixels \(490 x 400 µm\)"),
        (info(3, 1000, 800, axes="ZYX"), r"has 3 planes \(axes ZYX\), but one.tif has 1 plane \(axes YX\)\..*--axes"),
    ],
)
def test_others_do_not_and_the_error_says_what_to_do(labels: ImageInfo, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_fit(info(1000, 800, pixel_um=0.5), replace(labels, name="labels.tif"))
