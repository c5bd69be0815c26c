from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from unetkit.data.pairs import find_pairs
from unetkit.models.spec import ModelSpec
from unetkit.planning.choose_depth import Depth, choose_depth
from unetkit.planning.stack import Stack, find_stacks

CUBES = Stack(4, (64, 128, 128), (1.0, 1.0, 1.0), 0.9, 0.8, 1.0)


def chosen(stack: Stack | None = CUBES, patches: float = 1000, **given: Any) -> Depth:
    return choose_depth(given, None, lambda: stack, lambda _: patches)


@pytest.mark.parametrize(
    ("stack", "patches", "dims", "planes"),
    [
        (CUBES, 1000, 3, 1),
        (CUBES, 50, 2, 5),
        (replace(CUBES, size=(5, 128, 128)), 1000, 2, 5),
        (replace(CUBES, anisotropy=12.5, likeness=0.3, next_likeness=0.2), 1000, 2, 5),
        (replace(CUBES, anisotropy=12.5, likeness=0.3, next_likeness=0.05), 1000, 2, 3),
        (replace(CUBES, likeness=0.02), 1000, 2, 1),
    ],
    ids=["cubes", "no time", "few planes", "sections", "thick sections", "unrelated"],
)
def test_what_a_network_sees_follows_the_stacks_and_the_time(
    stack: Stack, patches: float, dims: int, planes: int
) -> None:
    depth = chosen(stack, patches)
    assert (depth.dims, depth.planes) == (dims, planes)
    (choice,) = depth.choices
    assert choice.why


def test_nothing_is_said_where_no_file_says_that_planes_belong_together() -> None:
    assert chosen(None) == Depth()


def test_what_is_given_is_not_looked_at() -> None:
    def never() -> None:
        raise AssertionError

    for given, expected in (
        ({"model.dims": 3}, Depth(3)),
        ({"model.planes": 7}, Depth(2, 7)),
        ({"model.arch": "plain_unet"}, Depth()),
    ):
        assert choose_depth(given, None, never, lambda _: 0) == expected


def test_a_model_to_start_from_decides() -> None:
    volumes = ModelSpec(depth=3, decoder_channels=(8, 8, 8), dims=3, pooling=((2, 2, 2),) * 3)
    assert choose_depth({}, volumes, lambda: CUBES, lambda _: 0).dims == 3
    assert choose_depth({}, ModelSpec(planes=3), lambda: CUBES, lambda _: 1000).planes == 3
    assert choose_depth({}, ModelSpec(), lambda: CUBES, lambda _: 1000) == Depth()


def write(folder: Path, axes: str, spacing: float | None, sigma: float) -> list[Any]:
    noise = np.random.default_rng(0).normal(size=(16, 48, 48))
    volume = gaussian_filter(noise, (sigma, 2, 2))
    volume = ((volume - volume.min()) / np.ptp(volume) * 255).astype(np.uint8)
    for name, pixels in (("images", volume), ("masks", (volume > 128).astype(np.uint8))):
        (folder / name).mkdir()
        size = {} if spacing is None else {"resolution": (1, 1)}
        metadata: dict[str, Any] = {"axes": axes, **({} if spacing is None else {"spacing": spacing, "unit": "um"})}
        tifffile.imwrite(folder / name / "a.tif", pixels, imagej=True, metadata=metadata, **size)
    return find_pairs(folder)


def test_stacks_are_recognised_by_an_axis_of_that_name(tmp_path: Path) -> None:
    assert find_stacks(write(tmp_path, "TYX", None, 2)) is None


def test_planes_of_the_distance_of_pixels_are_alike(tmp_path: Path) -> None:
    stack = find_stacks(write(tmp_path, "ZYX", None, 2))
    assert stack is not None
    assert (stack.volumes, stack.size, stack.voxel) == (1, (16, 48, 48), None)
    assert stack.likeness > 0.8
    assert stack.anisotropy == pytest.approx(1, abs=0.3)  # by how alike planes are


def test_the_file_says_how_far_apart_planes_are(tmp_path: Path) -> None:
    stack = find_stacks(write(tmp_path, "ZYX", 4.0, 0.3))
    assert stack is not None
    assert stack.voxel == pytest.approx((4, 1, 1))
    assert stack.anisotropy == pytest.approx(4)
    assert stack.likeness < 0.5


def test_single_planes_are_no_stacks(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", np.zeros((8, 8), np.uint8))
    assert find_stacks(find_pairs(tmp_path)) is None
