"""What is really seen in Chromium."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from browser import Visit, visit
from numpy.typing import NDArray

import unetkit
from unetkit.viewing.view import View

pytest.importorskip("neuroglancer")

WIDTH, HEIGHT = 700, 500
BARS = 46
"""Pixels of the screen above the picture."""

MASK = np.array((230, 159, 0))
COVER = 0.4


def see(seen: Visit) -> NDArray[np.uint8]:
    """Return the screen (H, W, 3), red, green, blue, when all of it is there."""
    started = monotonic()
    while not seen.page.evaluate("viewer.isReady()"):
        assert monotonic() - started < 60, seen.messages
        seen.page.wait_for_timeout(50)
    screen = cv2.imdecode(np.frombuffer(seen.page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(screen, np.uint8)[..., ::-1]


def at(screen: NDArray[np.uint8], y: float, x: float, shown: View, pixels: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the colour of a pixel of the image, which lies in the middle of the picture."""
    zoom = shown.viewer.state.cross_section_scale
    row = BARS + (HEIGHT - BARS) / 2 + (y + 0.5 - pixels[0] / 2) / zoom
    column = WIDTH / 2 + (x + 0.5 - pixels[1] / 2) / zoom
    return screen[int(row), int(column)]


def check_requests(seen: Visit, shown: View) -> None:
    """Check that the page has asked nobody but the server, and was not held back from anything."""
    others = [one for one in seen.requests if not one.startswith((f"http://127.0.0.1:{shown.port}/", "blob:", "data:"))]
    assert others == []
    assert seen.blocked == []
    assert not [text for text in seen.messages if "Content Security Policy" in text]


def test_an_image_fills_the_window_with_its_mask_over_it_and_the_wheel_zooms(tmp_path: Path) -> None:
    size = 900, 1200
    image = np.zeros((*size, 3), np.uint8)
    image[:, 600:] = (200, 100, 50)
    mask = np.zeros(size, np.uint8)
    mask[200:400, 300:900] = 255
    tifffile.imwrite(tmp_path / "tissue.tif", image, photometric="rgb")
    with (
        unetkit.view(tmp_path / "tissue.tif", mask) as shown,
        visit(shown.url, width=WIDTH, height=HEIGHT) as seen,
    ):
        screen = see(seen)
        for (y, x), colour in {
            (700, 100): (0, 0, 0),
            (700, 1100): (200, 100, 50),
            (300, 350): COVER * MASK,
            (300, 850): (1 - COVER) * np.array((200, 100, 50)) + COVER * MASK,
            (5, 5): (0, 0, 0),
            (890, 1190): (200, 100, 50),
            (-20, 600): (16, 20, 24),  # the background around it
        }.items():
            np.testing.assert_allclose(at(screen, y, x, shown, size), colour, atol=3, err_msg=f"{(y, x)}")
        before = seen.page.evaluate("viewer.crossSectionScale.value")
        seen.page.mouse.move(WIDTH / 2, HEIGHT / 2)
        seen.page.mouse.wheel(0, -300)
        see(seen)
        assert seen.page.evaluate("viewer.crossSectionScale.value") < before
        check_requests(seen, shown)


def test_a_stack_moves_by_the_wheel_with_labels_of_another_resolution_in_their_place(tmp_path: Path) -> None:
    size = 400, 600
    stack = np.zeros((3, 2, *size), np.uint16)
    stack[:, 0, :, 400:] = 1000  # the first channel, green, at the right
    stack[2, 1, :200] = 1000  # the second, magenta, at the top of the last plane
    labels = np.zeros((3, 200, 300), np.uint32)
    labels[:, 50:150, 50:100] = 70_000
    write(tmp_path / "stack.ome.tif", stack, "ZCYX", 0.5)
    write(tmp_path / "labels.ome.tif", labels, "ZYX", 1.0)
    with (
        unetkit.view(tmp_path / "stack.ome.tif", tmp_path / "labels.ome.tif") as shown,
        visit(shown.url, width=WIDTH, height=HEIGHT) as seen,
    ):
        middle = see(seen)
        assert tuple(shown.viewer.state.position) == (300, 200, 1.5)
        np.testing.assert_allclose(at(middle, 300, 500, shown, size), (0, 255, 0), atol=3)
        np.testing.assert_allclose(at(middle, 50, 50, shown, size), (0, 0, 0), atol=3)
        inside, outside = at(middle, 200, 150, shown, size), at(middle, 200, 80, shown, size)
        assert 40 < int(inside.max()) <= round(COVER * 255)  # a colour at random, over black
        assert outside.max() <= 3
        seen.page.mouse.move(WIDTH / 2, HEIGHT / 2)
        seen.page.mouse.wheel(0, -100)
        seen.page.wait_for_timeout(200)
        last = see(seen)
        assert seen.page.evaluate("viewer.position.value[2]") == 2.5
        np.testing.assert_allclose(at(last, 50, 50, shown, size), (255, 0, 255), atol=3)
        np.testing.assert_allclose(at(last, 50, 500, shown, size), (255, 255, 255), atol=3)  # green and magenta
        check_requests(seen, shown)


def write(path: Path, pixels: NDArray[Any], axes: str, pixel_um: float) -> None:
    """Write an OME-TIFF with a pixel size."""
    sizes = {f"PhysicalSize{axis}": pixel_um for axis in "XY"} | {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": axes, **sizes})
