from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unetkit.backends import registry
from unetkit.backends.registry import backend_info, is_known
from unetkit.foundation.errors import ConfigError
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.tuning import autotune
from unetkit.inference.tuning.autotune import TUNING_SHARE, Tuner, cache_file
from unetkit.inference.tuning.plan import ExecutionPlan
from unetkit.models.segmenter import Segmenter
from unetkit.models.trimmed import Kept

CPU = torch.device("cpu")
TILES = (256, 512, 1024, 2048)
HOURS = 10**10
"""Pixels that take so long that there is time to try everything."""


def plans(backends: tuple[Any, ...] = ("torch", "openvino"), tiles: tuple[int, ...] = TILES) -> list[ExecutionPlan]:
    return [ExecutionPlan(CPU, backend, "fp32", tile, 16, 1) for backend in backends for tile in tiles]


class Clock:
    """A time that only passes in backends: `seconds(backend, tile)` for each call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.made: list[str] = []
        self.called: list[tuple[str, int]] = []
        self.closed: set[str] = set()
        self.seconds: Callable[[str, int], float] = lambda backend, tile: tile**2 / 1e6
        monkeypatch.setattr(autotune, "perf_counter", lambda: self.now)
        monkeypatch.setattr(autotune, "open_session", self.create)
        monkeypatch.setattr(autotune, "close_session", lambda name, *rest: self.closed.add(name))

    def create(self, name: str, *rest: Any) -> Any:
        clock = self
        self.made.append(name)
        self.now += backend_info(name).creation_seconds if is_known(name) else 0

        class Fake:
            device = CPU

            def __call__(self, pixels: Tensor, center: Tensor, scale: Tensor, kept: Kept) -> Tensor:
                clock.called.append((name, pixels.shape[-1]))
                clock.now += clock.seconds(name, pixels.shape[-1])
                return pixels

            def release(self) -> None:
                """Nothing is held."""

        return Fake()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    """Fake backends with a time of their own, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Clock(monkeypatch)


@pytest.fixture
def tuner(tiny_segmenter: Segmenter) -> Tuner:
    tiny_segmenter.sha256 = "a" * 64
    return Tuner(gather_models(tiny_segmenter), np.dtype(np.uint8), lambda sentence: None, pixels=HOURS)


def test_the_fastest_backend_and_the_best_tile_are_found(clock: Clock, tuner: Tuner) -> None:
    clock.seconds = lambda backend, tile: tile**2 * (1 if backend == "openvino" else 3) / 1e6
    chosen = tuner(plans())
    assert (chosen.backend, chosen.tile) == ("openvino", 2048)  # its halo costs least
    assert "openvino 1024" in chosen.why
    assert "torch 1024" in chosen.why
    assert clock.closed == {"torch"}  # what was tried and is not used is let go of
    assert "not yet tried" not in chosen.why


def test_a_large_tile_that_is_slow_is_not_taken(clock: Clock, tuner: Tuner) -> None:
    clock.seconds = lambda backend, tile: tile**2 * (5 if tile > 1024 or backend == "openvino" else 1) / 1e6
    chosen = tuner(plans())
    assert (chosen.backend, chosen.tile) == ("torch", 1024)
    assert ("torch", 2048) in clock.called


def test_the_first_call_does_not_count(clock: Clock, tuner: Tuner) -> None:
    """It compiles, allocates, and so on."""
    clock.seconds = lambda backend, tile: (
        100 if clock.called.count((backend, tile)) == 1 and backend == "openvino" else 1
    )
    clock.seconds, slow = (lambda backend, tile: slow(backend, tile) + (backend == "torch")), clock.seconds
    assert tuner(plans(tiles=(512,))).backend == "openvino"


