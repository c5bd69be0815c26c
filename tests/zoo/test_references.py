from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import unetkit
from unetkit.cli import main
from unetkit.foundation.errors import ModelError
from unetkit.models import builtin_models
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.zoo.opening import load_model
from unetkit.zoo.references import find_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of built-in models, and another one to work in."""
    (tmp_path / "builtin").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(builtin_models, "builtin_folder", lambda: tmp_path / "builtin")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "builtin"


@pytest.fixture
def nuclei(folder: Path, tiny_segmenter: Segmenter) -> Path:
    """A built-in model "nuclei"."""
    save_model(tiny_segmenter, folder / "nuclei.safetensors")
    return folder / "nuclei.safetensors"


@pytest.fixture
def image(folder: Path) -> Path:
    path = Path("in.tif")
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8))
    return path


def test_the_built_in_models_lie_in_the_package() -> None:
    assert builtin_models.builtin_folder() == Path(unetkit.__file__).parent / "models" / "builtin"
    assert all(load_model(name).spec.task == "segmentation" for name in builtin_models.builtin_names())


def test_built_in_models_are_listed_and_found_by_name(nuclei: Path) -> None:
    (nuclei.parent / "README.md").write_text("not a model")
    assert builtin_models.builtin_names() == ["nuclei"]
    assert find_model("nuclei") == find_model(Path("nuclei")) == nuclei
    assert builtin_models.short_name(load_model("nuclei").name) == "nuclei"


def test_a_folder_of_the_same_name_hides_no_built_in_model(nuclei: Path) -> None:
    Path("nuclei").mkdir()
    assert find_model("nuclei") == nuclei


def test_paths_stay_what_they_are(nuclei: Path) -> None:
    for path in ("runs/quick-1/model.safetensors", "nuclei.safetensors", "folder/nuclei", "mine"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"")
        assert find_model(path) == Path(path)
        assert builtin_models.short_name(path) == Path(path).name


def test_a_file_that_does_not_exist_is_refused(nuclei: Path) -> None:
    for path in ("nowhere/model.safetensors", "mine.safetensors"):
        with pytest.raises(ModelError, match=f"There is no model file {path}"):
            find_model(path)


def test_a_name_that_does_not_exist_names_those_that_do(nuclei: Path) -> None:
    with pytest.raises(ModelError, match="no built-in model 'nucleus'") as caught:
        load_model("nucleus")
    assert "Did you mean 'nuclei'?" in caught.value.remedy


def test_segment_without_a_model_takes_the_built_in_one_and_says_so(
    nuclei: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(image), "mask.tif", "--device", "cpu"]) == 0
    assert builtin_models.DEFAULT_NOTE in capsys.readouterr().out
    said: list[str] = []
    unetkit.segment(image, "same.tif", log=said.append, device="cpu")
    assert said[0] == builtin_models.DEFAULT_NOTE
    mask = tifffile.imread("mask.tif")
    np.testing.assert_array_equal(tifffile.imread("same.tif"), mask)
    np.testing.assert_array_equal(unetkit.predict_tiled(tifffile.imread(image), device="cpu"), mask)


def test_the_command_in_the_output_names_the_built_in_model(nuclei: Path, image: Path) -> None:
    assert main(["segment", str(image), "mask.tif", "--device", "cpu"]) == 0
    with tifffile.TiffFile("mask.tif") as file:
        assert "--model nuclei --" in str(file.ome_metadata)


def test_info_describes_a_built_in_model(nuclei: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "nuclei"]) == 0
    assert "resnet18" in capsys.readouterr().out
    assert main(["info"]) == 0
    assert "nuclei" in capsys.readouterr().out


def test_without_built_in_models_it_says_what_to_give(
    folder: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(image), "mask.tif"]) == 2
    said = capsys.readouterr()
    assert "There is no built-in model 'nuclei'" in said.err
    assert "model.safetensors that `unetkit fit` wrote" in said.err
    assert builtin_models.DEFAULT_NOTE not in said.out
    assert not Path("mask.tif").exists()
    with pytest.raises(ModelError, match="no built-in model 'nuclei'"):
        unetkit.predict_tiled(np.zeros((40, 50), np.uint8))
