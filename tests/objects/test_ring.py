"""Rings are the background pixels near an object and nearer to it than to any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from object_tables import blobs, measure_rows
from scipy.spatial.distance import cdist
from skimage.segmentation import expand_labels

from unetkit.objects.ring import Rings


def rings_of(labels: NDArray[np.uint16], radius: float, heights: list[int]) -> NDArray[np.uint16]:
    rings, found, top = Rings(len(labels), radius), [], 0
    for height in [*heights, len(labels)]:
        if top < len(labels):
            found.append(rings.add(labels[top : top + height]))
        top += height
        assert sum(map(len, found)) == rings.rows
    return np.concatenate(found)


def nearest_labels(labels: NDArray[np.uint16], radius: float) -> NDArray[np.uint16]:
    """Return the rings from the distances between all pixels."""
    rings = np.zeros_like(labels)
    outside, inside = np.argwhere(labels == 0), np.argwhere(labels > 0)
    if len(inside) and len(outside):
        distances = cdist(outside, inside, "sqeuclidean")
        least = distances.min(1)
        numbers = np.where(distances == least[:, None], labels[tuple(inside.T)], np.iinfo(np.uint16).max).min(1)
        rings[tuple(outside.T)] = np.where(least <= radius**2, numbers, 0)
    return rings


@settings(max_examples=100, deadline=None)
@given(
    labels=arrays(
        np.uint16, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 0, 0, 1, 5])
    ),
    radius=st.sampled_from([1, 1.5, 2, 3, 20]),
    heights=st.lists(st.integers(1, 5), max_size=4),
)
def test_a_pixel_is_in_the_ring_of_the_nearest_object_and_of_the_lower_label_of_two(
    labels: NDArray[np.uint16], radius: float, heights: list[int]
) -> None:
    np.testing.assert_array_equal(rings_of(labels, radius, heights), nearest_labels(labels, radius))


@pytest.mark.parametrize("radius", [1, 2.5, 6])
def test_rings_are_what_expanding_the_labels_adds(radius: float) -> None:
    labels = blobs((80, 100), 7, 2, above=1.5).astype(np.uint16)
    grown = expand_labels(labels, radius)
    grown[labels > 0] = 0
    found = rings_of(labels, radius, [])
    np.testing.assert_array_equal(found > 0, grown > 0)
    assert (found != grown).sum() <= 0.02 * (grown > 0).sum()  # pixels as near to two objects


def test_values_in_a_ring_are_those_of_its_pixels() -> None:
    labels = np.array([[9, 0, 4, 0, 0, 2]], np.uint8)
    image = np.array([[[1, 10, 2, 20, 40, 3]]], np.uint8)
    found = measure_rows(labels, image, ring=1)
    assert found["label"].tolist() == [2, 4, 9]
    assert found["ring_area_px"].tolist() == [1, 2, 0]
    assert found["c0_ring_sum"].tolist() == [40, 30, 0]
    assert found["c0_ring_mean"].tolist()[:2] == [40, 15]
    assert np.isnan(found["c0_ring_mean"][2])
