from __future__ import annotations

import csv
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tifffile import imread
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.models.model_file import read_spec
from unetkit.training.pretraining.run import PretrainRun
from unetkit.training.run.callbacks import CpuNotice
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import PRETRAIN

SETTINGS = """
    --model.encoder resnet18 --model.depth 3 --model.decoder_channels [8,8,8] --model.lr 0.003 --data.val 0.4
    --data.crop 64 --data.crops_per_epoch 8 --data.batch_size 4 --data.workers 0
    --trainer.accelerator cpu --trainer.max_epochs 2
"""


def pretrain(cells: Path, runs: Path, *more: str) -> tuple[int, str]:
    arguments = ["pretrain", "--data.images", str(cells / "images"), *SETTINGS.split(), "--runs", str(runs), *more]
    with redirect_stdout(StringIO()) as out:
        code = main(arguments)
    return code, out.getvalue()


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    code, out = pretrain(cells, runs, "--name", "first")
    assert code == 0
    return runs / "first", out


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_folder_holds_everything(run: tuple[Path, str]) -> None:
    folder, out = run
    names = {path.name for path in folder.iterdir()}
    written = {"restored.png", "report.html", "run.json"}
    assert names == {"config.yaml", "model.safetensors", "last.ckpt", "metrics.csv"} | written
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "restores images" in page
    assert "data:image/" in page
    assert cv2.imread(str(folder / "restored.png")).std() > 5
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "lr", "train_loss", "val_r2", "val_loss", "seconds"]
    assert all(float(row["train_loss"]) > 0 and float(row["val_r2"]) < 1 for row in rows)
    assert "validation R2" in out


def test_the_model_file_says_what_it_is(run: tuple[Path, str]) -> None:
    spec = read_spec(run[0] / "model.safetensors")
    assert spec.task == "reconstruction"
    assert spec.network_channels == spec.in_channels == 1
    assert spec.training["data"]["train_images"] == 3
    assert spec.training["val_r2"] < 1


def test_segment_refuses_it(
    run: tuple[Path, str], cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(run[0] / "model.safetensors")
    assert main(["segment", str(cells / "images"), str(tmp_path / "out"), "--model", model]) == 2
    said = capsys.readouterr().err
    assert "predicts no masks" in said
    assert "--output restored" in said
    assert not (tmp_path / "out").exists()
    assert main(["info", model]) == 0
    assert "it restores images" in capsys.readouterr().out


def test_it_restores_images_with_the_command_that_it_says(
    run: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = next(line for line in run[1].splitlines() if line.startswith("Restore images with it: unetkit "))
    words = shlex.split(line.removeprefix("Restore images with it: unetkit "))
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    image, restored = imread(words[1]), imread("restored.tif")
    assert restored.dtype == image.dtype
    assert restored.shape == image.shape
    assert image.min() * 0.5 < restored.mean() < image.max() * 1.5


def test_the_halo_is_measured_and_stored(run: tuple[Path, str]) -> None:
    spec = read_spec(run[0] / "model.safetensors")
    assert spec.halo_error is not None
    assert f"A halo of {spec.halo} pixels changes" in run[1]


def test_the_last_line_is_a_start_of_fit(run: tuple[Path, str], fit_cells: Fit, tmp_path: Path) -> None:
    words = shlex.split(run[1].splitlines()[-1].removeprefix("Start from it: unetkit fit --data.train FOLDER"))
    assert words[:6] == [*["--model.encoder", "resnet18", "--model.depth", "3", "--model.decoder_channels", "[8,8,8]"]]
    frozen = ["--model.freeze_encoder", "true", "--model.lr", "1e-9", "--trainer.max_epochs", "1"]
    code, out = fit_cells(tmp_path, "--name", "run", *words, *frozen)
    assert code == 0
    assert "tensors loaded; segmentation head left out: it reconstructs images." in out
    given, kept = (load_file(folder / "model.safetensors") for folder in (run[0], tmp_path / "run"))
    for name in given:
        if name.startswith("network.encoder."):
            torch.testing.assert_close(kept[name], given[name])
        if name.startswith("network.decoder.") and name.endswith(".weight"):
            torch.testing.assert_close(kept[name], given[name], rtol=1e-5, atol=1e-5)


def test_the_decoder_can_start_from_random_weights(run: tuple[Path, str], fit_cells: Fit, tmp_path: Path) -> None:
    weights = ("--model.weights", str(run[0] / "model.safetensors"), "--model.decoder_weights", "false")
    code, out = fit_cells(tmp_path, "--trainer.max_epochs", "1", *weights)
    assert code == 0
    assert "decoder left out: as asked" in out


def test_it_learns(cells: Path, tmp_path: Path) -> None:
    more = ["--data.crops_per_epoch", "64", "--data.val", "0", "--model.ema_decay", "0", "--name", "run"]
    more += ["--model.residual", "false"]  # or it begins with the damaged image, which is half of it
    assert pretrain(cells, tmp_path, *more)[0] == 0
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[1] < 0.8 * losses[0]
    assert read_spec(tmp_path / "run" / "model.safetensors").training["val_r2"] is None


def test_a_resumed_run_ends_like_an_uninterrupted_one(
    run: tuple[Path, str], cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: CpuNotice, trainer: object, *_: object) -> None:
        if trainer.global_step == 3:  # type: ignore[attr-defined]  # in the middle of the second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CpuNotice, "on_train_batch_end", stop)
        code, out = pretrain(cells, tmp_path, "--name", "broken")
    assert code == 130
    assert f"unetkit pretrain --resume {tmp_path / 'broken'}" in out
    assert main(["pretrain", "--resume", str(tmp_path / "broken")]) == 0
    assert same_weights(run[0] / "model.safetensors", tmp_path / "broken" / "model.safetensors")
    pictures = [cv2.imread(str(folder / "restored.png")) for folder in (run[0], tmp_path / "broken")]
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("name", ["pretrain", "restore"])
def test_the_shipped_configurations_parse_and_build(name: str, cells: Path, tmp_path: Path) -> None:
    config = Path(__file__).parents[3] / "configs" / f"{name}.yaml"
    arguments = ["--config", str(config), "--data.images", str(cells), "--runs", str(tmp_path)]
    cli = PretrainRun(from_arguments(PRETRAIN, [*arguments, "--trainer.accelerator", "cpu"]))
    written = yaml.safe_load(config.read_text())
    assert cli.model.corruption.noise == tuple(written["model"]["corruption"]["noise"])
    assert cli.model.spec.encoder == written["model"]["encoder"]
    assert cli.model.spec.residual is (name == "restore")
    assert cli.datamodule.crop % cli.model.spec.stride == 0
    assert not list(tmp_path.iterdir())


def test_a_setting_that_only_fit_has_is_an_error(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(cells, tmp_path, "--data.masks", "somewhere")[0] == 2
    assert "There is no setting 'data.masks'" in capsys.readouterr().err
