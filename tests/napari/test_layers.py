"""Layers as plain data, against napari's own transforms."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.inference.array import choose_axes

layers = pytest.importorskip("napari.layers", exc_type=ImportError)
from unetkit.napari.layers import take_picture  # noqa: E402

TILTED = {"scale": (2, 0.5), "translate": (7, -3), "rotate": 30, "shear": (0.2,)}


def nothing() -> None:
    pass


def test_the_part_and_its_place_are_those_of_the_rectangle(viewer: Any) -> None:
    pixels = np.random.default_rng(0).random((60, 80))
    image = viewer.add_image(pixels, **TILTED)
    corners = [image.data_to_world(corner) for corner in product((9.6, 30.4), (5, 41.9))]
    shapes = viewer.add_shapes([np.array(corners)[[0, 1, 3, 2]]], shape_type="rectangle")
    picture = take_picture(viewer, image, "rectangle", shapes)
    part, axes = picture.part("YX", nothing)
    assert axes == "YX"
    np.testing.assert_array_equal(part[slice(0, 21), slice(0, 37)], pixels[10:31, 5:42])
    data, place = picture.place(np.zeros((21, 37), np.uint8), "YX")
    made = viewer.add_labels(data, **place)
    for corner in product((0, 20), (0, 36)):
        np.testing.assert_allclose(made.data_to_world(corner), image.data_to_world(np.add(corner, (10, 5))))


def test_a_shapes_layer_may_have_a_scale_of_its_own(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((50, 50)), scale=(0.5, 0.5))
    shapes = viewer.add_shapes([[[1, 2], [1, 4], [3, 4], [3, 2]]], shape_type="rectangle", scale=(2, 2))
    picture = take_picture(viewer, image, "rectangle", shapes)
    assert picture.box == (slice(4, 13), slice(8, 17))


def test_the_field_in_view_is_what_the_camera_shows(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((1000, 2000)), scale=(0.5, 0.5))
    viewer.canvas.size = (300, 400)
    viewer.scene.camera.zoom, viewer.scene.camera.center = 4, (100, 900)
    assert take_picture(viewer, image, "view").box == (slice(125, 276), slice(1700, 1901))
    viewer.scene.camera.center = (0, 0)
    assert take_picture(viewer, image, "view").box == (slice(0, 76), slice(0, 101))


def test_only_the_full_resolution_of_a_pyramid_is_taken(viewer: Any) -> None:
    full = np.zeros((64, 64))
    image = viewer.add_image([full, full[::2, ::2]], multiscale=True)
    assert take_picture(viewer, image).pixels is full


@pytest.mark.parametrize(
    ("shape", "arguments", "channels", "axes"),
    [
        ((40, 50), {}, 1, "YX"),
        ((40, 50, 3), {"rgb": True}, 3, "YXS"),
        ((2, 40, 50, 4), {"rgb": True}, 3, "ZYXS"),
        ((3, 40, 50), {}, 3, "CYX"),
        ((3, 40, 50), {}, 1, "ZYX"),
        ((4, 3, 40, 50), {"axis_labels": ("z", "c", "y", "x")}, 3, "ZCYX"),
        ((4, 2, 40, 50), {"axis_labels": ("t", "channel", "row", "col")}, 2, "TCYX"),
        ((4, 2, 40, 50), {"axis_labels": ("t", "channel", "y", "x")}, 1, "TQYX"),
    ],
)
def test_axes_come_from_the_layer_or_the_model(
    viewer: Any, shape: tuple[int, ...], arguments: dict[str, Any], channels: int, axes: str
) -> None:
    image = viewer.add_image(np.zeros(shape), **arguments)
    assert take_picture(viewer, image).axes(channels, choose_axes) == axes


def test_channels_that_come_last_are_said(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((40, 50, 3)), rgb=False)
    with pytest.raises(ImageError, match="not RGB") as caught:
        take_picture(viewer, image).axes(3, choose_axes)
    assert "rgb=True" in caught.value.remedy


def test_alpha_is_left_out(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((40, 50, 4), np.uint8), rgb=True)
    part, axes = take_picture(viewer, image).part("YXS", nothing)
    assert (part.shape, axes) == ((40, 50, 3), "YXS")


def test_one_plane_of_a_stack_is_shown_there_and_with_all_its_channels(viewer: Any) -> None:
    pixels = np.random.default_rng(0).random((5, 3, 20, 30))
    image = viewer.add_image(pixels, axis_labels=("z", "c", "y", "x"), scale=(4, 1, 1, 1), translate=(2, 0, 0, 0))
    viewer.dims.set_point(0, 14)
    picture = take_picture(viewer, image)
    part, axes = picture.part("ZCYX", nothing)
    assert axes == "CYX"
    np.testing.assert_array_equal(part[slice(0, 3), slice(0, 20), slice(0, 30)], pixels[3])
    result = np.ones((20, 30), np.uint8)
    data, place = picture.place(result, "ZCYX")
    made = viewer.add_labels(data, **place)
    assert viewer.dims.ndim == 4
    for z, c in product(range(5), range(3)):
        viewer.dims.set_point((0, 1), (2 + 4 * z, c))
        assert bool(made.get_value(viewer.dims.point)) == (z == 3), (z, c)


def test_all_planes_of_a_stack_lie_where_the_image_has_them(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((3, 2, 20, 30)), axis_labels=("t", "c", "y", "x"))
    picture = take_picture(viewer, image, shown_only=False)
    part, axes = picture.part("TCYX", nothing)
    assert (part.shape, axes) == ((3, 2, 20, 30), "TCYX")
    data, place = picture.place(np.arange(1, 4)[:, None, None] * np.ones((20, 30), int), "TCYX")
    made = viewer.add_labels(data, **place)
    for t, c in product(range(3), range(2)):
        viewer.dims.set_point((0, 1), (t, c))
        assert made.get_value(viewer.dims.point) == t + 1


@pytest.mark.parametrize(
    ("units", "expected"),
    [(None, None), (("pixel", "pixel"), None), (("um", "um"), (0.5, 0.25)), (("nm", "mm"), (0.0005, 250.0))],
)
def test_units_of_the_layer_give_the_pixel_size(viewer: Any, units: Any, expected: Any) -> None:
    image = viewer.add_image(np.zeros((8, 8)), scale=(0.5, 0.25), units=units)
    found = take_picture(viewer, image).pixel_size_um
    assert found is None if expected is None else np.allclose(found, expected)


def test_what_is_missing_is_said(viewer: Any) -> None:
    square = [[1, 1], [1, 5], [5, 5], [5, 1]]
    with pytest.raises(ImageError, match="no image layer"):
        take_picture(viewer, None)
    image = viewer.add_image(np.zeros((20, 20)))
    with pytest.raises(ConfigError, match="no shapes layer"):
        take_picture(viewer, image, "rectangle", None)
    shapes = viewer.add_shapes([square], shape_type="polygon", name="mine")
    with pytest.raises(ConfigError, match="'mine' has no rectangle"):
        take_picture(viewer, image, "rectangle", shapes)
    shapes.add_rectangles([np.add(square, 50), square])
    shapes.selected_data = set()
    with pytest.raises(ConfigError, match="which of the 2 rectangles"):
        take_picture(viewer, image, "rectangle", shapes)
    shapes.selected_data = {1}
    with pytest.raises(ConfigError, match="holds no pixel"):
        take_picture(viewer, image, "rectangle", shapes)
    shapes.selected_data = {2}
    assert take_picture(viewer, image, "rectangle", shapes).box == (slice(1, 6), slice(1, 6))
    viewer.dims.ndisplay = 3
    with pytest.raises(ConfigError, match="no field in view"):
        take_picture(viewer, image, "view")
