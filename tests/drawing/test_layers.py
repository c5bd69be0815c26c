from __future__ import annotations

import numpy as np
import pytest

from unetkit.drawing.layers import COVER_STEP, ON_COLOURS, line_colour, map_layer, outline_layer, probability_layer
from unetkit.drawing.pixels import PREDICTION, class_colour


def blank(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_an_object_of_a_pixel_is_seen_at_a_scale_of_100() -> None:
    shares, edges = blank(1, 20, 20), blank(20, 20)
    shares[0, 7, 9], edges[7, 9] = 9 / 100**2, 7 / 100**2  # 3 x 3 pixels
    layer = outline_layer(shares, edges, 100, diameter=0.03, tinted=False)
    assert layer.colours == PREDICTION
    assert np.argwhere(layer.cover).tolist() == [[7, 9]]
    dense = outline_layer(blank(1, 5, 5) + 0.5, blank(5, 5) + 0.3, 100, diameter=0.03, tinted=False)
    assert layer.cover.max() < dense.cover.min() < 255


@pytest.mark.parametrize("shrink", [1, 5, 30])
def test_lines_are_as_strong_at_every_scale(shrink: int) -> None:
    edges = blank(9, 9)
    edges[4] = 1 / shrink  # a line of one pixel across blocks of `shrink` pixels
    cover = outline_layer(blank(1, 9, 9), edges, shrink, diameter=30, tinted=False).cover
    assert (cover[4] >= 0.9 * 255).all()
    assert ((cover[[3, 5]] > 0) & (cover[[3, 5]] < 0.5 * 255)).all()
    assert not cover[[0, 1, 2, 6, 7, 8]].any()
    assert not (cover % COVER_STEP).any()


def test_regions_are_tinted_in_the_colours_of_their_classes() -> None:
    shares = blank(2, 8, 8)
    shares[0, :, :4], shares[1, :, 4:] = 1, 1
    layer = outline_layer(shares, blank(8, 8), 1, diameter=30, tinted=True)
    assert tuple(layer.colours[4, 0]) == class_colour(1)
    assert tuple(layer.colours[4, 7]) == class_colour(2)
    assert (layer.cover > 0).all()
    assert tuple(probability_layer(shares).colours[0, 7]) == class_colour(2)


def test_maps_go_from_dark_to_bright_and_become_opaque() -> None:
    layer = map_layer(np.array([[0, 0.5, 1, np.nan]], np.float32))
    brightness = np.asarray(layer.colours).sum(2)[0].astype(int)
    assert brightness[0] < brightness[1] < brightness[2]
    assert layer.cover[0, 0] < layer.cover[0, 1] < layer.cover[0, 2]
    assert layer.cover[0, 3] == layer.cover[0, 0]


def test_lines_on_stains_have_another_colour() -> None:
    assert line_colour(np.full((4, 4, 3), 90, np.uint8)) == PREDICTION
    assert line_colour(np.full((4, 4, 3), (200, 100, 180), np.uint8)) == ON_COLOURS
