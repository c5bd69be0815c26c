from __future__ import annotations

from pathlib import Path

import pytest

from unetkit.report.cached import list_cached
from unetkit.report.info import describe_machine


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's caches."""
    from huggingface_hub import constants

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("BIOIMAGEIO_CACHE_PATH", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "huggingface/hub"))
    return tmp_path


def put(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def test_of_an_empty_cache_nothing_is_listed(cache: Path) -> None:
    assert not list_cached()


def test_everything_in_the_caches_is_listed_with_its_size(cache: Path) -> None:
    put(cache / "unetkit/weights/micronet/resnet18.pth.tar", 3 * 2**20)
    put(cache / "unetkit/weights/micronet/resnet18.pth.tar.json", 10)
    put(cache / "unetkit/weights/micronet/resnet18.pth.tar.lock", 0)
    blob = put(cache / "huggingface/hub/models--lab--cells/blobs/1", 5 * 2**20)
    put(cache / "unetkit/hugging_face/lab--cells.json", 2)
    link = cache / "huggingface/hub/models--lab--cells/snapshots/c/model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    put(cache / "huggingface/hub/models--smp-hub--resnet18.imagenet/blobs/2", 2**10)
    put(cache / "huggingface/hub/models--others--language/blobs/3", 9)
    put(cache / "bioimageio/aa/file", 2**20)
    put(cache / "unetkit/openvino/a.xml", 2**19)
    put(cache / "unetkit/openvino/a.bin", 2**19)
    put(cache / "unetkit/tuning.json", 512)
    found = {cached.kind: cached for cached in list_cached()}
    assert {kind: cached.sizes for kind, cached in found.items()} == {
        "weights": {"micronet/resnet18.pth.tar": 3 * 2**20},
        "Hugging Face": {"lab/cells": 5 * 2**20, "smp-hub/resnet18.imagenet": 2**10},
        "bioimage.io": {"1 files": 2**20},
        "OpenVINO": {"2 files of graphs": 2**20},
        "timings": {"tuning.json": 512},
    }
    facts = describe_machine()
    assert facts["kept: weights"] == f"{cache / 'unetkit/weights'}\nmicronet/resnet18.pth.tar: 3.0 MiB"
    assert "0.5 KiB" in facts["kept: timings"]
