from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub, serving

from unetkit.fetching import download as module
from unetkit.fetching.download import download
from unetkit.foundation.errors import ModelError

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(module, "SCHEMES", ("https", "http"))
    with serving(FakeHub(files={"w.pth": CONTENT, "gone.pth": 404, "broken.pth": 503})) as running:
        yield running


def test_a_file_is_fetched_and_its_hash_returned(server: FakeHub, tmp_path: Path) -> None:
    assert download(f"{server.address}/w.pth", tmp_path / "w.pth", "Do this.") == SHA256
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert download(f"{server.address}/w.pth", tmp_path / "again.pth", "", SHA256) == SHA256


@pytest.mark.parametrize("fault", ["cut", "other hash", "404", "503", "no server"])
def test_a_fault_leaves_nothing_and_says_what_to_do(fault: str, server: FakeHub, tmp_path: Path) -> None:
    server.cut = fault == "cut"
    name = {"404": "gone.pth", "503": "broken.pth"}.get(fault, "w.pth")
    address = "http://127.0.0.1:9" if fault == "no server" else server.address
    said = {"cut": "cut off after", "other hash": "not the file that it should be", "no server": "no connection to"}
    with pytest.raises(ModelError, match=said.get(fault, f"answers {fault}")) as caught:
        download(f"{address}/{name}", tmp_path / "w.pth", "Do this.", "0" * 64 if fault == "other hash" else "")
    assert caught.value.remedy == "Do this."
    assert not list(tmp_path.iterdir())


def test_a_fault_keeps_the_file_that_was_there(server: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"old")
    server.cut = True
    with pytest.raises(ModelError, match="cut off"):
        download(f"{server.address}/w.pth", tmp_path / "w.pth", "")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("address", ["http://here.org/w.pth", "ftp://here.org/w.pth", "file:///etc/passwd"])
def test_only_https_is_fetched(address: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not https"):
        download(address, tmp_path / "w.pth", "")


def test_nor_is_a_file_to_which_https_leads(server: FakeHub, tmp_path: Path) -> None:
    server.moved = "ftp://here.org/w.pth"
    with pytest.raises(ModelError, match="is not https"):
        download(f"{server.address}/w.pth", tmp_path / "w.pth", "")


def test_a_server_that_says_nothing_is_given_up(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/w.pth"
        with pytest.raises(ModelError, match="timed out"):
            download(address, tmp_path / "w.pth", "")
