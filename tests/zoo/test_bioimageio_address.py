"""`bioimageio:NICKNAME`: fetched once by bioimageio.spec, through a network that is played here, and kept."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
import yaml

pytest.importorskip("bioimageio.core")

from bioimageio_packages import Made, write_package
from foreign_models import Scales

import unetkit
from unetkit.errors import ModelError
from unetkit.zoo import bioimageio_address
from unetkit.zoo.bioimageio_address import fetch_package
from unetkit.zoo.opening import load_model

ROOT = "https://hypha.aicell.io/bioimage-io/artifacts/affable-shark/files/"


class Network:
    """Serves the files of a package by their addresses, or nothing.

    Attributes:
        files: Content by address.
        up: Whether there is a connection.
        asked: Addresses that were asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.files = {ROOT + path.name: path.read_bytes() for path in folder.iterdir()}
        self.up = True
        self.asked: list[str] = []

    def get(self, url: object, **_: object) -> httpx.Response:
        self.asked.append(str(url))
        request = httpx.Request("GET", str(url))
        if not self.up:
            raise httpx.ConnectError("no route to host", request=request)
        if (content := self.files.get(str(url))) is None:
            return httpx.Response(404, request=request)
        return httpx.Response(200, content=content, request=request)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    from bioimageio.spec import settings

    package = write_package(Made(Scales(), halo=12), tmp_path / "shark.zip")
    folder = tmp_path / "server"
    with ZipFile(package) as archive:
        archive.extractall(folder)
    description = next(folder.glob("*.yaml"))
    if description.name != "rdf.yaml":
        description.rename(folder / "rdf.yaml")
    played = Network(folder)
    monkeypatch.setattr(httpx, "get", played.get)
    monkeypatch.setattr(settings, "cache_path", tmp_path / "spec_cache")
    monkeypatch.setattr(bioimageio_address, "kept_folder", lambda: tmp_path / "kept")
    return played


def test_a_package_is_fetched_once_and_used_without_a_network_later(network: Network) -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.float32)
    first = unetkit.predict_tiled(image, load_model("bioimageio:affable-shark"))
    network.up = False
    network.asked.clear()
    np.testing.assert_array_equal(unetkit.predict_tiled(image, load_model("bioimageio:affable-shark")), first)
    assert not network.asked


def test_only_the_weights_that_are_used_are_fetched(network: Network) -> None:
    folder = fetch_package("affable-shark")
    assert (folder / "weights.onnx").is_file()
    assert not any("weights.pt" in address for address in network.asked)


def test_without_a_network_the_error_says_so_and_nothing_is_kept(network: Network, tmp_path: Path) -> None:
    network.up = False
    with pytest.raises(ModelError, match="could not be had") as raised:
        fetch_package("affable-shark")
    assert "network" in raised.value.remedy
    assert not list((tmp_path / "kept").rglob("*.yaml"))
    network.up = True
    assert fetch_package("affable-shark").is_dir()


def test_a_connection_that_breaks_off_keeps_nothing(network: Network, tmp_path: Path) -> None:
    network.files.pop(ROOT + "weights.onnx")
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch_package("affable-shark")
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


def test_weights_that_were_changed_on_the_way_are_refused(network: Network) -> None:
    network.files[ROOT + "weights.onnx"] += b"\0"
    with pytest.raises(ModelError):
        load_model("bioimageio:affable-shark")


def test_a_package_that_cannot_be_run_is_not_fetched(network: Network) -> None:
    content = yaml.safe_load(network.files[ROOT + "rdf.yaml"])
    content["weights"] = {
        "keras_hdf5": {"source": "w.h5", "tensorflow_version": "2.9.0", "sha256": "0" * 64},
    }
    network.files[ROOT + "rdf.yaml"] = yaml.safe_dump(content).encode()
    with pytest.raises(ModelError, match="keras_hdf5"):
        fetch_package("affable-shark")
    assert not any("w.h5" in address for address in network.asked)


@pytest.mark.parametrize(
    "name", ["", "../shark", "a b", "https://example.com/rdf.yaml", "shark/../..", "Shark", "x/draft"]
)
def test_what_is_no_nickname_is_refused_without_asking(network: Network, name: str) -> None:
    with pytest.raises(ModelError, match="no nickname"):
        fetch_package(name)
    assert not network.asked
