"""The contract of backends finds faults: each backend here has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import sleep
from typing import Any

import pytest
import torch
from torch import Tensor

from unetkit.backends.torch import INFO, TorchBackend
from unetkit.foundation.errors import ConfigError
from unetkit.models.segmenter import Segmenter
from unetkit.models.trimmed import Kept
from unetkit.testing.backends import BackendContract, BackendInfoContract

CPU = torch.device("cpu")


class FirstValues(TorchBackend):
    """Normalises all windows with the values of the first."""

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        return super().__call__(pixels, center[:1].expand_as(center), scale[:1].expand_as(scale), kept)


class Unkept(TorchBackend):
    """Predicts one row more than is kept, where there is one."""

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        return super().__call__(pixels, center, scale, (slice(max(0, kept[0].start - 1), kept[0].stop), kept[1]))


class Half(TorchBackend):
    """Returns probabilities of 16 bits."""

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        return super().__call__(pixels, center, scale, kept).half()


class Shifted(TorchBackend):
    """Is wrong by a grey value for all pixels but those of 8 bits."""

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        return super().__call__(pixels if pixels.dtype == torch.uint8 else pixels - 1, center, scale, kept)


class Forgetful(TorchBackend):
    """Loses its weights with its memory."""

    def release(self) -> None:
        for parameter in self._model.parameters():
            parameter.data.zero_()


class Shared(TorchBackend):
    """Threads write over each other's windows."""

    last: Tensor

    def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
        self.last = pixels
        sleep(0.02)  # time for another thread
        return super().__call__(self.last, center, scale, kept)


class Greedy(TorchBackend):
    """Changes a model that others use."""

    def __init__(self, segmenter: Segmenter, device: torch.device, precision: Any, *, owned: bool) -> None:
        super().__init__(segmenter, device, precision, owned=True)
        with torch.no_grad():
            next(segmenter.parameters()).mul_(2)


def contract_of(backend: type[TorchBackend]) -> Any:
    class Own(BackendContract):
        info = replace(INFO, create=backend)

    return Own()


@pytest.mark.parametrize(
    ("backend", "run"),
    [
        (FirstValues, lambda contract: contract.test_each_window_is_normalised_with_its_own_values()),
        (Unkept, lambda contract: contract.test_the_kept_part_may_lie_at_any_border("inside")),
        (Half, lambda contract: contract.test_windows_and_batches_of_several_sizes_follow_each_other()),
        (Shifted, lambda contract: contract.test_all_types_of_raw_pixels_are_taken(torch.uint16)),
        (Forgetful, lambda contract: contract.test_a_backend_that_gave_its_memory_back_predicts_the_same()),
        (Shared, lambda contract: contract.test_several_threads_predict_with_one_model()),
        (Greedy, lambda contract: contract.test_a_model_that_others_use_too_is_not_changed()),
    ],
)
def test_a_faulty_backend_fails(backend: type[TorchBackend], run: Callable[[Any], None]) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        run(contract_of(backend))
    run(contract_of(TorchBackend))


@pytest.mark.parametrize(
    ("change", "test"),
    [
        ({"name": "other"}, "test_the_registry_finds_it_by_its_name"),
        ({"precisions": {"warp": ("fp32",)}}, "test_its_precisions_are_known_ones_on_known_devices"),
        ({"precisions": {"cpu": ("fp8",)}}, "test_its_precisions_are_known_ones_on_known_devices"),
        ({"precisions": {"cpu": ("int8",)}}, "test_it_has_a_quantizer_where_it_promises_int8"),
        ({"candidate_on": ("warp",)}, "test_it_is_a_candidate_only_on_devices_that_it_runs_on"),
        ({"packages": ("tensorrt",)}, "test_it_says_how_the_packages_that_it_needs_are_installed"),
        ({"creation_seconds": 0.0}, "test_what_it_takes_is_something"),
    ],
)
def test_what_does_not_fit_together_fails(change: dict[str, Any], test: str) -> None:
    class Own(BackendInfoContract):
        info = INFO

    getattr(Own(), test)()
    Own.info = replace(INFO, **change)
    with pytest.raises((AssertionError, ConfigError)):
        getattr(Own(), test)()
