"""What every backend does: the tests that a new one has to pass."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, get_args

import pytest
import torch
from torch import Tensor

from unetkit.backends.base import Backend
from unetkit.backends.info import BackendInfo, Precision
from unetkit.backends.registry import backend_info, is_installed
from unetkit.models.segmenter import Segmenter
from unetkit.models.trimmed import Kept
from unetkit.testing.backend_inputs import DTYPES, KEPT, KEPT_OF_VOLUME, expect, make_segmenter, make_windows

SIZES = ((2, (64, 96)), (1, (8, 8)), (3, (40, 32)), (1, (128, 72)), (2, (64, 96)))
"""Batches of windows that follow each other: their number, and height and width in pixels."""

VOLUMES = ((2, (8, 32, 24)), (1, (4, 8, 8)), (1, (16, 16, 40)), (2, (8, 32, 24)))
"""Batches of volumes that follow each other: their number, and their size along each axis in voxels."""

Windows = tuple[Tensor, Tensor, Tensor]
Case = tuple[int, int, int, Precision]


class BackendInfoContract:
    """What a backend tells about itself fits together. It is tested where the backend is not installed, too.

    Attributes:
        info: What the backend tells about itself. Each subclass sets it.
    """

    info: ClassVar[BackendInfo]

    def test_the_registry_finds_it_by_its_name(self) -> None:
        assert backend_info(self.info.name) is self.info

    def test_its_precisions_are_known_ones_on_known_devices(self) -> None:
        assert self.info.precisions
        assert set(self.info.precisions) <= {"cpu", "cuda", "mps"}
        assert all(self.info.precisions.values())
        assert {precision for own in self.info.precisions.values() for precision in own} <= set(get_args(Precision))

    def test_it_has_a_quantizer_where_it_promises_int8(self) -> None:
        promised = any("int8" in own for own in self.info.precisions.values())
        assert promised == (self.info.quantizer is not None)

    def test_it_is_a_candidate_only_on_devices_that_it_runs_on(self) -> None:
        assert set(self.info.candidate_on) <= set(self.info.precisions)

    def test_it_says_how_the_packages_that_it_needs_are_installed(self) -> None:
        assert bool(self.info.packages) == bool(self.info.install)

    def test_what_it_takes_is_something(self) -> None:
        assert self.info.creation_seconds > 0
        assert self.info.feature_overhead > 0
        assert self.info.weight_overhead >= (1 if self.info.takes_weights else 0)
        assert self.info.runtime_bytes >= 0
        assert self.info.largest_tile is None or self.info.largest_tile > 0
        assert self.info.axes
        assert set(self.info.axes) <= {2, 3}


class BackendContract(BackendInfoContract):
    """A backend computes what the model says, whatever the windows.

    The tests run on the first device of `info.precisions` that this machine has. They are skipped where the backend is
    not installed. Override `create` or `make_segmenter` where yours needs it.

    Attributes:
        info: What the backend tells about itself. Each subclass sets it.
        tolerances: How much probabilities, 0 to 1, may differ from the model's own, by precision.
    """

    tolerances: ClassVar[Mapping[str, float]] = {"fp32": 2e-5, "bf16": 0.1, "fp16": 0.02}
    _segmenters: ClassVar[dict[Case, Segmenter]]
    _backends: ClassVar[dict[Case, Backend]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._segmenters, cls._backends = {}, {}

    def create(self, segmenter: Segmenter, precision: Precision, *, owned: bool = False) -> Backend:
        """Put a model on the backend."""
        return self.info.create(segmenter, self.device(), precision, owned=owned)

    def make_segmenter(self, channels: int = 1, classes: int = 2, axes: int = 2) -> Segmenter:
        """Return a model in evaluation mode, always with the same weights, for windows that are multiples of 8.

        With 3 axes it is one of volumes, for windows that are multiples of (4, 8, 8).
        """
        return make_segmenter(channels=channels, classes=classes, axes=axes)

    def device(self) -> torch.device:
        """Return the device that the tests run on."""
        here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        kind = next((kind for kind in self.info.precisions if here[kind]), None)
        if kind is None:
            pytest.skip(f"This machine has none of {', '.join(self.info.precisions)}.")
        return torch.device(kind)

    @pytest.fixture(autouse=True)
    def _skip_where_it_cannot_run(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ in vars(BackendContract) and not is_installed(self.info.name):
            pytest.skip(f"{self.info.name} is not installed: {self.info.install}")

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_all_types_of_raw_pixels_are_taken(self, dtype: torch.dtype) -> None:
        self.check(make_windows(dtype=dtype), KEPT["inside"])

    @pytest.mark.parametrize("name", KEPT)
    def test_the_kept_part_may_lie_at_any_border(self, name: str) -> None:
        self.check(make_windows(batch=1), KEPT[name])

    def test_windows_and_batches_of_several_sizes_follow_each_other(self) -> None:
        for batch, (height, width) in SIZES:
            kept = (slice(height // 8, height), slice(0, width // 2))
            self.check(make_windows(batch, size=(height, width)), kept)

    @pytest.mark.parametrize(("channels", "classes"), [(3, 4), (2, 2)])
    def test_several_channels_and_classes_are_predicted(self, channels: int, classes: int) -> None:
        got = self.check(make_windows(channels=channels, dtype=torch.uint16), KEPT["inside"], classes=classes)
        assert got.shape == (2, 1 if classes == 2 else classes, 32, 62)

    def test_each_window_is_normalised_with_its_own_values(self) -> None:
        pixels, center, scale = make_windows()
        both = self.check((pixels, center, scale), KEPT["inside"])
        for i in range(2):
            alone = self.check((pixels[i : i + 1], center[i : i + 1], scale[i : i + 1]), KEPT["inside"])
            torch.testing.assert_close(both[i : i + 1], alone, rtol=0, atol=self.tolerances["fp32"])

    def test_pixels_need_not_lie_in_order_in_memory(self) -> None:
        pixels, center, scale = make_windows()
        rows, columns = KEPT["everything"]
        self.check((torch.rot90(pixels, 1, (2, 3)), center, scale), (columns, rows))

    def test_every_promised_precision_is_near(self) -> None:
        promised: set[Precision] = {*self.info.precisions[self.device().type]}
        for precision in promised - {"int8"}:
            self.check(make_windows(), KEPT["inside"], precision=precision)

    def test_a_backend_that_gave_its_memory_back_predicts_the_same(self) -> None:
        windows = make_windows()
        before = self.check(windows, KEPT["inside"])
        self.backend().release()
        assert torch.equal(self.check(windows, KEPT["inside"]), before)

    def test_several_threads_predict_with_one_model(self) -> None:
        if self.info.single_thread:
            pytest.skip(f"{self.info.name} is for one thread.")
        windows = [make_windows(1, size=(64, 64 + 8 * i)) for i in range(4)]
        kept = (slice(0, 64), slice(8, 64))
        backend = self.backend()
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda own: [predict(backend, own, kept) for _ in range(3)], windows))
        for own, results in zip(windows, found, strict=True):
            alone = predict(backend, own, kept)
            assert all(torch.equal(result, alone) for result in results)

    def test_a_model_that_others_use_too_is_not_changed(self) -> None:
        self.backend()
        used = self._segmenters[1, 2, 2, "fp32"].cpu()
        windows = make_windows()
        assert torch.equal(*(expect(model, windows, KEPT["inside"]) for model in (used, self.make_segmenter())))

    def test_a_model_that_nobody_else_uses_gives_the_same(self) -> None:
        if not self.info.takes_weights:
            pytest.skip(f"{self.info.name} has weights of its own.")
        windows = make_windows()
        expected = expect(self.make_segmenter(), windows, KEPT["inside"])
        got = predict(self.create(self.make_segmenter(), "fp32", owned=True), windows, KEPT["inside"])
        torch.testing.assert_close(got, expected, rtol=0, atol=self.tolerances["fp32"])

    @pytest.mark.parametrize("name", KEPT_OF_VOLUME)
    def test_a_part_of_a_volume_may_lie_at_any_side(self, name: str) -> None:
        self.skip_without_volumes()
        got = self.check(make_windows(1, 2, (8, 32, 24)), KEPT_OF_VOLUME[name], classes=3)
        assert got.shape[:2] == (1, 3)

    def test_volumes_and_batches_of_several_sizes_follow_each_other(self) -> None:
        self.skip_without_volumes()
        for batch, size in VOLUMES:
            kept = (slice(size[0] // 4, size[0]), slice(0, size[1] // 2), slice(0, size[2]))
            self.check(make_windows(batch, 2, size), kept, classes=3)

    def skip_without_volumes(self) -> None:
        """Skip a test of volumes where the backend does not take them."""
        if 3 not in self.info.axes:
            pytest.skip(f"{self.info.name} takes no volumes.")

    def backend(self, channels: int = 1, classes: int = 2, axes: int = 2, precision: Precision = "fp32") -> Backend:
        """Return the model on the backend, made once for all tests of the class."""
        case = (channels, classes, axes, precision)
        if case not in self._backends:
            self._segmenters[case] = self.make_segmenter(channels, classes, axes)
            self._backends[case] = self.create(self._segmenters[case], precision)
        return self._backends[case]

    def check(self, windows: Windows, kept: Kept, *, classes: int = 2, precision: Precision = "fp32") -> Tensor:
        """Check what the backend predicts against the plain model, and return it."""
        channels, axes = windows[0].shape[1], windows[0].dim() - 2
        got = predict(self.backend(channels, classes, axes, precision), windows, kept)
        expected = expect(self.make_segmenter(channels, classes, axes), windows, kept)
        assert expected.numel() < 100 or expected.std() > 0.01, "probabilities that are all alike tell nothing"
        torch.testing.assert_close(got, expected, rtol=0, atol=self.tolerances[precision])
        return got


def predict(backend: Backend, windows: Windows, kept: Kept) -> Tensor:
    """Return what a backend predicts, on the CPU and in memory of its own."""
    pixels, center, scale = (values.to(backend.device) for values in windows)
    predicted = backend(pixels, center, scale, kept)
    assert predicted.dtype == torch.float32
    assert predicted.device.type == backend.device.type
    return predicted.cpu().clone()