@pytest.mark.parametrize("megapixels", [1, 16, 40, 70, 100, 150, 300, 600, 2000])
def test_trying_takes_a_small_share_of_the_job(clock: Clock, tuner: Tuner, megapixels: int) -> None:
    """Counted from the first second, with what puts a model on a backend. A megapixel takes 2 s here."""
    clock.seconds = lambda backend, tile: 2 * tile**2 / 1e6
    tuner.pixels = megapixels * 10**6
    tuner(plans(("torch", "onnxruntime", "openvino")))
    yardstick = backend_info("torch").creation_seconds + 2 * clock.seconds("torch", 256)  # what any estimate takes
    assert clock.now <= max(1.1 * TUNING_SHARE * 2 * megapixels, yardstick)  # a job has halos beside its pixels
    assert ("openvino" in clock.made) == (megapixels >= 40)


def test_a_job_too_short_to_try_takes_the_usual_and_says_what_is_not_tried(clock: Clock, tuner: Tuner) -> None:
    tuner.pixels = 16 * 10**6
    chosen = tuner(plans())
    assert (chosen.backend, chosen.tile) == ("torch", 1024)
    assert clock.made == ["torch"]
    assert "not yet tried, for lack of time: openvino, tiles of 2048" in chosen.why


def test_later_jobs_go_on_with_what_was_not_tried(clock: Clock, tuner: Tuner) -> None:
    clock.seconds = lambda backend, tile: tile**2 / (3e6 if backend == "openvino" else 1e6)
    three = plans(("torch", "onnxruntime", "openvino"))
    tuner.pixels = 16 * 10**6
    assert tuner(three).backend == "torch"
    assert tuner.recall(three, similar=False) is None  # not all is known
    before = clock.now
    assert tuner(three).backend == "torch"
    assert clock.now == before  # nor is there time for more, which is known without trying
    tuner.pixels = 150 * 10**6
    assert tuner(three).backend == "openvino"
    clock.made.clear()
    tuner.pixels = HOURS
    assert tuner(three).backend == "openvino"
    assert clock.made == ["openvino", "onnxruntime"]  # what is in use, and what was left
    assert tuner.recall(three, similar=False) is not None
    assert clock.called[-1] == ("openvino", 1024) or ("openvino", 2048) in clock.called


def test_several_orientations_and_models_take_longer_and_leave_more_time(clock: Clock, tuner: Tuner) -> None:
    tuner.pixels = 8 * 20 * 10**6
    tuner(plans())
    assert "openvino" in clock.made


def test_a_choice_is_told_and_remembered(clock: Clock, tuner: Tuner, tiny_segmenter: Segmenter) -> None:
    told: list[str] = []
    first = Tuner(tuner.ensemble, tuner.dtype, told.append, pixels=HOURS)(plans())
    assert len(told) == 1
    called = len(clock.called)
    again = Tuner(tuner.ensemble, tuner.dtype, told.append, pixels=HOURS)(plans())
    assert (again.backend, again.tile, again.batch) == (first.backend, first.tile, first.batch)
    assert "as measured before" in again.why
    assert len(clock.called) == called
    assert len(told) == 1


def test_other_models_and_other_plans_are_tried_anew_and_remembered_beside(clock: Clock, tuner: Tuner) -> None:
    for sha256, offered in [("a" * 64, plans()), ("b" * 64, plans()), ("b" * 64, plans(tiles=(256,)))]:
        before = len(clock.called)
        tuner.ensemble.segmenters[0].sha256 = sha256
        tuner(offered)
        assert len(clock.called) > before
    assert len(json.loads(cache_file().read_text())) == 5  # of three sets of plans, of which two are similar


def test_what_was_found_for_a_large_image_serves_a_small_one_whose_tiles_are_others(clock: Clock, tuner: Tuner) -> None:
    best = tuner(plans())
    small = plans(tiles=(256,))
    assert tuner.recall(small, similar=False) is None
    recalled = tuner.recall(small, similar=True)
    assert recalled is not None
    assert (recalled.backend, recalled.tile) == (best.backend, 256)


def test_a_little_more_or_less_memory_is_no_reason_to_try_again(clock: Clock, tuner: Tuner) -> None:
    tuner(plans(tiles=(512, 1024, 1536, 1792)))
    called = len(clock.called)
    tiles = [tuner(plans(tiles=offered)).tile for offered in ((512, 1024, 1536), (512, 1024, 1536, 1792, 1920))]
    assert tiles == [1536, 1792]
    assert len(clock.called) == called
    assert tuner(plans(tiles=(512, 1024, 1536, 1792, 3072))).tile == 3072
    assert len(clock.called) > called


