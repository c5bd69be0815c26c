"""Runs on images that are annotated in part, from the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from tiny_fit import SETTINGS

from unetkit.cli import main
from unetkit.models.model_file import read_spec
from unetkit.training.run.checkpoint import read_checkpoint

KEPT = ("--model.threshold", "0.5")
"""The threshold stays what scores in training are of."""

SHORT = ["--trainer.max_epochs", "1", "--data.crops_per_epoch", "4"]

Edit = Callable[[NDArray[np.uint16]], NDArray[np.uint16]]


def edited(cells: Path, folder: Path, change: Edit) -> Path:
    """Return a copy of the cells with other masks."""
    shutil.copytree(cells, folder)
    for path in sorted((folder / "masks").iterdir()):
        tifffile.imwrite(path, change(tifffile.imread(path)))
    return folder


def partly(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    labels = labels.copy()
    labels[20:, 48:] = 65535
    return labels


def fit(data: Path, runs: Path, *more: str) -> int:
    return main(
        ["fit", "--data.train", str(data), *SETTINGS.split(), *SHORT, "--runs", str(runs), "--name", "r", *more]
    )


def lines(run: Path) -> list[str]:
    return [line.rpartition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]


def test_nothing_that_lies_where_nobody_has_annotated_reaches_a_run(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Masks that differ only there, in their value, give the same weights, losses and scores."""
    runs = {}
    for value in (65535, 60000):
        data = edited(cells, tmp_path / f"data{value}", lambda labels: np.where(partly(labels) == 65535, value, labels))  # noqa: B023
        extra = ["--data.ignore", str(value), "--model.loss", "weighted_bce", "--model.instances", "true"]
        assert fit(data, tmp_path / f"runs{value}", *extra) == 0
        runs[value] = tmp_path / f"runs{value}" / "r"
        said = capsys.readouterr().out
        share = 100 * (1 - 76 * 48 / 96**2)
        assert f"{share:.3g} % of the pixels of 5 images are annotated." in said
    first, second = (read_checkpoint(run).state["state_dict"] for run in runs.values())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert lines(runs[65535]) == lines(runs[60000])
    specs = [read_spec(run / "model.safetensors") for run in runs.values()]
    assert specs[0].training["val_ap50"] == specs[1].training["val_ap50"]
    assert specs[0].smallest_object == specs[1].smallest_object
    assert specs[0].training["data"]["annotated"] == pytest.approx(1 - 76 * 48 / 96**2, abs=1e-6)
    assert (runs[65535] / "validation.png").is_file()


def test_a_loss_that_follows_lines_needs_all_of_them(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = edited(cells, tmp_path / "data", partly)
    assert fit(data, tmp_path, "--data.ignore", "65535", "--model.loss", "bce_dice_cldice") == 2
    assert "parts of the masks are not annotated" in capsys.readouterr().err


def test_scores_of_a_run_are_those_of_evaluate(cells: Path, tmp_path: Path) -> None:
    data = edited(cells, tmp_path / "data", partly)
    assert (
        fit(data, tmp_path, "--data.ignore", "65535", "--data.val", str(data), "--data.train", str(cells), *KEPT) == 0
    )
    model = tmp_path / "r" / "model.safetensors"
    assert main(["segment", str(data / "images"), str(tmp_path / "found"), "--model", str(model)]) == 0
    out = tmp_path / "scores.json"
    line = ["evaluate", str(tmp_path / "found"), str(data / "masks"), "--ignore", "65535", "--json", str(out)]
    assert main(line) == 0
    assert json.loads(out.read_text())["mean"]["dice"] == pytest.approx(read_spec(model).training["val_dice"], abs=1e-3)


def test_classes_and_folds_take_it(cells: Path, tmp_path: Path) -> None:
    """Class 2 is a band; with the value taken for a class the run would not begin."""

    def classes(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        found = (labels > 0).astype(np.uint8)
        found[40:50] = 2
        found[partly(labels) == 65535] = 255
        return found

    data = edited(cells, tmp_path / "data", classes)
    folds = ["--data.val", "0.1", "--data.folds", "2", "--model.classes", "3"]
    assert fit(data, tmp_path, *folds, "--data.ignore", "255") == 0
    assert json.loads((tmp_path / "r" / "cross_validation.json").read_text())["finished"] == 2
    assert fit(data, tmp_path / "without", *folds) == 2


def test_a_run_goes_on_with_its_value_and_no_other(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = edited(cells, tmp_path / "data", partly)
    assert fit(data, tmp_path, "--data.ignore", "65535") == 0
    run = str(tmp_path / "r")
    capsys.readouterr()
    assert main(["fit", "--resume", run, "--data.ignore", "255"]) == 2
    assert "data.ignore: 255 cannot be set" in capsys.readouterr().err
    assert main(["fit", "--resume", run, "--trainer.max_epochs", "2"]) == 0
    assert "of the pixels of 5 images are annotated" in capsys.readouterr().out
    assert "ignore: 65535" in (tmp_path / "r" / "config.yaml").read_text()


@pytest.mark.parametrize("verb", ["pretrain --data.images", "fit --data.image_labels"])
def test_tasks_without_masks_have_no_such_value(
    verb: str, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("image,label\n" + "".join(f"{p},1\n" for p in (cells / "images").iterdir()))
    place = cells if "pretrain" in verb else table
    more = [] if "pretrain" in verb else ["--model.image_classes", "[ill]"]
    assert main([*verb.split(), str(place), *more, "--data.ignore", "255", "--runs", str(tmp_path)]) == 2
    assert "data.ignore" in capsys.readouterr().err
