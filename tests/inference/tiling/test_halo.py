from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from unetkit.inference.tiling import halo
from unetkit.inference.tiling.halo import HaloMeasurement, measure_halo
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec

SPEC = ModelSpec(encoder="resnet18", depth=3, decoder_channels=(32, 16, 8))
Measured = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CANVAS_SIZE": 384, "WINDOW_SIZE": 192, "WINDOWS_PER_AXIS": 3, "LARGEST_HALO": 64}.items():
        monkeypatch.setattr(halo, name, value)


def mean_around(radius: int) -> Segmenter:
    """A model that compares each pixel with 1/2 by a mean over (2 radius + 1)^2 pixels, zeros beyond the image."""
    network = nn.Conv2d(1, 1, 2 * radius + 1, padding=radius)
    network.weight.data.fill_(1 / (2 * radius + 1) ** 2)
    assert network.bias is not None
    network.bias.data.fill_(-0.5)
    return Segmenter(SPEC, network)


def noise(*sizes: tuple[int, ...]) -> list[Measured]:
    rng = np.random.default_rng(0)
    zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    return [(rng.integers(0, 2, (1, *size), np.uint8), zero, one) for size in sizes]


@pytest.mark.parametrize(("radius", "expected"), [(3, 8), (8, 8), (9, 16), (13, 16)])
def test_the_halo_is_the_radius_that_the_network_sees(radius: int, expected: int) -> None:
    measured = measure_halo(mean_around(radius), noise((384, 384)))
    assert measured.halo == expected
    assert measured.error <= halo.HALO_TOLERANCE


def test_restored_pixels_are_compared_too() -> None:
    model = mean_around(9)
    model.spec = replace(SPEC, task="reconstruction")
    measured = measure_halo(model, noise((384, 384)))
    assert measured.halo == 16
    assert measured.error <= halo.HALO_TOLERANCE


def test_a_network_that_extends_its_windows_gets_a_halo_beyond_what_it_extends_them_by() -> None:
    spec = ModelSpec(arch="plain_unet", depth=3, base_channels=2, padding="valid")
    model = Segmenter(spec, mean_around(3).network)
    assert measure_halo(model, noise((384, 384))).halo == 48


def test_the_largest_halo_comes_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halo, "LARGEST_HALO", 8)
    measured = measure_halo(mean_around(13), noise((384, 384)))
    assert measured.halo == 8
    assert measured.error > halo.HALO_TOLERANCE


def test_the_error_is_the_share_of_changed_pixels_in_the_cores() -> None:
    """Against cutting windows and cores one by one."""
    model, image = mean_around(13), noise((384, 384))
    with torch.inference_mode():
        canvas = torch.from_numpy(image[0][0]).float()
        whole = model.network(canvas[None])[0] >= 0
        changed = compared = 0
        for top in (0, 96, 192):
            for left in (0, 96, 192):
                cut = model.network(canvas[None, :, top : top + 192, left : left + 192])[0] >= 0
                core = tuple(slice(8 if at > 0 else 0, 184 if at < 192 else 192) for at in (top, left))
                differs = (cut != whole[:, top : top + 192, left : left + 192])[0][core]
                changed, compared = changed + int(differs.sum()), compared + differs.numel()
    halo_of_8 = pytest.MonkeyPatch()
    halo_of_8.setattr(halo, "LARGEST_HALO", 8)
    try:
        assert measure_halo(model, image).error == pytest.approx(changed / compared)
    finally:
        halo_of_8.undo()


def test_images_of_many_sizes_fill_the_canvas() -> None:
    assert measure_halo(mean_around(3), noise((20, 500), (50, 31), (400, 7), (1, 1))).halo == 8


def test_a_volume_has_a_halo_of_its_own_along_axes_of_another_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halo, "LARGEST_HALO", 12)
    size, window = (32, 56, 64), (18, 32, 36)
    canvas = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (1, *size)).astype(np.float32))
    mean = nn.AvgPool3d((5, 13, 13), stride=1, padding=(2, 6, 6), count_include_pad=True)

    def predict(part: torch.Tensor) -> NDArray[np.bool_]:
        return (mean(part[None])[0, 0] >= 0.5).numpy()

    for stride, expected in (((1, 4, 4), (2, 8, 8)), ((2, 2, 2), 6)):
        options = {"window": window, "stride": stride, "margin": 0, "positions": 2}
        measured = halo.compare_windows(predict, np.not_equal, canvas, **options)
        assert measured.halo == expected
        assert measured.error <= halo.HALO_TOLERANCE
    options = {"window": window, "stride": (1, 4, 4), "margin": 5, "positions": 2}
    assert halo.compare_windows(predict, np.not_equal, canvas, **options).halo == (5, 8, 8)


def test_the_halo_of_a_model_of_volumes_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"VOLUME_CANVAS": 48, "VOLUME_WINDOW": 40, "LARGEST_HALO": 16}.items():
        monkeypatch.setattr(halo, name, value)
    network = nn.Conv3d(1, 1, 3, padding=1)
    network.weight.data.fill_(1 / 27)
    assert network.bias is not None
    network.bias.data.fill_(-0.5)
    spec = replace(SPEC, dims=3, pooling=((2, 2, 2),) * 3)
    assert measure_halo(Segmenter(spec, network), noise((50, 30, 20), (9, 60, 33))) == HaloMeasurement(8, 0.0)


@given(st.lists(st.sampled_from([1, 2, 4, 8, 16, 32]), min_size=3, max_size=3), st.sampled_from([None, 2, 3]))
def test_what_is_predicted_of_volumes_lies_on_the_strides_and_is_about_as_much_for_any(
    strides: list[int], positions: int | None
) -> None:
    compared = halo.plan_comparison(tuple(strides), positions)
    assert compared.positions == 2
    assert compared.windows == (positions or halo.WINDOWS_PER_AXIS)
    for canvas, window, stride in zip(compared.canvas, compared.window, strides, strict=True):
        assert canvas % stride == window % stride == 0
        assert window >= 3 * stride
        assert canvas > window
    usual = halo.VOLUME_CANVAS**3 + compared.windows * halo.VOLUME_WINDOW**3
    assert 0.4 * usual < compared.pixels < 2.1 * usual


def test_a_few_windows_of_all_are_compared_too() -> None:
    """The windows in the corners of a volume have one cut along each axis, so halos of nearly a window are measured."""
    canvas = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (1, 40, 40, 40)).astype(np.float32))
    mean = nn.AvgPool3d(21, stride=1, padding=10, count_include_pad=True)
    seen: list[tuple[int, ...]] = []

    def predict(part: torch.Tensor) -> NDArray[np.bool_]:
        seen.append(tuple(part.shape[1:]))
        return (mean(part[None])[0, 0] >= 0.5).numpy()

    options = {"window": (24, 24, 24), "stride": (8, 8, 8), "margin": 0, "positions": 2, "windows": 2}
    measured = halo.compare_windows(predict, np.not_equal, canvas, **options)
    assert measured.halo == 16
    assert measured.error == 0
    assert seen == [(40, 40, 40), (24, 24, 24), (24, 24, 24)]


def test_a_model_in_training_is_measured_as_it_predicts(tiny_segmenter: Segmenter) -> None:
    before = {name: value.clone() for name, value in tiny_segmenter.state_dict().items()}
    image = noise((200, 200))
    expected = measure_halo(tiny_segmenter, image)
    assert measure_halo(tiny_segmenter.train(), image) == expected
    assert all(torch.equal(value, before[name]) for name, value in tiny_segmenter.state_dict().items())
