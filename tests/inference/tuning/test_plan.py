from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from unetkit.foundation.errors import ConfigError
from unetkit.inference.engine.ensemble import Ensemble, gather_models
from unetkit.inference.tiling.options import TilingOptions
from unetkit.inference.tuning import device, plan
from unetkit.inference.tuning.plan import ExecutionPlan, make_plan, measure_footprint, needed_memory
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import ImageInfo
from unetkit.models.segmenter import Segmenter

HUGE = 10**12
GB = 10**9
USED = 2 * 10**8


def image(height: int = 8000, width: int = 8000, dtype: Any = np.uint8) -> ImageInfo:
    return ArraySource(np.broadcast_to(np.zeros(1, dtype), (height, width)), "YX").info


def unused(plans: list[ExecutionPlan]) -> ExecutionPlan:
    raise AssertionError("nothing is to be tried")


def nothing(plans: list[ExecutionPlan], similar: bool) -> None:
    """Nothing was tried before."""


def take_last(plans: list[ExecutionPlan], similar: bool) -> ExecutionPlan:
    """What was found for similar plans."""
    assert similar
    return plans[-1]


class Trying:
    """Remembers what is offered and takes the last."""

    def __init__(self) -> None:
        self.offered: list[ExecutionPlan] = []

    def __call__(self, plans: list[ExecutionPlan]) -> ExecutionPlan:
        self.offered = plans
        return plans[-1]


@pytest.fixture
def ensemble(tiny_segmenter: Segmenter) -> Ensemble:
    return gather_models(tiny_segmenter)


@pytest.fixture(autouse=True)
def a_plain_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests have used 200 MB so far, and all backends are installed."""
    monkeypatch.setattr(device, "resident_memory", lambda: USED)
    monkeypatch.setattr(plan, "is_installed", lambda name: True)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that puts a GPU with so many free bytes into the machine."""

    def install(free: int) -> None:
        monkeypatch.setattr(plan, "choose_device", lambda name: torch.device("cuda"))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)

    return install


def go(
    ensemble: Ensemble, tiling: TilingOptions, pixels: int = HUGE, info: ImageInfo | None = None
) -> list[ExecutionPlan]:
    trying = Trying()
    made = make_plan(ensemble, tiling, info or image(), pixels, trying, nothing, kind="probabilities")
    return trying.offered or [made]


def test_explicit_choices_are_taken_as_they_are(ensemble: Ensemble) -> None:
    tiling = TilingOptions(tile=320, halo=24, batch=3, device="cpu", backend="torch", precision="bf16")
    made = make_plan(ensemble, tiling, image(), HUGE, unused, nothing, kind="probabilities")
    assert made == ExecutionPlan(torch.device("cpu"), "torch", "bf16", 320, 24, 3)


def test_what_is_open_is_tried_where_there_is_much_to_do(ensemble: Ensemble) -> None:
    offered = go(ensemble, TilingOptions(device="cpu"))
    assert {one.backend for one in offered} == {"torch", "onnxruntime", "openvino"}
    assert len({one.tile for one in offered}) > 3
    assert {(one.halo, one.batch, one.precision) for one in offered} == {(16, 1, "fp32")}


@pytest.mark.parametrize(("option", "value"), [("tile", 384), ("backend", "openvino"), ("batch", 2), ("halo", 48)])
def test_one_explicit_choice_leaves_the_others_open(ensemble: Ensemble, option: str, value: Any) -> None:
    offered = go(ensemble, TilingOptions(device="cpu", **{option: value}))
    assert len(offered) > 1
    assert {getattr(one, option) for one in offered} == {value}


def test_a_small_input_is_not_worth_trying(ensemble: Ensemble) -> None:
    made = make_plan(ensemble, TilingOptions(device="cpu"), image(), 10**6, unused, nothing, kind="probabilities")
    assert (made.backend, made.batch) == ("torch", 1)
    assert made.tile <= 1024
    assert "too small" in made.why


