from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from distributed import Client
from two_workers import two_ready_workers

from unetkit.inference.spread import blocks
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

OBJECTS = ModelSpec(
    encoder="resnet18", depth=3, decoder_channels=(32, 16, 8), in_channels=1, halo=16, instances=True, threshold=0.5
)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers of one thread each, as processes."""
    with two_ready_workers() as client:
        yield client


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of a few hundred pixels are large."""
    monkeypatch.setattr(blocks, "SMALLEST_BLOCK", 6_000)
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", dict.fromkeys(blocks.BLOCK_PIXELS, 6_000))


@pytest.fixture(scope="session")
def objects_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that separates objects, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        segmenter = Segmenter(OBJECTS).eval()
    path = tmp_path_factory.mktemp("objects") / "objects.safetensors"
    save_model(segmenter, path)
    return path
