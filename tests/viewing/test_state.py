from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.stored import Step
from unetkit.viewing.scene import Scene, make_scene

pytest.importorskip("neuroglancer")

from unetkit.viewing.state import MARGIN, first_state, zoom_to_fit


def scene_of(shape: tuple[int, ...], axes: str, **known: Any) -> Scene:
    return make_scene(replace(ArraySource(np.broadcast_to(np.uint8(0), shape), axes).info, **known))


def test_a_film_of_stacks_opens_in_the_middle_of_the_first_stack_with_units() -> None:
    steps = (Step("T", 60.0, "s"), Step("Z", 2.0, "µm"))
    scene = scene_of((7, 5, 400, 600), "TZYX", pixel_size_um=(0.5, 0.25), steps=steps)
    state = first_state(scene, [], "film.tif")
    for name, step, unit in (("x", 0.25e-6, "m"), ("y", 0.5e-6, "m"), ("t", 60.0, "s"), ("z", 2e-6, "m")):
        assert state["dimensions"][name] == [pytest.approx(step), unit]
    assert list(state["dimensions"]) == ["x", "y", "t", "z"]
    assert state["position"] == [300, 200, 0.5, 2.5]
    assert state["displayDimensions"] == ["x", "y", "t"]
    assert scene.plane_number((6, 4)) == 34


def test_an_image_without_a_pixel_size_is_in_pixels() -> None:
    state = first_state(scene_of((400, 600), "YX"), [], "image.tif")
    assert state["dimensions"] == {"x": [1, ""], "y": [1, ""]}
    assert state["displayDimensions"] == ["x", "y"]


@pytest.mark.parametrize(
    ("shape", "axes", "known", "scale"),
    [
        ((1000, 4000), "YX", {}, 4),  # as wide as the window
        ((3000, 1000), "YX", {}, 3),  # as high as what the bars leave
        ((500, 1000), "YX", {"pixel_size_um": (1.0, 0.5)}, 1),  # pixels that are twice as high as wide
        ((5, 1000, 4000), "ZYX", {"pixel_size_um": (0.5, 0.5), "steps": (Step("Z", 0.25, "µm"),)}, 8),
    ],
)
def test_the_whole_image_fits_into_the_window(
    shape: tuple[int, ...], axes: str, known: dict[str, Any], scale: float
) -> None:
    zoom = zoom_to_fit(scene_of(shape, axes, **known), 1000, 1070)
    assert zoom == pytest.approx(MARGIN * scale)