def test_what_was_found_before_is_taken_for_a_small_input_too(ensemble: Ensemble) -> None:
    made = make_plan(
        ensemble,
        TilingOptions(device="cpu"),
        image(),
        10**6,
        unused,
        take_last,
        kind="probabilities",
    )
    assert made.backend != "torch"


@pytest.mark.parametrize(("height", "width", "largest"), [(500, 90, 512), (1, 1, 256)])
def test_no_tile_is_larger_than_it_takes_to_hold_the_image(
    ensemble: Ensemble, height: int, width: int, largest: int
) -> None:
    info = image(height, width)
    assert max(one.tile for one in go(ensemble, TilingOptions(device="cpu"), height * width, info)) == largest


def test_the_tiles_of_a_folder_are_not_bound_by_its_first_image(ensemble: Ensemble) -> None:
    first = image(500, 90)
    assert max(one.tile for one in go(ensemble, TilingOptions(device="cpu"), 100 * 500 * 90, first)) > 512


def test_tiles_leave_room_for_a_core_between_large_halos(ensemble: Ensemble) -> None:
    for halo in (0, 128, 400, 2000):
        offered = go(ensemble, TilingOptions(device="cpu", halo=halo, memory="64GB"), info=image(20000, 20000))
        assert offered
        assert all(one.tile > 2 * halo and one.tile % 8 == 0 for one in offered)


@pytest.mark.parametrize("memory", ["400MB", "1GB", "4GB"])
@pytest.mark.parametrize("batch", ["auto", 2])
def test_everything_offered_fits_into_the_memory(ensemble: Ensemble, memory: str, batch: Any) -> None:
    tiling = TilingOptions(device="cpu", memory=memory, batch=batch)
    offered = go(ensemble, tiling)
    footprint = measure_footprint(ensemble, image(), 16, "fp32", "probabilities")
    assert tiling.memory_bytes is not None
    assert all(
        USED + needed_memory(one, footprint, image(), tiling.memory_bytes) <= tiling.memory_bytes for one in offered
    )


def test_more_memory_offers_larger_tiles(ensemble: Ensemble) -> None:
    largest = [
        max(one.tile for one in go(ensemble, TilingOptions(device="cpu", memory=memory)))
        for memory in ("400MB", "1GB", "8GB")
    ]
    assert largest == sorted(set(largest))


@pytest.mark.parametrize(
    "tiling", [TilingOptions(device="cpu", memory="1MB"), TilingOptions(device="cpu", memory="400MB", tile=4096)]
)
def test_too_little_memory_is_an_error_that_says_how_much_is_missing(ensemble: Ensemble, tiling: TilingOptions) -> None:
    with pytest.raises(ConfigError, match=r"is too little for model, by about \d+\.\d\d GB") as caught:
        go(ensemble, tiling)
    assert "smaller --tile" in caught.value.remedy


