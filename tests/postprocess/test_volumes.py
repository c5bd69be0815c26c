"""Objects of volumes, in strips and in blocks of any cuts, against whole-volume references."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import scipy.ndimage
import skimage.measure
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetkit.postprocess.block_faces import BlockFaces
from unetkit.postprocess.blocks import MASK, draw_block, find_block, margin_window
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.joined import Joined, Numbered
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE
from unetkit.postprocess.predicted_distance import by_predicted_distance, smooth_predicted
from unetkit.postprocess.region_areas import region_areas
from unetkit.postprocess.split_by_distance import LARGEST_VOXELS, by_distance, volume_distance_map

Size = tuple[int, ...]

SPACING = (2.5, 1.0, 1.0)

METHODS = {
    "connected": CONNECTED,
    "distance": by_distance((1, 1, 1)),
    "anisotropic": by_distance(SPACING),
    "predicted": by_predicted_distance(0.3),
    "predicted, anisotropic": by_predicted_distance(0.3, spacing=SPACING),
}


def helix(size: Size) -> NDArray[np.bool_]:
    """Return one line that winds through the volume from face to face, often touched only at corners."""
    mask = np.zeros(size, bool)
    turns = np.linspace(0, 1, 40 * max(size))
    middle = (np.array(size) - 1) / 2
    winds = np.stack([2 * turns - 1, np.sin(turns * 40), np.cos(turns * 40)])
    mask[tuple(np.rint(middle[:, None] * (1 + winds)).astype(int))] = True
    return mask


def make_mask(kind: str, size: Size, seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    if kind.startswith("noise"):
        return rng.random(size) < float(kind.removeprefix("noise "))
    grid = np.indices(size)
    shapes = {
        "one": np.ones(size, bool),
        "none": np.zeros(size, bool),
        "corners": (grid % 2 == grid[:1] % 2).all(0),
        "rods": (grid[1:] % 2 == 0).all(0),
        "sheets": (grid[0] % 2 == 0) | (grid.sum(0) == sum(size) - 3),
        "helix": helix(size),
        "blobs": scipy.ndimage.gaussian_filter(rng.normal(size=size), 2) > 0.02,
    }
    return shapes[kind]


KINDS = ("noise 0.05", "noise 0.2", "noise 0.6", "one", "none", "corners", "rods", "sheets", "helix", "blobs")


def make_volume(kind: str, size: Size, seed: int) -> NDArray[np.uint8]:
    """Return a mask and a rough distance map (2, d, h, w)."""
    mask = make_mask(kind, size, seed)
    rough = np.kron(np.random.default_rng(seed + 1).integers(1, 256, [n // 3 + 1 for n in size]), np.ones((3, 3, 3)))
    inside = tuple(slice(0, extent) for extent in size)
    return np.stack([mask * 255, mask * rough[inside]]).astype(np.uint8)


def channels(volume: NDArray[np.uint8], method: Method) -> NDArray[np.uint8]:
    return volume if method.knows_confidence else volume[:1]


def cut(extent: int, cuts: list[int]) -> list[slice]:
    ends = [0, *sorted({at for at in cuts if 0 < at < extent}), extent]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def label_in_blocks(
    volumes: list[NDArray[np.uint8]], cuts: tuple[list[int], ...], method: Method, tile: Size, **choices: int
) -> tuple[NDArray[np.uint32], Numbered]:
    """Find, join and draw blocks, each from its own voxels and margin alone, and through bytes."""
    size = volumes[0].shape[1:]
    windows = list(product(*map(cut, size, cuts)))
    classes = choices.get("classes", MASK)
    places = [(item, window) for item in range(len(volumes)) for window in windows]
    joined = Joined(method, **choices)
    for item, window in places:
        pixels = volumes[item][:, *margin_window(window, size, method)]
        faces = find_block(pixels, window, size, method, classes=classes, tile=tile)
        joined.add(window, size, BlockFaces.from_bytes(faces.to_bytes()))
    labels = np.zeros((len(volumes), *size), np.uint32)
    for (item, window), numbers in zip(places, joined.numbers(), strict=True):
        pixels = volumes[item][:, *margin_window(window, size, method)]
        dtype = joined.numbered.dtype
        block = draw_block(pixels, window, size, method, numbers, dtype, classes=classes, tile=tile)
        labels[item, *window] = block[0]
    return labels, joined.numbered


SIZES = st.tuples(*[st.integers(1, 16)] * 3)
CUTS = st.tuples(*[st.lists(st.integers(1, 19), max_size=2)] * 3)
TILES = st.tuples(*[st.integers(2, 14)] * 3)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(sorted(METHODS)),
    kind=st.sampled_from(KINDS),
    size=SIZES,
    cuts=CUTS,
    tile=TILES,
    smallest=st.sampled_from([0, 0, 9]),
    seed=st.integers(0, 1000),
)
@example("connected", "helix", (20, 20, 20), ([7, 8], [9], [3, 13]), (4, 5, 6), 0, 0)
@example("distance", "blobs", (20, 20, 20), ([7, 8], [9], [3, 13]), (4, 5, 6), 0, 0)
@example("predicted", "one", (9, 9, 9), ([4], [4], [4]), (2, 2, 2), 0, 0)
def test_blocks_have_the_labels_of_the_whole(
    name: str, kind: str, size: Size, cuts: tuple[list[int], ...], tile: Size, smallest: int, seed: int
) -> None:
    method = METHODS[name]
    volumes = [channels(make_volume(kind, size, seed + i), method) for i in range(2)]
    found, numbered = label_in_blocks(volumes, cuts, method, tile, smallest=smallest)
    whole = Labels(volumes, size, method=method, smallest=smallest, tile=size)
    np.testing.assert_array_equal(found, np.concatenate(list(whole.rows())))
    assert (numbered.count, numbered.last, numbered.dtype) == (whole.count, whole.last, whole.dtype)
    if numbered.confidences is not None and whole.confidences is not None:
        np.testing.assert_array_equal(numbered.confidences, whole.confidences)
    assert (numbered.confidences is None) == (not method.knows_confidence) == (whole.confidences is None)


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    size=SIZES,
    cuts=st.lists(st.integers(1, 19), max_size=3),
    tile=TILES,
    seed=st.integers(0, 1000),
)
def test_connected_voxels_have_the_labels_of_skimage_whatever_the_tiles_and_bands(
    kind: str, size: Size, cuts: list[int], tile: Size, seed: int
) -> None:
    masks = [make_mask(kind, size, seed + i) for i in range(2)]
    bands = [mask[None, span].astype(np.uint8) for mask in masks for span in cut(size[0], cuts)]
    labels = Labels(bands, size, tile=tile)
    found = np.concatenate(list(labels.rows()), axis=1)[0].reshape(2, *size)
    first, second = (skimage.measure.label(mask, connectivity=3) for mask in masks)
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], np.where(second > 0, second + first.max(), 0))
    areas = list(region_areas(bands, size, tile=tile))
    for volumes, reference in zip(areas, (first, second), strict=True):
        np.testing.assert_array_equal(volumes, np.bincount(reference.ravel())[1:])


@settings(max_examples=10, deadline=None)
@given(name=st.sampled_from(["connected", "anisotropic"]), size=SIZES, cuts=CUTS, tile=TILES, seed=st.integers(0, 1000))
def test_each_class_is_labelled_by_itself(
    name: str, size: Size, cuts: tuple[list[int], ...], tile: Size, seed: int
) -> None:
    coarse = np.random.default_rng(seed).integers(0, 4, [extent // 4 + 1 for extent in size])
    volume = np.kron(coarse, np.ones((4, 4, 4)))[tuple(slice(0, extent) for extent in size)].astype(np.uint8)[None]
    found, numbered = label_in_blocks([volume], cuts, METHODS[name], tile, classes=4)
    expected, last = np.zeros(found.shape, np.uint32), 0
    for value in (1, 2, 3):
        labels = Labels([(volume == value).view(np.uint8)], size, method=METHODS[name])
        own = np.concatenate(list(labels.rows()))
        expected += np.where(own > 0, own + np.uint32(last), 0).astype(np.uint32)
        last += labels.count
        assert numbered.last[value - 1] == last
    np.testing.assert_array_equal(found, expected)


def test_the_margin_has_its_length_along_each_axis() -> None:
    method = replace(CONNECTED, margin=(1, 2, 3))
    window = slice(0, 10), slice(20, 30), slice(50, 60)
    assert margin_window(window, (12, 100, 61), method) == (slice(0, 11), slice(18, 32), slice(47, 61))


# Distances


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 40)] * 3),
    spacing=st.tuples(*[st.sampled_from([1.0, 1.125, 2.0, 2.5, 6.25])] * 3),
    share=st.sampled_from([0.5, 0.9, 0.999, 1.0]),
    seed=st.integers(0, 1000),
)
def test_distances_are_those_of_scipy_in_lengths_of_the_shortest_side(
    size: Size, spacing: tuple[float, ...], share: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random(size) < share
    lengths = tuple(length / min(spacing) for length in spacing)
    by_eighths = tuple(round(8 * length) / 8 for length in lengths)
    method = by_distance(spacing)
    assert method == by_distance(tuple(3.3 * length for length in spacing)) or method.margins(3)
    found = volume_distance_map(mask.astype(np.uint8)[None], by_eighths)
    if mask.all():
        assert (found == LARGEST_DISTANCE).all()
        return
    exact = np.minimum(scipy.ndimage.distance_transform_edt(mask, sampling=by_eighths), LARGEST_VOXELS)
    smoothed = exact
    for axis, length in enumerate(by_eighths):
        if length < 2:
            smoothed = scipy.ndimage.correlate1d(smoothed, [0.25, 0.5, 0.25], axis, mode="nearest")
    inside = mask & (exact > 0)
    np.testing.assert_allclose(found[inside] / LARGEST_DISTANCE * LARGEST_VOXELS, smoothed[inside], atol=0.07)
    assert not found[~mask].any()


def balls(spacing: tuple[float, ...], *centres: Size, radius: float, size: Size) -> NDArray[np.uint8]:
    """Return a mask of balls, whose centres and radius are in lengths of the unit of the spacing."""
    grid = np.stack(np.indices(size), -1) * np.array(spacing)
    near = np.stack([np.linalg.norm(grid - np.array(centre), axis=-1) for centre in centres]).min(0)
    return (near < radius).astype(np.uint8)[None]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_touching_balls_are_split_whatever_the_voxels(spacing: tuple[float, ...]) -> None:
    size = (int(48 / spacing[0]), 32, 32)
    mask = balls(spacing, (16, 16, 16), (32, 16, 16), radius=9.5, size=size)
    assert Labels([mask], size).count == 1
    labels = Labels([mask], size, method=by_distance(spacing))
    assert labels.count == 2
    found = next(labels.rows())[0]
    middle = int(16 / spacing[0])
    assert found[middle, 16, 16] == 1
    assert found[2 * middle, 16, 16] == 2


def test_two_peaks_of_the_predicted_distance_are_two_objects_and_the_lower_one_is_left_out() -> None:
    grid = np.indices((30, 30, 50))
    near = [np.sqrt(((grid - np.array(at)[:, None, None, None]) ** 2).sum(0)) for at in ((15, 15, 15), (15, 15, 33))]
    heights = np.maximum(np.clip(1 - near[0] / 12, 0, 1), 0.6 * np.clip(1 - near[1] / 12, 0, 1))
    volume = np.stack([heights > 0, 255 * heights]).astype(np.uint8)
    assert skimage.measure.label(volume[0] > 0).max() == 1
    labels = Labels([volume], (30, 30, 50), method=by_predicted_distance(0.2))
    assert labels.count == 2
    assert labels.confidences is not None
    expected = [smooth_predicted(volume)[15, 15, at] / LARGEST_DISTANCE for at in (15, 33)]
    np.testing.assert_allclose(labels.confidences, expected)
    assert Labels([volume], (30, 30, 50), method=by_predicted_distance(0.7)).count == 1


def test_every_voxel_of_the_mask_has_a_label_and_an_object_is_connected() -> None:
    volume = make_volume("blobs", (30, 30, 30), 5)
    for method in METHODS.values():
        (found,) = (rows[0] for rows in Labels([channels(volume, method)], (30, 30, 30), method=method).rows())
        if not method.knows_confidence:
            np.testing.assert_array_equal(found > 0, volume[0] > 0)
        assert skimage.measure.label(found, connectivity=3).max() == found.max()
