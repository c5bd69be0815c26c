from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_hub import FakeHub, serving

from unetkit.fetching import download
from unetkit.fetching.kept_weights import fetch_known, kept_weights
from unetkit.fetching.registry import KNOWN_WEIGHTS, KnownWeights, WeightsFile
from unetkit.foundation.errors import ModelError

CONTENT = b"weights of a resnet18"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A server with one file, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(download, "SCHEMES", ("https", "http"))
    with serving(FakeHub(files={"models/r18.pth.tar": CONTENT})) as running:
        yield running


@pytest.fixture
def known(server: FakeHub) -> KnownWeights:
    file = WeightsFile(f"{server.address}/models/r18.pth.tar", "MIT")
    return KnownWeights("cells", "many cells", "Somebody 2026", "https://here.org", {"resnet18": file})


def test_weights_are_fetched_once_and_kept(
    known: KnownWeights, server: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = fetch_known(known, "resnet18")
    assert kept.path == tmp_path / "unetkit" / "weights" / "cells" / "r18.pth.tar"
    assert kept.sha256 == SHA256
    said = capsys.readouterr().out
    for part in ("r18.pth.tar", "many cells", "licence MIT", str(kept.path)):
        assert part in said
    assert fetch_known(known, "resnet18") == kept
    assert server.asked == ["GET /models/r18.pth.tar"]
    assert not capsys.readouterr().out
    assert list(kept_weights()) == [kept.path]
    assert json.loads(Path(f"{kept.path}.json").read_text())["licence"] == "MIT"


def test_a_file_that_was_spoiled_is_fetched_again(known: KnownWeights, capsys: pytest.CaptureFixture[str]) -> None:
    path = fetch_known(known, "resnet18").path
    path.write_bytes(CONTENT[:-1])
    assert fetch_known(known, "resnet18").path.read_bytes() == CONTENT
    assert "is damaged, or was changed" in capsys.readouterr().out


def test_a_file_brought_from_another_machine_is_taken(known: KnownWeights, server: FakeHub) -> None:
    server.files.clear()
    with pytest.raises(ModelError, match="could not be fetched") as caught:
        fetch_known(known, "resnet18")
    address, place = known.files["resnet18"].address, Path(caught.value.remedy.split("put it at ")[1].split(". Or")[0])
    assert address in caught.value.remedy
    place.write_bytes(CONTENT)
    assert fetch_known(known, "resnet18").path == place


def test_a_file_of_another_hash_than_the_known_one_is_never_taken(known: KnownWeights) -> None:
    path = fetch_known(known, "resnet18").path
    other = replace(known, files={"resnet18": replace(known.files["resnet18"], sha256="0" * 64)})
    with pytest.raises(ModelError, match="not the file that it should be"):
        fetch_known(other, "resnet18")
    assert path.read_bytes() == CONTENT


def test_an_encoder_without_weights_names_those_that_have_some() -> None:
    with pytest.raises(ModelError, match="no weights 'micronet' for the encoder vgg19") as caught:
        fetch_known(KNOWN_WEIGHTS["micronet"], "vgg19")
    assert "vgg16_bn" in caught.value.remedy
    assert "resnet50" in caught.value.remedy
