"""The models that the widget offers."""

from pathlib import Path

import pytest

from unetkit.napari.models import MOST_RECENT, list_models, recent_models, remember


@pytest.fixture(autouse=True)
def own_cache_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unetkit" / "napari_models.json"


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_built_in_models_come_first_and_the_last_used_file_next(tmp_path: Path) -> None:
    first, second = (make(tmp_path / "runs" / name / "model.safetensors") for name in ("a", "b"))
    for path in (first, second, first):
        remember(path)
    assert list_models() == [("nuclei (built in)", "nuclei"), ("a", str(first)), ("b", str(second))]


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    old, new = (make(tmp_path / folder / "best.safetensors") for folder in ("old", "new"))
    remember(old)
    remember(new)
    assert [label for label, _ in list_models()[1:]] == ["best", f"best in {old.parent}"]


def test_only_so_many_are_kept_and_none_that_is_gone(tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{number}.safetensors") for number in range(MOST_RECENT + 2)]
    for path in paths:
        remember(path)
    assert recent_models() == [str(path) for path in paths[:1:-1]]
    paths[-1].unlink()
    assert recent_models() == [str(path) for path in paths[-2:1:-1]]


@pytest.mark.parametrize("content", ["", "{", "{}", "[1, null]"])
def test_a_damaged_file_is_as_none(own_cache_file: Path, content: str) -> None:
    make(own_cache_file).write_text(content)
    assert list_models() == [("nuclei (built in)", "nuclei")]