def test_in_int8_the_quantised_model_is_timed(clock: Clock, tuner: Tuner) -> None:
    """And not float32, which prefers other tiles."""
    clock.seconds = lambda backend, tile: tile**2 * (5 if tile > 1024 and backend == "int8" else 1) / 1e6
    in_int8 = [replace(one, precision="int8") for one in plans(("openvino",))]
    chosen = Tuner(tuner.ensemble, tuner.dtype, tuner.log, [clock.create("int8")], HOURS)(in_int8)
    assert chosen.tile == 1024
    assert {name for name, _ in clock.called} == {"int8"}


def test_a_model_that_never_was_a_file_is_not_remembered(clock: Clock, tuner: Tuner) -> None:
    tuner.ensemble.segmenters[0].sha256 = ""
    tuner(plans())
    assert not cache_file().exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"[1, 2]", b"null", b"7", b"\xff\xfe\x00", b'"text"'])
def test_a_damaged_cache_is_replaced(clock: Clock, tuner: Tuner, damage: bytes) -> None:
    cache_file().parent.mkdir(parents=True)
    cache_file().write_bytes(damage)
    first = tuner(plans())
    called = len(clock.called)
    assert tuner(plans()).tile == first.tile
    assert len(clock.called) == called


@pytest.mark.parametrize("value", [None, 3, "abcd", [], ["torch"], ["torch", 7, 1, "why"], ["torch", "x", {}, 5], {}])
def test_a_damaged_entry_is_measured_again(clock: Clock, tuner: Tuner, value: Any) -> None:
    tuner(plans())
    keys = json.loads(cache_file().read_text())
    cache_file().write_text(json.dumps(dict.fromkeys(keys, value)))
    called = len(clock.called)
    tuner(plans())
    assert len(clock.called) > called


def test_a_cache_that_cannot_be_written_is_no_hindrance(clock: Clock, tuner: Tuner, tmp_path: Path) -> None:
    (tmp_path / "unetkit").write_text("a file where the folder should be")
    assert tuner(plans()).tile in TILES


@pytest.mark.parametrize("error", [ConfigError("x", "y"), torch.OutOfMemoryError("no room")])
def test_a_backend_that_does_not_work_here_is_no_choice(
    clock: Clock, tuner: Tuner, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def create(name: str, *rest: Any) -> Any:
        if name == "openvino":
            raise error
        return clock.create(name)

    monkeypatch.setattr(autotune, "open_session", create)
    assert tuner(plans()).backend == "torch"


def test_a_tile_for_which_there_is_no_memory_is_no_choice(clock: Clock, tuner: Tuner) -> None:
    def seconds(backend: str, tile: int) -> float:
        if tile == 2048:
            raise torch.OutOfMemoryError("no room")
        return tile / 1e3

    clock.seconds = seconds
    assert tuner(plans()).tile == 1024


def test_where_nothing_can_be_tried_the_smallest_is_taken(clock: Clock, tuner: Tuner) -> None:
    def seconds(backend: str, tile: int) -> float:
        raise torch.OutOfMemoryError("no room")

    clock.seconds = seconds
    chosen = tuner(plans())
    assert chosen.tile == 256
    assert not cache_file().exists()


def test_other_errors_are_raised(clock: Clock, tuner: Tuner) -> None:
    def seconds(backend: str, tile: int) -> float:
        raise ValueError("a bug")

    clock.seconds = seconds
    with pytest.raises(ValueError, match="a bug"):
        tuner(plans())


def test_a_package_that_was_installed_under_another_name_is_no_hindrance(
    clock: Clock, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime-gpu is imported as onnxruntime."""

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(registry, "version", version)
    assert tuner(plans(("torch", "onnxruntime"))).backend in ("torch", "onnxruntime")


def test_it_works_with_real_backends(tuner: Tuner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    start = time.perf_counter()
    chosen = tuner(plans(("torch",), (64, 128)))
    assert chosen.tile in (64, 128)
    assert time.perf_counter() - start < 60
