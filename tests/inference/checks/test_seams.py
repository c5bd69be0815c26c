from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from volumes import VolumeSource, volume

from unetkit.backends.torch import TorchBackend
from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ConfigError
from unetkit.inference.array import predict_tiled
from unetkit.inference.checks.seams import Seams, default_largest, verify_seams
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.engine.forward import Forward
from unetkit.inference.run import predictor as module
from unetkit.inference.run.predictor import Predictor
from unetkit.inference.tiling.grid import TileGrid, make_grid
from unetkit.inference.tiling.options import TilingOptions
from unetkit.inference.tiling.windows import read_window
from unetkit.io.base.arrays import ArraySource
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics
from unetkit.models.trimmed import Kept

Make = Callable[..., Segmenter]
PLANES, HEIGHT, WIDTH = 2, 150, 203
STRIDE = 8


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 60, shape, np.uint8)


class Predict:
    """A model as `verify_seams` wants it, with the sizes of all windows that it was asked for."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.forward = Forward(
            [TorchBackend(segmenter, torch.device("cpu"), "fp32", owned=False)],
            classes=segmenter.spec.out_channels,
            kind="probabilities",
            threshold=0.5,
            augment=False,
            halo=segmenter.spec.halo,
            stride=STRIDE,
            log=log_nothing,
        )
        self.statistics = Statistics(np.zeros(1, np.float32), np.ones(1, np.float32))
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, window: NDArray[Any], plane: int, kept: Kept) -> NDArray[np.float32]:
        self.sizes.append(window.shape[1:])
        predicted = self.forward.submit(self.forward.gather([window]), [[self.statistics]], kept).result()
        return np.asarray(predicted[0], np.float32)


def lay(halo: int, tile: int = 48, height: int = HEIGHT, width: int = WIDTH) -> TileGrid:
    return make_grid((height, width), tile=tile, halo=halo, stride=STRIDE)


def verify(predict: Any, grid: TileGrid, image: NDArray[Any] | None = None, **options: Any) -> Seams:
    source = ArraySource(pixels(PLANES, *grid.size) if image is None else image, "ZYX")
    return verify_seams(source, predict, grid, 0.5, channels=1, stride=STRIDE, **options)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    tile=st.integers(3, 8),
    classes=st.sampled_from([2, 3]),
    largest=st.sampled_from([None, 56, 72, 200]),
    seed=st.integers(0, 9),
)
def test_a_sufficient_halo_differs_nowhere(
    exact_segmenter: Make, size: tuple[int, int], tile: int, classes: int, largest: int | None, seed: int
) -> None:
    predict = Predict(exact_segmenter(classes=classes, stride=2))
    grid = lay(8, 8 * tile, *size)
    seams = verify(predict, grid, largest=largest, seed=seed)
    assert seams.changed == 0
    assert seams.largest_difference < 1e-6  # softmax rounds differently for parts of different sizes
    bound = max(default_largest(grid, (STRIDE, STRIDE))) if largest is None else max(largest, 8 * tile)
    assert all(max(window) <= bound for window in predict.sizes)
    assert all(length % STRIDE == 0 for window in predict.sizes for length in window)
    assert seams.regions == min(8, PLANES * len(grid) if len(grid) > 1 else 0)


def test_a_halo_that_is_too_small_is_found_where_two_tiles_meet(exact_segmenter: Make) -> None:
    segmenter, grid = exact_segmenter(), lay(0)
    seams = verify(Predict(segmenter), grid, regions=10_000)
    image = pixels(PLANES, HEIGHT, WIDTH)
    whole, tiled = (
        predict_tiled(image, segmenter, axes="ZYX", tile=tile, halo=0, output="probabilities") for tile in (256, 48)
    )
    difference = np.abs(whole - tiled)
    assert seams.regions == PLANES * len(grid)
    assert seams.pixels == image.size
    assert seams.changed == np.count_nonzero((whole >= 0.5) != (tiled >= 0.5)) > 0
    assert seams.largest_difference == difference.max()
    assert difference[seams.worst] == difference.max()


@pytest.mark.parametrize("halo", [8, 0])
def test_the_tiles_of_a_volume_are_compared_with_far_more_of_it(exact_segmenter: Make, halo: int) -> None:
    segmenter, image = exact_segmenter(stride=(1, 2, 2)), volume(2, 1, 40, 60, 50)
    grids = [make_grid(image.shape[2:], tile=tile, halo=halo, stride=STRIDE) for tile in (24, 64)]
    assert [len(grid) for grid in grids] == [90 if halo else 18, 1]
    predict = Predict(segmenter)
    seams = verify_seams(
        VolumeSource(image), predict, grids[0], 0.5, channels=1, stride=STRIDE, regions=10 if halo else 1000, largest=56
    )
    assert all(length % STRIDE == 0 and length <= 56 for window in predict.sizes for length in window)
    if halo:
        assert (seams.regions, seams.changed) == (10, 0)
        return
    whole, tiled = np.zeros((2, *image.shape), np.float32)
    for grid, probabilities in zip(grids, (tiled, whole), strict=True):
        for item in range(2):
            for tile in grid:
                window = read_window(VolumeSource(image), item, tile, grid, 1)
                probabilities[item, :, *tile.kept] = predict(window, item, tile.inner)
    difference = np.abs(whole - tiled)[:, 0]
    assert seams.pixels == image.size
    assert seams.changed == np.count_nonzero((whole >= 0.5) != (tiled >= 0.5)) > 0
    assert difference[seams.worst] == difference.max() == seams.largest_difference
    _, z, y, x = seams.worst
    assert f"(at z {z}, y {y}, x {x}" in seams.summary()


def test_a_few_regions_are_some_of_all_and_the_same_for_the_same_seed(exact_segmenter: Make) -> None:
    predict = Predict(exact_segmenter())
    first = verify(predict, lay(0), regions=5, seed=3)
    assert first.regions == 5
    assert 0 < first.changed_share < 1
    assert verify(predict, lay(0), regions=5, seed=3) == first
    assert verify(predict, lay(0), regions=5, seed=4) != first


def test_the_context_is_several_halos(exact_segmenter: Make) -> None:
    predict = Predict(exact_segmenter())
    seams = verify(predict, lay(16, 64, 400, 400), regions=1, largest=400)
    assert (seams.halo, seams.context) == (16, 64)
    assert max(max(window) for window in predict.sizes) > 64 + 2 * 16


@pytest.mark.parametrize(("halo", "largest"), [(16, 48), (16, 56), (8, 32), (64, 160)])
def test_windows_without_room_for_context_are_an_error_whose_remedy_works(
    exact_segmenter: Make, halo: int, largest: int
) -> None:
    predict, grid = Predict(exact_segmenter()), lay(halo, 2 * halo + 24)
    with pytest.raises(ConfigError, match=f"no more context than the halo of {halo}") as caught:
        verify(predict, grid, largest=largest)
    enough = int(caught.value.remedy.split()[3])
    assert verify(predict, grid, largest=enough, regions=1).context > halo


def test_a_single_tile_has_no_seams(exact_segmenter: Make) -> None:
    seams = verify(Predict(exact_segmenter()), lay(8, 48, 40, 33))
    assert (seams.regions, seams.pixels, seams.changed_share) == (0, 0, 0)
    assert "no seams" in seams.summary()


def test_one_wrong_pixel_is_found_with_its_place() -> None:
    """A tile in the second plane is wrong at one pixel; every other prediction is the image itself."""
    image = pixels(PLANES, HEIGHT, WIDTH)
    grid = lay(8)
    windows: list[int] = []

    def predict(window: NDArray[Any], plane: int, kept: Kept) -> NDArray[np.float32]:
        probabilities = window.astype(np.float32) / 100
        if window.shape[1:] == grid.window and np.array_equal(
            window[0], image[1, 32 : 32 + grid.window[0], : grid.window[1]]
        ):
            windows.append(plane)
            probabilities[0, 20, 11] = 0.9
        return probabilities[:, kept[0], kept[1]]

    assert grid.bands[1].start == 32
    seams = verify(predict, grid, image, regions=10_000)
    assert windows == [1]
    assert seams.worst == (1, 52, 11)
    assert seams.changed == 1
    assert "(at y 52, x 11 of plane 1)" in seams.summary()


def test_the_windows_are_as_large_as_memory_allows(exact_segmenter: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ArraySource(pixels(2, 600, 600), "ZYX")
    tiling, log = TilingOptions(device="cpu", tile=96, halo=8, backend="torch"), log_nothing
    ensemble = gather_models(exact_segmenter(stride=2))
    predictor = Predictor(ensemble, tiling, source, 720_000, kind="mask", threshold=None, log=log)
    found = {}
    for free in (10**9, 3 * 10**5, 0):
        monkeypatch.setattr(module, "free_memory", lambda device, budget, free=free: free)
        monkeypatch.setattr(module, "verify_seams", lambda *given, free=free, **options: found.update({free: options}))
        predictor.verify(source, predictor.grid(source.info))
    most, less, least = (options["largest"] for options in found.values())
    assert most == default_largest(predictor.grid(source.info), (ensemble.stride,) * 2)
    assert most > less > least >= (96, 96)


def test_the_summary_is_a_sentence_with_its_numbers() -> None:
    seams = Seams(8, 4_000_000, 120, 0.034, (0, 17, 2900), 128, 512)
    assert seams.changed_share == pytest.approx(3e-5)
    assert seams.summary() == (
        "120 of 4,000,000 mask pixels (0.3 in 10,000) in 8 tiles differ from a pass with 512 instead of 128 pixels of "
        "context, probabilities by at most 0.034 (at y 17, x 2900)."
    )
