from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from tifffile import TiffFile, imread, imwrite
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.io.files import find_images
from unetkit.models.model_file import read_spec
from unetkit.training.run.image_classes import image_loss


def test_the_loss_is_the_cross_entropy() -> None:
    one = torch.tensor([[0.3], [-2.0]])
    chances = one.sigmoid()[:, 0]
    expected = -(chances[0].log() + (1 - chances[1]).log()) / 2
    assert torch.isclose(image_loss(one, torch.tensor([1, 0])), expected)
    several = torch.tensor([[0.0, 2.0, 1.0]])
    assert torch.isclose(image_loss(several, torch.tensor([2])), -several.log_softmax(1)[0, 2])


def test_labels_are_trained_beside_masks_and_segment_tells_them(
    cells: Path, fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images with cells are those with masks; images of noise have none."""
    rows = ["image,label", *(f"{path},1" for path in find_images(cells / "images"))]
    for number in range(5):
        noise = np.random.default_rng(number).normal(500, 20, (96, 96)).astype(np.uint16)
        imwrite(tmp_path / f"noise{number}.tif", noise)
        rows.append(f"noise{number}.tif,0")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    words = ("--data.image_labels", str(tmp_path / "labels.csv"), "--model.image_classes", "[cells]")
    code, out = fit_cells(tmp_path, *words, "--trainer.max_epochs", "1", "--name", "run")
    assert code == 0
    assert "Its classes of whole validation images: AUROC" in out
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert 0 <= float(last["val_image_auroc"]) <= 1
    assert 0 <= float(last["val_image_accuracy"]) <= 1
    model = tmp_path / "run" / "model.safetensors"
    assert (read_spec(model).image_classes, read_spec(model).image_size) == (("cells",), 64)
    assert 0 <= float(last["val_image_sensitivity"]) <= 1
    assert 0 <= float(last["val_image_specificity"]) <= 1
    capsys.readouterr()
    said = []
    for name, options in (("a", ()), ("b", ("--tile", "64", "--halo", "8", "--backend", "torch"))):
        result = tmp_path / f"{name}.tif"
        words = ("segment", str(tmp_path / "noise0.tif"), str(result), "--model", str(model), *options)
        assert main(list(words)) == 0
        said.append(capsys.readouterr().out.split("Image class: ")[1].splitlines()[0])
        with TiffFile(result) as file:
            assert said[-1].rstrip(".") in str(file.ome_metadata)
        assert imread(result).shape == (96, 96)
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model.image_classes", "[cells]"), "image_classes has no meaning without labels"),
        (("--data.image_labels", __file__), "image_labels has no meaning without classes"),
        (("--model.image_classes", "[a, a]"), "same name"),
        (("--model.image_loss_weight", "0"), "image_loss_weight: 0 is not possible"),
    ],
)
def test_settings_that_do_not_go_together_are_an_error(
    words: tuple[str, str], message: str, fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_cells(tmp_path, *words)[0] == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
