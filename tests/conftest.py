"""A tiny model, as an object and as a file. Its weights are random but always the same."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from tiny_fit import FEW_TIMED_CROPS, SMALL_HALO

from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

TINY = ModelSpec(encoder="resnet18", depth=3, decoder_channels=(32, 16, 8), in_channels=1, halo=16)


@pytest.fixture(autouse=True, scope="session")
def signals_are_heard() -> None:
    """Also in the background of a shell or under nohup, which ignore Ctrl-C and SIGHUP, as their children would too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder, also of child processes, so that no test reads or writes what was timed for the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """For each test and the processes that it starts: `make test` runs as many tests at a time as there are cores."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def few_timed_crops() -> Iterator[None]:
    """Time training on one crop where a plan times it on many: only the time that the plan expects is another."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in FEW_TIMED_CROPS.items():
            patch.setattr(f"unetkit.planning.timing.{name}", value)
        yield


@pytest.fixture(scope="module")
def small_halo_canvas(few_timed_crops: None) -> Iterator[None]:
    """Measure the halo on a small canvas: the full one takes longer than all the rest of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL_HALO.items():
            patch.setattr(f"unetkit.inference.tiling.halo.{name}", value)
        yield


@pytest.fixture(scope="session")
def first_tiny_segmenter() -> Segmenter:
    """The one that tests get copies of: drawing random weights takes longer than most tests."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Segmenter(TINY).eval()


@pytest.fixture(scope="session")
def first_tiny_model(first_tiny_segmenter: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tests get copies of."""
    path = tmp_path_factory.mktemp("first") / "tiny.safetensors"
    save_model(first_tiny_segmenter, path)
    return path


@pytest.fixture
def tiny_segmenter(first_tiny_segmenter: Segmenter) -> Segmenter:
    """A ResNet-18 U-Net of depth 3 (stride 8) for grey images, with a halo of 16 pixels."""
    return deepcopy(first_tiny_segmenter)


@pytest.fixture
def tiny_model(first_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `tiny_segmenter`, in a folder of its own."""
    return Path(shutil.copy(first_tiny_model, tmp_path_factory.mktemp("model")))