def test_memory_that_only_the_pipeline_exceeds_is_missing_too(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bands of a very wide image are large although the network would fit."""
    wide = image(2000, 10**6)
    with pytest.raises(ConfigError, match=r"by about (?!-)(?!0\.00)") as caught:
        go(ensemble, TilingOptions(device="cpu", memory="2GB"), info=wide)
    assert "2GB is too little" in caught.value.problem


def test_without_a_bound_the_smallest_is_taken_where_nothing_fits(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "CPU_BUDGET", 0)
    made = make_plan(ensemble, TilingOptions(device="cpu"), image(), HUGE, unused, nothing, kind="probabilities")
    assert (made.tile, made.batch) == (256, 1)


def test_an_unowned_model_takes_more_memory(ensemble: Ensemble) -> None:
    plans = [ExecutionPlan(torch.device("cpu"), "torch", "fp32", 256, 16, 1)] * 2
    sizes = [
        needed_memory(one, measure_footprint(models, image(), 16, "fp32", "probabilities"), image(), None)
        for one, models in zip(plans, (ensemble, replace(ensemble, owned=True)), strict=True)
    ]
    assert sizes[0] > sizes[1]


def test_on_a_gpu_half_precision_and_the_largest_batches_are_taken(
    ensemble: Ensemble, on_a_gpu: Callable[[int], None]
) -> None:
    on_a_gpu(80 * GB)
    offered = go(ensemble, TilingOptions())
    assert {one.backend for one in offered} == {"torch", "compile"}
    assert {one.precision for one in offered} == {"bf16"}
    assert len({(one.backend, one.tile) for one in offered}) == len(offered)
    small = next(one for one in offered if one.tile == 256)
    large = next(one for one in offered if one.tile == 4096)
    assert small.batch > large.batch == 1


def test_on_a_small_gpu_batches_are_smaller(ensemble: Ensemble, on_a_gpu: Callable[[int], None]) -> None:
    batches = []
    for free in (80 * GB, GB // 2):
        on_a_gpu(free)
        offered = go(ensemble, TilingOptions(tile=1024, backend="torch"))
        batches.append(offered[0].batch)
        footprint = measure_footprint(ensemble, image(), 16, "bf16", "probabilities")
        assert needed_memory(offered[0], footprint, image(), None) <= free
    assert batches[0] > batches[1]


def test_an_old_gpu_computes_in_fp16(
    ensemble: Ensemble, on_a_gpu: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(8 * GB)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: False)
    assert {one.precision for one in go(ensemble, TilingOptions())} == {"fp16"}


@pytest.mark.parametrize(
    ("tiling", "names"),
    [
        (TilingOptions(device="cpu", tile=100), "tile: 100 is not divisible"),
        (TilingOptions(device="cpu", tile=32), "no core left"),
        (TilingOptions(device="cpu", tile=256, halo=12), "halo: 12 is not divisible"),
        (TilingOptions(device="cpu", halo=12), "halo: 12 is not divisible"),
        (TilingOptions(device="cpu", halo=-8), "halo: -8 is below 0"),
        (TilingOptions(device="cpu", precision="fp16"), "torch does not compute in fp16"),
        (TilingOptions(device="warp"), "'warp' cannot be used"),
    ],
)
def test_an_impossible_choice_is_an_error_with_a_remedy(ensemble: Ensemble, tiling: TilingOptions, names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        go(ensemble, tiling)
    assert names in caught.value.problem
    assert caught.value.remedy


def test_int8_takes_larger_tiles_than_fp32_in_the_same_memory(ensemble: Ensemble) -> None:
    """Its features are of a byte each."""

    def largest(precision: Any) -> int:
        return max(
            one.tile for one in go(ensemble, TilingOptions(device="cpu", backend="openvino", precision=precision))
        )

    assert largest("int8") > largest("fp32")


def test_a_small_input_gets_larger_tiles_on_openvino_than_on_torch(ensemble: Ensemble) -> None:
    def tile(backend: Any) -> int:
        tiling = TilingOptions(device="cpu", backend=backend, memory="8GB")
        return make_plan(ensemble, tiling, image(), 10**6, unused, nothing, kind="probabilities").tile

    assert (tile("torch"), tile("openvino")) == (1024, 3072)


def test_int8_needs_openvino(ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {one.backend for one in go(ensemble, TilingOptions(device="cpu", precision="int8"))} == {"openvino"}
    monkeypatch.setattr(plan, "is_installed", lambda name: name == "torch")
    monkeypatch.setattr("unetkit.backends.registry.is_installed", lambda name: name == "torch")
    with pytest.raises(ConfigError, match="openvino is not installed") as caught:
        go(ensemble, TilingOptions(device="cpu", precision="int8"))
    assert "pip install unetkit[openvino]" in caught.value.remedy


def test_auto_takes_only_what_is_installed(ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "is_installed", lambda name: name == "torch")
    assert {one.backend for one in go(ensemble, TilingOptions(device="cpu"))} == {"torch"}


def test_a_plan_reads_as_a_sentence() -> None:
    made = ExecutionPlan(torch.device("cpu"), "torch", "fp32", 512, 64, 1)
    assert str(made) == "torch in fp32 on cpu, tile 512, halo 64, batch 1 (as given)"
