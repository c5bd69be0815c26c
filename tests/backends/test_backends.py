"""Every backend against the plain model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from backend_cases import DTYPES, KEPT, expect, make_segmenter, make_windows
from torch import nn

from unetkit.backends.base import Backend
from unetkit.backends.registry import create_backend, is_installed
from unetkit.models.segmenter import Segmenter

CPU = torch.device("cpu")
TOLERANCE = 2e-5
"""Of probabilities, 0 to 1: libraries add in different orders."""

Cached = Callable[..., Backend]


@pytest.fixture(scope="module", params=["torch", "onnxruntime", "openvino"])
def backend_for(request: pytest.FixtureRequest) -> Cached:
    """A function that makes a backend, once for each kind of model."""
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    made: dict[tuple[int, int], Backend] = {}

    def make(channels: int = 1, classes: int = 2) -> Backend:
        if (channels, classes) not in made:
            segmenter = make_segmenter(channels=channels, classes=classes)
            made[channels, classes] = create_backend(request.param, segmenter, CPU, "fp32")
        return made[channels, classes]

    return make


def check(got: torch.Tensor, expected: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    assert got.dtype == torch.float32
    assert got.device == CPU
    assert expected.std() > 0.01, "the case does not tell anything"
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_all_types_of_raw_pixels_are_taken(backend_for: Cached, dtype: torch.dtype) -> None:
    windows = make_windows(dtype=dtype)
    check(backend_for()(*windows, KEPT["inside"]), expect(make_segmenter(), windows, KEPT["inside"]))


@pytest.mark.parametrize("name", KEPT)
def test_the_kept_part_may_lie_at_any_border(backend_for: Cached, name: str) -> None:
    windows = make_windows(batch=1)
    got = backend_for()(*windows, KEPT[name])
    expected = expect(make_segmenter(), windows, KEPT[name])
    assert got.shape == expected.shape
    torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE)


def test_windows_and_batches_of_several_sizes_follow_each_other(backend_for: Cached) -> None:
    backend, segmenter = backend_for(), make_segmenter()
    for batch, size in [(2, (64, 96)), (1, (8, 8)), (3, (40, 32)), (1, (128, 72)), (2, (64, 96))]:
        windows = make_windows(batch, size=size)
        kept = (slice(size[0] // 8, size[0]), slice(0, size[1] // 2))
        torch.testing.assert_close(backend(*windows, kept), expect(segmenter, windows, kept), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("channels", "classes"), [(3, 4), (2, 2)])
def test_several_channels_and_classes(backend_for: Cached, channels: int, classes: int) -> None:
    windows = make_windows(channels=channels, dtype=torch.uint16)
    got = backend_for(channels, classes)(*windows, KEPT["inside"])
    assert got.shape == (2, 1 if classes == 2 else classes, 32, 62)
    check(got, expect(make_segmenter(channels=channels, classes=classes), windows, KEPT["inside"]))


def test_each_window_is_normalised_with_its_own_values(backend_for: Cached) -> None:
    pixels, center, scale = make_windows()
    both = backend_for()(pixels, center, scale, KEPT["inside"]).clone()
    for i in range(2):
        alone = backend_for()(pixels[i : i + 1], center[i : i + 1], scale[i : i + 1], KEPT["inside"])
        torch.testing.assert_close(both[i : i + 1], alone, rtol=0, atol=TOLERANCE)


def test_pixels_need_not_lie_in_order_in_memory(backend_for: Cached) -> None:
    pixels, center, scale = make_windows()
    turned = torch.rot90(pixels, 1, (2, 3))
    kept = KEPT["everything"][::-1]
    check(backend_for()(turned, center, scale, kept), expect(make_segmenter(), (turned, center, scale), kept))


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_bfloat16_is_near(name: str) -> None:
    windows = make_windows()
    backend = create_backend(name, make_segmenter(), CPU, "bf16")
    check(backend(*windows, KEPT["inside"]), expect(make_segmenter(), windows, KEPT["inside"]), tolerance=0.1)


def two_layers() -> Segmenter:
    """A network that is compiled in seconds."""
    spec = make_segmenter().spec
    torch.manual_seed(2)
    return Segmenter(spec, nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))).eval()


@pytest.mark.filterwarnings("ignore")  # of inductor
def test_compiled_is_the_same() -> None:
    """Inside an image only the kept part is computed, at its border the whole window."""
    backend = create_backend("compile", two_layers(), CPU, "fp32")
    windows = make_windows(batch=1, size=(16, 16))
    for kept in [(slice(4, 12), slice(4, 12)), (slice(0, 12), slice(4, 16))]:
        try:
            got = backend(*windows, kept)
        except torch._inductor.exc.InductorError as error:  # inductor needs a C++ compiler
            pytest.skip(f"inductor cannot compile here: {str(error).splitlines()[0]}")
        check(got, expect(two_layers(), windows, kept))
