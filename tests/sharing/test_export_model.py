"""`unetkit export` of models: the printed lines run, checks hold, and what is wrong leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import unetkit
from unetkit.cli import main
from unetkit.errors import ConfigError, ModelError, OutputError
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec, TrainingImages
from unetkit.models.statistics import measure_statistics
from unetkit.sharing import compare
from unetkit.sharing.known_values import with_values


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 60_000, (90, 130)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "image.tif", pixels)
    return tmp_path / "image.tif"


def said_of(*args: object, **options: object) -> list[str]:
    said: list[str] = []
    unetkit.export(*args, log=said.append, **options)
    return said


@pytest.mark.parametrize("name", ["cells.onnx", "cells.pt"])
@pytest.mark.parametrize("fixed", [False, True])
def test_the_printed_lines_run_without_unetkit(
    tiny_model: Path, image: Path, tmp_path: Path, name: str, fixed: bool
) -> None:
    said = said_of(tiny_model, tmp_path / name, **({"fixed": image} if fixed else {}))
    (lines,) = (sentence for sentence in said if sentence.startswith("import"))
    assert len(lines.splitlines()) == 5
    assert "unetkit" not in lines.replace(str(tmp_path), "")
    names: dict[str, np.ndarray] = {}
    exec(compile(lines, name, "exec"), names)
    assert names["mask"].shape == names["pixels"].shape[2:]
    assert names["mask"].dtype == np.bool_
    assert ("raw pixels" in lines) == fixed


@pytest.mark.parametrize("name", ["cells.onnx", "cells.pt"])
@pytest.mark.parametrize("half", [False, True])
def test_an_export_is_checked_on_images(tiny_model: Path, image: Path, tmp_path: Path, name: str, half: bool) -> None:
    said = said_of(tiny_model, tmp_path / name, half=half, check=image.parent, fixed=image)
    assert any("Checked on 1 image" in sentence for sentence in said)
    assert any(f"{(tmp_path / name).stat().st_size / 1e6:.1f} MB" in sentence for sentence in said)


@pytest.mark.parametrize("name", ["cells.onnx", "cells.pt"])
def test_an_export_that_differs_is_not_kept(
    tiny_model: Path, image: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"cells.onnx": "onnx", "cells.pt": "torchscript"}[name]
    right = compare.RUNNERS[form]
    monkeypatch.setitem(compare.RUNNERS, form, lambda *a: lambda *window: right(*a)(*window) + 0.01)
    with pytest.raises(ModelError, match="differs from unetkit by"):
        unetkit.export(tiny_model, tmp_path / name, check=image)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("fixed", [False, True])
def test_unetkit_opens_its_own_onnx_file_as_the_model_that_it_was(
    tiny_segmenter: Segmenter, image: Path, tmp_path: Path, fixed: bool
) -> None:
    spec = replace(tiny_segmenter.spec, threshold=0.4, class_names=("none", "cell"), smallest_object=7)
    segmenter = Segmenter(spec, tiny_segmenter.network).eval()
    save_model(segmenter, tmp_path / "model.safetensors")
    unetkit.export(tmp_path / "model.safetensors", tmp_path / "a.onnx", **({"fixed": image} if fixed else {}))
    model = unetkit.load_model(tmp_path / "a.onnx")
    for name in ("threshold", "class_names", "smallest_object", "halo", "classes", "in_channels", "strides"):
        assert getattr(model.spec, name) == getattr(spec, name), name
    pixels = tifffile.imread(image)
    got, wanted = (unetkit.predict_tiled(pixels, one, output="probabilities") for one in (model, segmenter))
    np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_the_range_of_the_training_images_can_be_fixed(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not know the range"):
        unetkit.export(tiny_segmenter, tmp_path / "a.onnx", fixed="training")
    seen = TrainingImages(("uint8",), (20.0,), (220.0,), (100.0,))
    segmenter = Segmenter(replace(tiny_segmenter.spec, training_images=seen), tiny_segmenter.network).eval()
    unetkit.export(segmenter, tmp_path / "a.onnx", fixed="training")
    model = unetkit.load_model(tmp_path / "a.onnx")
    pixels = torch.rand(1, 1, 32, 32) * 255
    one = torch.ones(1, 1)
    with torch.inference_mode():
        wanted = tiny_segmenter.eval()(pixels, 20 * one, 200 * one)
        torch.testing.assert_close(model(pixels, 0 * one, one), wanted, atol=1e-5, rtol=0)


def test_the_range_of_the_training_images_is_no_mean_and_deviation(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    spec = replace(
        tiny_segmenter.spec,
        normalization=Normalization("mean_std"),
        training_images=TrainingImages(("uint8",), (20.0,), (220.0,), (100.0,)),
    )
    with pytest.raises(ConfigError, match="mean and standard deviation"):
        unetkit.export(Segmenter(spec, tiny_segmenter.network).eval(), tmp_path / "a.onnx", fixed="training")
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_check_says_what_fixed_values_change(tmp_path: Path, classes: int) -> None:
    bright, dim = tmp_path / "bright.tif", tmp_path / "dim.tif"
    pixels = np.random.default_rng(0).integers(0, 60_000, (96, 136)).astype(np.uint16)
    tifffile.imwrite(bright, pixels)
    tifffile.imwrite(dim, pixels // 20)
    spec = ModelSpec(encoder="resnet18", depth=3, decoder_channels=(16, 8, 8), classes=classes, halo=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        segmenter = Segmenter(spec).eval()
    if classes == 2:  # a threshold that many pixels are near to
        middle = float(np.median(unetkit.predict_tiled(pixels, segmenter, output="probabilities")))
        segmenter = Segmenter(replace(spec, threshold=middle), segmenter.network).eval()
    shares = []
    for other in (bright, dim):
        said = said_of(segmenter, tmp_path / "a.pt", fixed=bright, check=other, overwrite=True)
        (sentence,) = (one for one in said if one.startswith("Checked"))
        assert "with the same fixed values" in sentence
        shares.append(float(sentence.partition("Of the mask, ")[2].partition("%")[0]) / 100)
    fixed = with_values(segmenter, measure_statistics(pixels[None], spec.normalization))
    first, second = (unetkit.predict_tiled(pixels // 20, one) for one in (segmenter, fixed))
    assert shares[0] == 0
    assert shares[1] == pytest.approx((first != second).mean(), abs=1e-4)
    assert shares[1] > 0.01


def test_a_check_without_fixed_values_says_nothing_of_them(tiny_model: Path, image: Path, tmp_path: Path) -> None:
    (sentence,) = (one for one in said_of(tiny_model, tmp_path / "a.pt", check=image) if one.startswith("Checked"))
    assert "fixed" not in sentence


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ring": "3"}, "ring has no meaning for a model"),
        ({"smp_layout": True}, "smp_layout has no meaning for a graph of ONNX"),
        ({"license": "MIT"}, "What is said of the model has no meaning"),
        ({"format": "torchscript"}, "is no name for a program of TorchScript"),
        ({"format": "keras"}, "no format 'keras'"),
    ],
)
def test_options_that_have_no_meaning_are_refused(tiny_model: Path, tmp_path: Path, options, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        unetkit.export(tiny_model, tmp_path / "a.onnx", **options)
    assert not (tmp_path / "a.onnx").exists()


def test_options_of_models_are_refused_for_labels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", np.ones((8, 8), np.uint8))
    with pytest.raises(ConfigError, match="half has no meaning for label images"):
        unetkit.export(tmp_path / "labels.tif", tmp_path / "a.zip", half=True)


def test_a_result_that_says_nothing_asks_for_the_format(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--format"):
        unetkit.export(tiny_model, tmp_path / "folder")


def test_an_existing_file_is_kept_unless_it_may_be_replaced(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        unetkit.export(tiny_model, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_text() == "mine"
    unetkit.export(tiny_model, tmp_path / "a.onnx", overwrite=True)
    assert unetkit.load_model(tmp_path / "a.onnx").spec.in_channels == 1


def test_the_folder_of_a_run_stands_for_its_model(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "cells-1"
    run.mkdir(parents=True)
    tiny_model.rename(run / "model.safetensors")
    unetkit.export(run, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").is_file()


def test_the_command_exports_a_model_and_refuses_options_of_objects(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tiny_model), str(tmp_path / "a.onnx")]) in (0, None)
    assert "onnxruntime.InferenceSession" in capsys.readouterr().out
    assert main(["export", str(tiny_model), str(tmp_path / "b.onnx"), "--ring", "3"]) == 2
    assert not (tmp_path / "b.onnx").exists()
