"""Blocks of a plane, each found and drawn by itself, against whole-image references."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from math import prod

import numpy as np
import pytest
import skimage.measure
from choices import random_choice
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetkit.io.ome_zarr.layout import chunk_of
from unetkit.postprocess.block_faces import BlockFaces
from unetkit.postprocess.blocks import (
    MASK,
    block_step,
    draw_block,
    find_block,
    label_blocks,
    margin_window,
)
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.faces import present
from unetkit.postprocess.joined import Joined, Numbered
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Window
from unetkit.postprocess.predicted_distance import by_predicted_distance, smooth_predicted
from unetkit.postprocess.split_by_distance import BY_DISTANCE, distance_map

METHODS = {
    "connected": CONNECTED,
    "distance": BY_DISTANCE,
    "predicted": by_predicted_distance(0.3),
    "chosen": by_predicted_distance(0.3, choice=random_choice()),
}
MAPS = {"distance": distance_map, "predicted": smooth_predicted}


def spiral(height: int, width: int) -> NDArray[np.bool_]:
    """Return one line that winds from a corner to the middle and touches itself nowhere."""
    mask = np.zeros((height, width), bool)
    top, left, bottom, right = 0, 0, height - 1, width - 1
    start = 0
    while top <= bottom and left <= right:
        mask[top, start : right + 1] = mask[top : bottom + 1, right] = True
        if bottom > top + 1:
            mask[bottom, left : right + 1] = True
        if bottom > top + 1 and right > left + 1:
            mask[top + 2 : bottom + 1, left] = True
        start, top, left, bottom, right = left + 1, top + 2, left + 2, bottom - 2, right - 2
    return mask


def comb(height: int, width: int) -> NDArray[np.bool_]:
    """Return teeth that are joined by the last row alone."""
    mask = np.zeros((height, width), bool)
    mask[:, ::2] = mask[-1] = True
    return mask


def blobs(height: int, width: int, seed: int) -> NDArray[np.bool_]:
    coarse = np.random.default_rng(seed).random((height // 5 + 2, width // 5 + 2)) < 0.55
    shift = seed % 5
    mask: NDArray[np.bool_] = np.kron(coarse, np.ones((5, 5), bool))[shift : shift + height, shift : shift + width]
    return mask


def make_mask(kind: str, height: int, width: int, seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    if kind.startswith("noise"):
        return rng.random((height, width)) < float(kind.removeprefix("noise "))
    shapes = {
        "one": np.ones((height, width), bool),
        "none": np.zeros((height, width), bool),
        "checkerboard": (np.indices((height, width)).sum(0) + seed) % 2 == 0,
        "dots": (np.indices((height, width)) % 2 == 0).all(0),
        "spiral": spiral(height, width),
        "comb": comb(height, width),
        "comb upside down": comb(height, width)[::-1],
        "blobs": blobs(height, width, seed),
    }
    return shapes[kind]


KINDS = (
    *("noise 0.2", "noise 0.5", "noise 0.9", "one", "none", "checkerboard", "dots", "spiral", "comb"),
    *("comb upside down", "blobs"),
)


def make_plane(kind: str, height: int, width: int, seed: int, channels: int) -> NDArray[np.uint8]:
    """Return a mask and a rough distance map."""
    mask = make_mask(kind, height, width, seed)
    rough = np.kron(
        np.random.default_rng(seed + 1).integers(1, 256, (height // 3 + 1, width // 3 + 1)), np.ones((3, 3))
    )
    plane = np.stack([mask * 255, mask * rough[:height, :width]]).astype(np.uint8)
    return plane[:channels]


def cut(extent: int, cuts: list[int]) -> list[slice]:
    """Cut an axis at some positions."""
    ends = [0, *sorted({at for at in cuts if 0 < at < extent}), extent]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def label_in_blocks(
    planes: list[NDArray[np.uint8]],
    windows: list[Window],
    method: Method,
    tile: tuple[int, int],
    *,
    smallest: int = 0,
    classes: int = MASK,
) -> tuple[NDArray[np.uint32], Numbered]:
    """Find, join and draw blocks, each from its own pixels and margin alone, and through bytes."""
    size = planes[0].shape[1:]

    def reads() -> Iterator[tuple[NDArray[np.uint8], Window, int]]:
        for number, plane in enumerate(planes):
            for window in windows:
                yield plane[:, *margin_window(window, size, method)].copy(), window, number

    sent = pickle.loads(pickle.dumps(method))  # a worker gets it so
    joined = Joined(method, classes=classes, smallest=smallest)
    for pixels, window, _ in reads():
        faces = find_block(pixels, window, size, sent, classes=classes, tile=tile)
        joined.add(window, size, BlockFaces.from_bytes(faces.to_bytes()))
    numbered = joined.numbered
    labels = np.zeros((len(planes), *size), np.uint32)
    for (pixels, window, number), numbers in zip(reads(), joined.numbers(), strict=True):
        block = draw_block(pixels, window, size, sent, numbers, numbered.dtype, classes=classes, tile=tile)
        assert block.dtype == numbered.dtype
        labels[number, *window] = block[0]
    return labels, numbered


# Whatever the blocks


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(METHODS)),
    kind=st.sampled_from(KINDS),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    row_cuts=st.lists(st.integers(1, 59), max_size=4),
    column_cuts=st.lists(st.integers(1, 59), max_size=4),
    tile=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    smallest=st.sampled_from([0, 0, 4, 30]),
    seed=st.integers(0, 1000),
)
@example("connected", "spiral", (60, 60), [7, 20, 21, 50], [13, 30, 31, 33], (9, 8), 0, 0)
@example("distance", "one", (60, 60), [20, 40], [20, 40], (40, 40), 0, 0)
@example("predicted", "noise 0.9", (60, 60), [30], [10, 20, 30], (7, 5), 4, 1)
def test_blocks_have_the_labels_of_the_whole(
    name: str,
    kind: str,
    size: tuple[int, int],
    row_cuts: list[int],
    column_cuts: list[int],
    tile: tuple[int, int],
    smallest: int,
    seed: int,
) -> None:
    method = METHODS[name]
    planes = [make_plane(kind, *size, seed + 7 * i, 2 if name in ("predicted", "chosen") else 1) for i in range(2)]
    windows: list[Window] = list(product(cut(size[0], row_cuts), cut(size[1], column_cuts)))
    found, numbered = label_in_blocks(planes, windows, method, tile, smallest=smallest)
    whole = Labels(planes, size, method=method, smallest=smallest, tile=size)
    expected = np.concatenate(list(whole.rows()), axis=1)[0].reshape(found.shape)
    np.testing.assert_array_equal(found, expected)
    assert (numbered.count, numbered.last, numbered.dtype) == (whole.count, whole.last, whole.dtype)
    assert (numbered.confidences is None) == (name not in ("predicted", "chosen")) == (whole.confidences is None)
    if numbered.confidences is not None and whole.confidences is not None:
        np.testing.assert_array_equal(numbered.confidences, whole.confidences)
    if name == "connected" and not smallest:
        first = skimage.measure.label(planes[0][0] > 0)
        np.testing.assert_array_equal(found[0], first)
        second = skimage.measure.label(planes[1][0] > 0)
        np.testing.assert_array_equal(found[1], np.where(second > 0, second + first.max(), 0))


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(["connected", "distance"]),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    row_cuts=st.lists(st.integers(1, 49), max_size=3),
    column_cuts=st.lists(st.integers(1, 49), max_size=3),
    smallest=st.sampled_from([0, 6]),
    seed=st.integers(0, 1000),
)
def test_blocks_of_several_classes_have_the_labels_of_each_class_by_itself(
    name: str, size: tuple[int, int], row_cuts: list[int], column_cuts: list[int], smallest: int, seed: int
) -> None:
    method = METHODS[name]
    tall, wide = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, (2, tall // 6 + 1, wide // 6 + 1))
    planes = np.kron(coarse, np.ones((1, 6, 6))).astype(np.uint8)[:, None, :tall, :wide]
    windows: list[Window] = list(product(cut(tall, row_cuts), cut(wide, column_cuts)))
    found, numbered = label_in_blocks([*planes], windows, method, (16, 11), smallest=smallest, classes=4)
    expected, last = np.zeros(found.shape, np.uint32), 0
    for value in (1, 2, 3):
        masks = [(plane == value).view(np.uint8) for plane in planes]
        labels = Labels(masks, size, method=method, smallest=smallest)
        own = np.concatenate(list(labels.rows()), axis=1)[0].reshape(found.shape).astype(np.uint32)
        expected += np.where(own > 0, own + last, 0).astype(np.uint32)
        last += labels.count
        assert numbered.last[value - 1] == last
    np.testing.assert_array_equal(found, expected)


def label_slowly(plane: NDArray[np.uint8], name: str) -> NDArray[np.int64]:
    """Label pixel after pixel, by the words of `unetkit.postprocess.watershed` and `Method` alone."""
    method, distances = METHODS[name], MAPS[name](plane)
    pixels = [tuple(at) for at in np.argwhere(distances > 0).tolist()]

    def neighbours(at: tuple[int, ...]) -> list[tuple[int, ...]]:
        found = [(at[0] + dy, at[1] + dx) for dy, dx in product((-1, 0, 1), repeat=2)]
        return [(y, x) for y, x in found if 0 <= y < distances.shape[0] and 0 <= x < distances.shape[1]]

    # Each pixel leads to the largest distance among itself and its neighbours, of equal ones to the first.
    parent = {at: max(neighbours(at), key=lambda one: (distances[one], [-i for i in one])) for at in pixels}

    def root(at: tuple[int, ...]) -> tuple[int, ...]:
        while parent[at] != at:
            at = parent[at]
        return at

    touching = [(one, other) for one in pixels for other in neighbours(one) if distances[other] > 0]
    for one, other in touching:
        if min(distances[one], distances[other]) == LARGEST_DISTANCE and root(one) != root(other):
            parent[root(other)] = root(one)
    region = {at: root(at) for at in pixels}
    members: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for at in pixels:
        members.setdefault(region[at], []).append(at)
    peak = {one: max(int(distances[at]) for at in own) for one, own in members.items()}
    rank = {one: place for place, one in enumerate(sorted(members, key=lambda one: (-peak[one], min(members[one]))))}
    saddles: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    for one, other in touching:
        pair = region[one], region[other]
        if rank[pair[0]] < rank[pair[1]]:
            saddles[pair] = max(saddles.get(pair, 0), int(min(distances[one], distances[other])))
    for (high, low), saddle in sorted(saddles.items(), key=lambda item: (-item[1], *(rank[one] for one in item[0]))):
        above, below = sorted((root(high), root(low)), key=rank.__getitem__)
        if above != below and saddle >= min(method.saddle * peak[below], peak[below] - method.depth):
            parent[below] = above
    labels, numbers = np.zeros(distances.shape, np.int64), {0: 0}
    for at in pixels:
        if peak[root(at)] >= method.lowest:
            labels[at] = numbers.setdefault(rank[root(at)] + 1, len(numbers))
    return labels


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("kind", ["blobs", "noise 0.9", "one"])
@pytest.mark.parametrize("seed", range(3))
def test_blocks_have_the_labels_that_the_definition_gives_pixel_by_pixel(name: str, kind: str, seed: int) -> None:
    plane = make_plane(kind, 36, 44, seed, 2 if name in ("predicted", "chosen") else 1)
    if kind == "one":
        plane[0, 18, 5:40:3] = 0
    windows: list[Window] = list(product(cut(36, [10, 11, 25]), cut(44, [15, 30])))
    found, numbered = label_in_blocks([plane], windows, METHODS[name], (6, 9))
    np.testing.assert_array_equal(found[0], label_slowly(plane, name))
    assert numbered.count > 1


# What blocks tell


def test_what_a_block_alone_decides_is_not_told_again() -> None:
    """Of objects away from the sides nothing is left to decide, however many regions they had."""
    plane = np.zeros((1, 100, 120), np.uint8)
    plane[0, 20:40, 20:100] = plane[0, 50:70, 20:100] = 255
    plane[0, 20:23, 60] = plane[0, 37:40, 60] = 0
    window = slice(0, 90), slice(0, 110)
    pixels = plane[:, *margin_window(window, (100, 120), BY_DISTANCE)]
    faces = find_block(pixels, window, (100, 120), BY_DISTANCE, tile=(32, 32)).classes[0]
    objects = Labels([plane], (100, 120), method=BY_DISTANCE).count
    assert len(faces.tile_groups) > 3 * objects
    assert len(faces.groups) == objects
    assert len(faces.edges.first) == 0
    assert not any(side.nodes.any() for side in present(faces.sides))


def test_one_object_over_a_large_block_takes_few_bytes() -> None:
    side = 2048
    window = slice(1024, 1024 + side), slice(0, side)
    for method in (CONNECTED, BY_DISTANCE):
        margin = method.margins(2)[0]
        pixels = np.ones((1, side + 2 * margin, side + margin), np.uint8)
        faces = find_block(pixels, window, (8 * side, 8 * side), method)
        assert len(faces.classes[0].groups) == 1
        assert len(faces.to_bytes()) < 2000


def test_many_objects_take_a_few_bytes_each() -> None:
    pixels = np.zeros((1, 1024, 1024), np.uint8)
    pixels[0, ::4, ::4] = 1
    data = find_block(pixels, (slice(0, 1024), slice(0, 1024)), (4096, 4096), CONNECTED).to_bytes()
    assert len(data) < 4 * 65_536


def test_bytes_give_the_same_faces_again() -> None:
    plane = make_plane("noise 0.5", 50, 70, 3, 2)
    window = slice(10, 40), slice(20, 70)
    method = METHODS["predicted"]
    faces = find_block(plane[:, *margin_window(window, (50, 70), method)], window, (50, 70), method, tile=(8, 8))
    again = BlockFaces.from_bytes(faces.to_bytes())
    (one,), (other,) = faces.classes, again.classes
    assert len(one.edges.first) > 0
    lengths = [[None if side is None else len(side.nodes) for side in ends] for ends in one.sides]
    assert lengths == [[50, 50], [30, None]]
    for part in ("groups", "edges"):
        for name, array in vars(getattr(one, part)).items():
            np.testing.assert_array_equal(getattr(getattr(other, part), name), array)
    for side, side_again in zip(present(one.sides), present(other.sides), strict=True):
        for name, array in vars(side).items():
            np.testing.assert_array_equal(getattr(side_again, name), array)
            assert getattr(side_again, name).dtype == array.dtype
    np.testing.assert_array_equal(other.tile_groups, one.tile_groups)


# Geometry


@settings(deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 30_000)] * 2) | st.tuples(*[st.integers(1, 1000)] * 3),
    pixels=st.integers(1, 1 << 28),
)
def test_blocks_cover_the_plane_once_in_raster_order_in_whole_steps(size: tuple[int, ...], pixels: int) -> None:
    windows = label_blocks(size, pixels)
    assert sum(prod(span.stop - span.start for span in window) for window in windows) == prod(size)
    starts = [tuple(span.start for span in window) for window in windows]
    assert starts == sorted(set(starts))
    step = block_step(size)
    assert step == chunk_of(size)
    least = prod(step)
    for window in windows:
        assert all(0 <= span.start < span.stop <= extent for span, extent in zip(window, size, strict=True))
        for span, end, length in zip(window, size, step, strict=True):
            assert span.start % length == 0
            assert span.stop % length == 0 or span.stop == end
        assert prod(span.stop - span.start for span in window) <= max(pixels, least)


@pytest.mark.parametrize(
    ("size", "megapixels", "block", "count"),
    [
        ((20_000, 20_000), 64, (7168, 7168), 9),
        ((100_000, 100_000), 64, (8192, 8192), 169),
        ((200_000, 1000), 64, (50_176, 1000), 4),
        ((500, 200_000), 16, (500, 16_384), 13),
        ((3000, 3000), 64, (3000, 3000), 1),
        ((5000, 5000), 0, (1024, 1024), 25),
    ],
)
def test_blocks_are_nearly_square_and_of_about_one_size(
    size: tuple[int, int], megapixels: int, block: tuple[int, int], count: int
) -> None:
    windows = label_blocks(size, megapixels << 20)
    assert (tuple(span.stop - span.start for span in windows[0]), len(windows)) == (block, count)


def test_the_margin_ends_where_the_plane_does() -> None:
    method = replace(CONNECTED, margin=5)
    assert margin_window((slice(0, 10), slice(20, 30)), (12, 100), method) == (slice(0, 12), slice(15, 35))


# What is refused


def test_a_block_without_its_margin_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(26, 40\) pixels, and \(20, 40\) are given"):
        find_block(np.zeros((2, 20, 40), np.uint8), (slice(10, 30), slice(0, 40)), (34, 40), METHODS["predicted"])


def test_a_block_out_of_order_is_refused() -> None:
    joined = Joined(CONNECTED)
    window = slice(0, 10), slice(10, 20)
    faces = find_block(np.ones((1, 10, 10), np.uint8), window, (20, 20), CONNECTED)
    with pytest.raises(ValueError, match=r"begins at \(0, 10\), but the next one begins at \(0, 0\)"):
        joined.add(window, (20, 20), faces)


@pytest.mark.parametrize("value", [0, 1])
def test_numbers_of_other_pixels_are_refused(value: int) -> None:
    pixels = np.full((1, 10, 10), value, np.uint8)
    pixels[0, 4] = 1 - value
    window = slice(0, 10), slice(0, 10)
    joined = Joined(CONNECTED)
    joined.add(window, (10, 10), find_block(pixels, window, (10, 10), CONNECTED))
    (numbers,) = joined.numbers()
    with pytest.raises(ValueError, match="the pixels are not those of before"):
        draw_block(1 - pixels, window, (10, 10), CONNECTED, numbers, np.dtype(np.uint16))
