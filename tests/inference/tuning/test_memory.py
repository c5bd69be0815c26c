from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from unetkit.backends.registry import backend_info, backend_names
from unetkit.inference.tuning.memory import Footprint, measure_features, pixel_bytes
from unetkit.io.base.arrays import ArraySource
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import trim
from unetkit.models.unet import build_network

USUAL = Footprint(
    features=lambda tile, whole: 1000 * tile * tile * (1 + whole),
    weights=10**8,
    precision="fp32",
    pixel=1,
    predicted=4,
    halo=16,
    stride=8,
    owned=False,
)


def measured(network: nn.Module, halo: int = 0, channels: int = 1) -> float:
    """Return the bytes for each pixel of a window of 64, of which all but a halo is kept."""
    kept = slice(halo, 64 - halo)
    return measure_features(network, channels, (64, 64), (kept, kept)) / 64**2


def test_features_are_those_that_are_there_together() -> None:
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 3, padding=1)]
    assert measured(nn.Sequential(*layers)) == 4 * (1 + 8 + 2)
    assert measured(nn.Sequential(*layers, nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))) == 4 * (1 + 8 + 2)  # 8 are gone


def test_features_that_the_kept_pixels_do_not_need_are_left_out() -> None:
    network = build_network(ModelSpec(encoder="resnet18", depth=3, decoder_channels=(64, 64, 64))).eval()
    assert measured(network, halo=24) < measured(network, halo=8) < measured(network)


def test_features_are_what_pytorch_allocates() -> None:
    network = build_network(ModelSpec(encoder="resnet18", depth=3, decoder_channels=(16, 8, 8))).eval()
    pixels, whole = torch.zeros(1, 1, 256, 256), (slice(0, 256), slice(0, 256))
    trimmed = trim(network)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        trimmed(pixels, trimmed.plan((256, 256), whole).tolist())
    assert profiled.profiler is not None
    changes = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    most = max(accumulate(event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns())))
    assert measure_features(network, 1, (256, 256), whole) == pytest.approx(most + pixels.nbytes, rel=0.2)


def test_a_network_that_extends_its_windows_is_measured_with_what_it_adds() -> None:
    same, valid = (
        measured(build_network(ModelSpec(arch="plain_unet", depth=3, base_channels=4, padding=padding)).eval())
        for padding in ("same", "valid")
    )
    assert same < valid


def test_measuring_leaves_the_network_as_it_is(tiny_segmenter: Segmenter) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_segmenter.state_dict().items()}
    assert measured(tiny_segmenter.network) > 100
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_segmenter.state_dict().items())
    assert not any(module._forward_hooks for module in tiny_segmenter.modules())


@pytest.mark.parametrize("backend", backend_names())
def test_memory_grows_with_tile_batch_and_precision(backend: str) -> None:
    sizes = [USUAL.network(backend, tile, batch) for tile, batch in [(256, 1), (512, 1), (512, 2), (1024, 2)]]
    assert sizes == sorted(set(sizes))
    fixed = USUAL.network(backend, 0, 1)
    assert sizes[1] - fixed == pytest.approx(4 * (sizes[0] - fixed), rel=1e-6)
    assert sizes[2] - fixed == pytest.approx(2 * (sizes[1] - fixed), rel=1e-6)
    assert fixed >= backend_info(backend).runtime_bytes + 10**8


def test_the_pipeline_depends_on_the_tile_and_the_width_not_on_the_height() -> None:
    sizes = [USUAL.pipeline(512, 1, (height, 4096)) for height in (4096, 32768, 262144)]
    assert max(sizes) < 1.05 * min(sizes)
    assert USUAL.pipeline(512, 1, (4096, 8192)) > sizes[0]
    assert USUAL.pipeline(1024, 1, (4096, 4096)) > sizes[0]
    assert USUAL.pipeline(512, 4, (4096, 4096)) > sizes[0]


def test_volumes_take_the_memory_of_their_windows_and_slices() -> None:
    network = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.Conv3d(8, 2, 3, padding=1)).eval()
    whole = (slice(0, 8), slice(0, 16), slice(0, 16))
    assert measure_features(network, 1, (8, 16, 16), whole) == 8 * 16 * 16 * 4 * (1 + 8 + 8)
    volumes = replace(USUAL, halo=(8, 16, 16))
    sizes = [volumes.pipeline(64, 1, (depth, 512, 512)) for depth in (512, 4096, 32768)]
    assert max(sizes) < 1.05 * min(sizes)
    assert volumes.pipeline(64, 1, (512, 20_000, 20_000)) < 3 * sizes[0]  # a band is as wide as memory allows


@pytest.mark.parametrize(("dtype", "size"), [(np.uint8, 3), (np.uint16, 6), (np.float32, 12), (np.float64, 12)])
def test_a_pixel_has_the_bytes_with_which_it_goes_to_the_device(dtype: type, size: int) -> None:
    assert pixel_bytes(ArraySource(np.zeros((4, 4), dtype), "YX").info, 3) == size
