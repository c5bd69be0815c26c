from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import COMMIT, NEXT_COMMIT, FakeHub, FakeRepository, serving

from unetkit.fetching import hugging_face
from unetkit.fetching.hugging_face import Reference, cached_repositories, fetch_model, fetch_weights
from unetkit.foundation.errors import ModelError

SMP = {"config.json": json.dumps({"_model_class": "FPN"}).encode(), "model.safetensors": b"weights of smp"}
OWN = {"config.json": b"{}", "model.safetensors": b"weights of unetkit", "README.md": b"read me", "code.py": b"1 / 0"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A server with two repositories, and an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    fetch_weights.cache_clear()
    repositories = {"lab/smp": FakeRepository({COMMIT: SMP}), "lab/own": FakeRepository({COMMIT: OWN})}
    with serving(FakeHub(repositories)) as server:
        monkeypatch.setattr(hugging_face, "ENDPOINT", server.address)
        yield server


def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client find nobody from now on."""
    monkeypatch.setattr(hugging_face, "ENDPOINT", "http://127.0.0.1:9")


def test_addresses_are_read() -> None:
    assert Reference.parse("lab/cells") == Reference("lab/cells")
    assert Reference.parse("lab/cells@v1.2") == Reference("lab/cells", "v1.2")
    assert Reference.parse("lab/cells/sub/a.safetensors") == Reference("lab/cells", file="sub/a.safetensors")
    assert Reference.parse("lab/cells@refs/pr/3/a.safetensors") == Reference("lab/cells", "refs/pr/3", "a.safetensors")
    assert str(Reference.parse("lab/cells@v1")) == "hf:lab/cells@v1"


@pytest.mark.parametrize("text", ["cells", "", "lab/", "lab/cells/model.pth", "lab/cells@", "../../etc", "a/b/c"])
def test_what_is_no_address_is_an_error_that_shows_one(text: str) -> None:
    with pytest.raises(ModelError, match="is no address of Hugging Face"):
        Reference.parse(text)


def test_a_model_of_unetkit_is_a_file_and_one_of_smp_its_folder(hub: FakeHub) -> None:
    own, smp = fetch_model("lab/own"), fetch_model("lab/smp")
    assert own.name == "model.safetensors"
    assert own.read_bytes() == OWN["model.safetensors"]
    assert sorted(path.name for path in smp.iterdir()) == sorted(SMP)


def test_only_safetensors_and_json_are_fetched(hub: FakeHub) -> None:
    folder = fetch_model("lab/own").parent
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert not any("code.py" in request or "README" in request for request in hub.asked)


def test_what_was_fetched_is_there_without_a_network(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    online = fetch_model("lab/smp"), fetch_weights("lab/own")
    fetch_weights.cache_clear()
    cut_off(monkeypatch)
    assert (fetch_model("lab/smp"), fetch_weights("lab/own")) == online
    assert online[1].licence == "mit"
    assert online[1].commit == COMMIT


def test_a_whole_commit_that_is_there_is_not_asked_for(hub: FakeHub) -> None:
    fetch_model(f"lab/smp@{COMMIT}")
    asked = len(hub.asked)
    assert asked
    assert fetch_model(f"lab/smp@{COMMIT}").name == COMMIT
    assert fetch_weights(f"lab/smp@{COMMIT}").commit == COMMIT
    assert len(hub.asked) == asked


def test_a_branch_is_followed_and_a_revision_is_kept(hub: FakeHub) -> None:
    fetch_model("lab/own")
    repository = hub.repositories["lab/own"]
    repository.commits[NEXT_COMMIT] = {"model.safetensors": b"better"}
    repository.branches = {"main": NEXT_COMMIT, "v1": COMMIT}
    assert fetch_model("lab/own").read_bytes() == b"better"
    assert fetch_model("lab/own@v1").read_bytes() == OWN["model.safetensors"]


def test_within_a_process_weights_stay_the_same(hub: FakeHub) -> None:
    first = fetch_weights("lab/own")
    hub.repositories["lab/own"].commits[NEXT_COMMIT] = {"model.safetensors": b"better"}
    hub.repositories["lab/own"].branches["main"] = NEXT_COMMIT
    assert fetch_weights("lab/own") == first


def test_a_file_is_named_where_there_are_several(hub: FakeHub) -> None:
    hub.repositories["lab/many"] = FakeRepository({COMMIT: {"a.safetensors": b"a", "sub/b.safetensors": b"b"}})
    with pytest.raises(ModelError, match=r"has 2 \.safetensors files") as caught:
        fetch_weights("lab/many")
    assert "a.safetensors, sub/b.safetensors" in caught.value.remedy
    assert fetch_weights("lab/many/sub/b.safetensors").path.read_bytes() == b"b"
    with pytest.raises(ModelError, match=r"has no c\.safetensors"):
        fetch_weights("lab/many/c.safetensors")


def test_the_only_file_needs_no_usual_name(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["lab/one"] = FakeRepository({COMMIT: {"encoder.safetensors": b"it"}})
    assert fetch_model("lab/one").read_bytes() == b"it"
    cut_off(monkeypatch)
    assert fetch_model("lab/one").read_bytes() == b"it"


def test_a_repository_of_pickles_is_refused_and_not_fetched(hub: FakeHub) -> None:
    hub.repositories["lab/old"] = FakeRepository({COMMIT: {"pytorch_model.bin": b"code", "config.json": b"{}"}})
    with pytest.raises(ModelError, match=r"has no \.safetensors file") as caught:
        fetch_model("lab/old")
    assert "pytorch_model.bin" in caught.value.remedy
    assert not any("/resolve/" in request for request in hub.asked)


def test_wrong_names_and_revisions_are_told_apart(hub: FakeHub) -> None:
    with pytest.raises(ModelError, match="no repository hf:lab/none, or it is private") as caught:
        fetch_model("lab/none")
    assert "hf auth login" in caught.value.remedy
    with pytest.raises(ModelError, match="has no revision v9"):
        fetch_model("lab/own@v9")


def test_a_private_repository_is_read_with_a_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["lab/own"].token = "hf_secret"
    with pytest.raises(ModelError, match="or it is private"):
        fetch_model("lab/own")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert fetch_model("lab/own").read_bytes() == OWN["model.safetensors"]


def test_without_a_network_it_says_how_to_bring_the_cache(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch)
    with pytest.raises(ModelError, match="could not be fetched") as caught:
        fetch_model("lab/own@v2")
    for part in ("hf download lab/own --revision v2", "models--lab--own", str(tmp_path / "hub")):
        assert part in caught.value.remedy


def test_repositories_that_unetkit_has_used_are_listed(hub: FakeHub) -> None:
    assert not list(cached_repositories())
    fetch_model("lab/own")
    assert [name for name, folder in cached_repositories() if folder.is_dir()] == ["lab/own"]
