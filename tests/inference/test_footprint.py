from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unetkit.backends.registry import PRECISIONS
from unetkit.inference.footprint import OVERHEAD, RUNTIME_BYTES, Footprint, measure_features, pixel_bytes
from unetkit.io.image import ArraySource
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network

USUAL = Footprint(features=1000.0, weights=10**8, itemsize=4, pixel=1, predicted=4, halo=16, stride=8, owned=False)


def test_features_are_the_largest_layer_and_what_the_expanding_path_needs() -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1))
    assert measure_features(network, 1) == 4 * (8 + 2)  # input and output of the second, for each pixel

    class Encoder(nn.Module):
        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            return [pixels, pixels.repeat(1, 6, 1, 1)]

    class WithSkips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = Encoder()
            self.layer = nn.Conv2d(1, 8, 3, padding=1)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.layer(self.encoder(pixels)[0])

    assert measure_features(WithSkips(), 1) == 4 * (1 + 8 + 6)


def test_a_network_that_extends_its_windows_is_measured_with_what_it_adds() -> None:
    def measured(padding: str) -> float:
        spec = ModelSpec(arch="plain_unet", depth=3, base_channels=4, padding=padding)
        return measure_features(build_network(spec), 1)

    assert measured("same") == 4 * (8 + 4 + 4 + 8 / 4 + 16 / 16 + 32 / 64)
    assert measured("same") < measured("valid") < 1.5 * measured("same")


def test_measuring_leaves_the_network_as_it_is(tiny_segmenter: Segmenter) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_segmenter.state_dict().items()}
    assert measure_features(tiny_segmenter.network, 1) > 100
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_segmenter.state_dict().items())
    assert not any(module._forward_hooks for module in tiny_segmenter.modules())


def test_all_backends_are_known() -> None:
    assert set(OVERHEAD) == set(RUNTIME_BYTES) == set(PRECISIONS)


@pytest.mark.parametrize("backend", OVERHEAD)
def test_memory_grows_with_tile_batch_and_precision(backend: str) -> None:
    sizes = [USUAL.network(backend, tile, batch) for tile, batch in [(256, 1), (512, 1), (512, 2), (1024, 2)]]
    assert sizes == sorted(set(sizes))
    fixed = USUAL.network(backend, 0, 1)
    assert sizes[1] - fixed == pytest.approx(4 * (sizes[0] - fixed), rel=1e-6)
    assert sizes[2] - fixed == pytest.approx(2 * (sizes[1] - fixed), rel=1e-6)
    assert fixed >= RUNTIME_BYTES[backend] + 10**8


def test_the_pipeline_depends_on_the_tile_and_the_width_not_on_the_height() -> None:
    sizes = [USUAL.pipeline(512, 1, height, 4096) for height in (4096, 32768, 262144)]
    assert max(sizes) < 1.05 * min(sizes)
    assert USUAL.pipeline(512, 1, 4096, 8192) > sizes[0]
    assert USUAL.pipeline(1024, 1, 4096, 4096) > sizes[0]
    assert USUAL.pipeline(512, 4, 4096, 4096) > sizes[0]


@pytest.mark.parametrize(("dtype", "size"), [(np.uint8, 3), (np.uint16, 6), (np.float32, 12), (np.float64, 12)])
def test_a_pixel_has_the_bytes_with_which_it_goes_to_the_device(dtype: type, size: int) -> None:
    assert pixel_bytes(ArraySource(np.zeros((4, 4), dtype), "YX").info, 3) == size
