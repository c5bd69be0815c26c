from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from decoding import count_decoding
from safetensors import safe_open
from safetensors.torch import load_file
from tifffile import imread, imwrite
from tiny_fit import SETTINGS, Fit

from unetkit.cli import main
from unetkit.data.objects import measure_objects
from unetkit.inference.segment import segment
from unetkit.io.files import find_images
from unetkit.models.model_file import read_spec
from unetkit.models.pooling import pooling_for, strides_of
from unetkit.models.weight_sources import trained_on
from unetkit.scoring.evaluation import evaluate
from unetkit.training.run.callbacks import CpuNotice
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.run import SegmentationRun
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import FIT

SUPPORT = Path(__file__).parents[1] / "support"

CONFIGS = [
    path
    for path in sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
    if path.stem not in ("pretrain", "restore", "image_labels")
]


@pytest.fixture(scope="module")
def run(fit_cells: Fit, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run and what it printed; its few objects are enough to tell which are too small."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unetkit.data.objects.FEWEST_OBJECTS", 5)
        code, out = fit_cells(runs, "--name", "first")
    assert code == 0
    return runs / "first", out


def metrics_of(folder: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv, without the time that they took."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def validated_on(folder: Path) -> set[str]:
    return set(read_spec(folder / "model.safetensors").training["data"]["val_images"])


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def printed_dice(out: str) -> float:
    return float(out.split("mean validation Dice ")[1].split(")", maxsplit=1)[0])


def test_a_run_folder_holds_everything(run: tuple[Path, str]) -> None:
    folder, _ = run
    names = {path.name for path in folder.iterdir()}
    written = {"validation.png", "validation.csv", "report", "report.html", "run.json"}
    assert names == {"config.yaml", "model.safetensors", "last.ckpt", "metrics.csv"} | written
    assert cv2.imread(str(folder / "validation.png")).std() > 5
    rows = metrics_of(folder)
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(float(row["train_loss"]) > 0 and 0 <= float(row["val_dice"]) <= 1 for row in rows)


def test_the_model_file_says_what_it_was_trained_on(run: tuple[Path, str]) -> None:
    spec = read_spec(run[0] / "model.safetensors")
    assert spec.in_channels == 1
    assert spec.pixel_size_um == pytest.approx((0.325, 0.325))
    assert spec.training["data"]["train_images"] == 3
    assert len(spec.training["data"]["val_images"]) == 2
    assert spec.halo % spec.stride == 0


def test_the_model_file_knows_what_is_too_small_for_an_object_by_the_masks_trained_on(
    run: tuple[Path, str], cells: Path
) -> None:
    spec = read_spec(run[0] / "model.safetensors")
    trained = [path for path in find_images(cells / "masks") if path.stem not in spec.training["data"]["val_images"]]
    sizes = np.concatenate([measure_objects(imread(path)) for path in trained])
    assert spec.smallest_object == sizes.min() // 2 > 0
    assert f"fewer than {spec.smallest_object} pixels, as are 0 of the {len(sizes)} trained on" in run[1]


def test_a_model_that_tells_instances_apart_says_so(fit_cells: Fit, tmp_path: Path) -> None:
    config = tmp_path / "instances.yaml"
    config.write_text("model: {instances: true, instance_weight: 0.5}")
    code, out = fit_cells(tmp_path, "--config", str(config), "--trainer.max_epochs", "1", "--name", "run")
    assert code == 0
    assert "do not number" not in out
    assert read_spec(tmp_path / "run/model.safetensors").instances
    assert load_file(tmp_path / "run/model.safetensors")["network.segmentation_head.0.bias"].shape == (2,)


def test_the_objects_of_such_a_model_are_scored_as_evaluate_does(fit_cells: Fit, cells: Path, tmp_path: Path) -> None:
    config = tmp_path / "instances.yaml"
    config.write_text("model: {instances: true, lr: 0.01}")
    code, out = fit_cells(tmp_path, "--config", str(config), "--trainer.max_epochs", "6", "--name", "run")
    assert code == 0
    training = read_spec(tmp_path / "run/model.safetensors").training
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for name in training["data"]["val_images"]:
            shutil.copy(next((cells / kind).glob(f"{name}.*")), tmp_path / kind)
    segment(tmp_path / "images", tmp_path / "labels", tmp_path / "run/model.safetensors", output="labels")
    objects = evaluate(tmp_path / "labels", tmp_path / "masks", instances=True).instances
    assert objects is not None
    pooled = objects.pooled
    assert 0 < pooled.ap[0] < 1
    assert training["val_ap50"] == pytest.approx(pooled.ap[0])
    assert training["val_f1"] == pytest.approx(pooled.f1)
    assert training["val_pq"] == pytest.approx(pooled.pq)
    assert f"pooled: AP {pooled.ap[0]:.3f} and F1 {pooled.f1:.3f}" in out


def test_without_a_terminal_there_are_plain_lines_and_a_word_about_the_cpu(run: tuple[Path, str]) -> None:
    out = run[1]
    lines = out.splitlines()
    assert "\x1b" not in out
    assert lines[0].startswith("Training on the CPU")
    assert "an epoch about" in lines[1]
    assert lines[2].startswith("epoch 1/2  loss ")
    assert lines[3].startswith("epoch 2/2  loss ")


def test_the_last_line_is_a_command_that_runs_as_printed(
    run: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = run[1].splitlines()[-1].removeprefix("Try it: ")
    words = shlex.split(command)
    assert words[:2] == ["unetkit", "segment"]
    assert main(words[1:]) == 0
    assert imread("mask.tif").shape == (96, 96)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    run: tuple[Path, str], fit_cells: Fit, tmp_path: Path
) -> None:
    for name, seed in (("same", "0"), ("other", "1")):
        assert fit_cells(tmp_path, "--name", name, "--seed_everything", seed)[0] == 0
    assert same_weights(run[0] / "model.safetensors", tmp_path / "same" / "model.safetensors")
    assert metrics_of(run[0]) == metrics_of(tmp_path / "same")
    assert not same_weights(run[0] / "model.safetensors", tmp_path / "other" / "model.safetensors")


def test_runs_count_up_and_a_name_is_used_once(
    run: tuple[Path, str], fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = tmp_path / "fast.yaml"
    quick.write_text("trainer:\n  max_epochs: 1\n")
    for _ in range(2):
        assert fit_cells(tmp_path, "--config", str(quick))[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["fast-1", "fast-2"]
    before = (run[0] / "config.yaml").read_bytes()
    assert fit_cells(run[0].parent, "--name", "first")[0] == 2
    assert f"unetkit fit --resume {run[0]}" in capsys.readouterr().err
    assert (run[0] / "config.yaml").read_bytes() == before


def test_every_override_lands_in_the_config_and_the_config_gives_the_run_again(fit_cells: Fit, tmp_path: Path) -> None:
    overrides = {
        "model.loss": "focal",
        "model.ema_decay": 0.5,
        "data.foreground_share": 0.25,
        "data.normalization.low": 2.0,
        "data.normalization.method": "percentile",
        "trainer.gradient_clip_val": 1.0,
        "trainer.max_epochs": 1,
    }
    arguments = [word for key, value in overrides.items() for word in (f"--{key}", str(value))]
    assert fit_cells(tmp_path, "--name", "one", *arguments)[0] == 0
    config = yaml.safe_load((tmp_path / "one" / "config.yaml").read_text())
    for key, value in overrides.items():
        found: Any = config
        for part in key.split("."):
            found = found[part]
        assert found == value, key
    assert main(["fit", "--config", str(tmp_path / "one" / "config.yaml"), "--name", "two"]) == 0
    assert same_weights(tmp_path / "one" / "model.safetensors", tmp_path / "two" / "model.safetensors")


def test_what_was_noticed_of_the_data_is_said_once_also_where_they_cannot_be_trained_on(
    cells: Path, fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(cells, tmp_path / "own"))
    image = next((own / "images").iterdir())
    shutil.copy(image, own / "images" / "alone.tif")
    choices = ("--data.train", str(own), "--data.unpaired", "skip", "--trainer.max_epochs", "1")
    note = "Left out, since they have no mask or image: 1 files, such as alone.tif."
    code, said = fit_cells(tmp_path, *choices)
    assert code == 0
    assert said.count(note) == 1
    for mask in (own / "masks").iterdir():
        imwrite(mask, np.zeros((96, 96), np.uint8))
    code, said = fit_cells(tmp_path, *choices)
    assert code == 2
    assert said.count(note) == 1
    assert "is background (zero)" in capsys.readouterr().err


@pytest.mark.parametrize("folds", [(), ("--data.folds", "2", "--data.val", "0.1")], ids=["one run", "folds"])
def test_each_file_is_decoded_once_for_planning_and_training(
    folds: tuple[str, ...], fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_decoding(monkeypatch)
    assert fit_cells(tmp_path, "--plan", "true", "--trainer.max_epochs", "1", *folds)[0] == 0
    assert len(reads) == 10
    assert set(reads.values()) == {1}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_parses_and_builds(config: Path, cells: Path, tmp_path: Path) -> None:
    arguments = ["--config", str(config), "--data.train", str(cells), "--runs", str(tmp_path)]
    cli = SegmentationRun(from_arguments(FIT, [*arguments, "--trainer.accelerator", "cpu"]))
    written = yaml.safe_load(config.read_text())
    assert all(cli.config["model"][name] == value for name, value in written["model"].items())
    assert cli.trainer.max_epochs == written["trainer"]["max_epochs"]
    sides, spec = cli.datamodule.crop_size, cli.model.spec
    # Of volumes the pooling is chosen for the size of their voxels: here slices that are three times as thick as wide.
    strides = spec.strides if spec.dims == 2 else strides_of(pooling_for((3, 1, 1), spec.depth, sides))
    assert all(side % stride == 0 for side, stride in zip(sides, strides, strict=True))
    assert not list(tmp_path.iterdir())


def test_without_validation_the_last_epoch_is_the_model(fit_cells: Fit, tmp_path: Path) -> None:
    code, out = fit_cells(tmp_path, "--data.val", "0", "--name", "all")
    assert code == 0
    assert "Dice" not in out
    assert read_spec(tmp_path / "all" / "model.safetensors").training["epoch"] == 2
    assert (tmp_path / "all" / "validation.png").is_file()
    assert [row["val_dice"] for row in metrics_of(tmp_path / "all")] == ["", ""]


def test_a_logger_comes_by_config(fit_cells: Fit, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra 'tensorboard'")
    config = tmp_path / "board.yaml"
    logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(tmp_path / "board")}}
    config.write_text(yaml.safe_dump({"trainer": {"logger": logger, "max_epochs": 1, "log_every_n_steps": 1}}))
    assert fit_cells(tmp_path / "runs", "--config", str(config))[0] == 0
    assert list((tmp_path / "board").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("method", "scope"), [("percentile", "dataset"), ("mean_std", "image"), ("mean_std", "dataset")]
)
def test_segment_repeats_what_validation_measured(
    method: str, scope: str, fit_cells: Fit, cells: Path, tmp_path: Path
) -> None:
    choices = ("--data.normalization.method", method, "--data.normalization.scope", scope)
    code, out = fit_cells(tmp_path, "--name", "run", *choices)
    assert code == 0
    model = tmp_path / "run" / "model.safetensors"
    spec = read_spec(model)
    assert (spec.normalization.method, spec.normalization.scope) == (method, scope)
    assert (spec.normalization.center is not None) == (scope == "dataset")
    (tmp_path / "truth").mkdir()
    for name in spec.training["data"]["val_images"]:
        (tmp_path / "truth" / f"{name}.tif").write_bytes((cells / "masks" / f"{name}.tif").read_bytes())
        words = ["segment", str(cells / "images" / f"{name}.tif"), str(tmp_path / f"{name}.tif")]
        assert main([*words, "--model", str(model), "--device", "cpu", "--backend", "torch"]) == 0
    dices = [evaluate(tmp_path / path.name, path).pooled.dice for path in find_images(tmp_path / "truth")]
    assert printed_dice(out) == pytest.approx(float(np.mean(dices)), abs=2e-4)


def test_three_classes_are_trained_and_segmented_as_class_numbers(cells: Path, fit_cells: Fit, tmp_path: Path) -> None:
    (tmp_path / "three" / "masks").mkdir(parents=True)
    (tmp_path / "three" / "images").mkdir()
    for path in find_images(cells / "images"):
        labels = imread(cells / "masks" / path.name)
        imwrite(tmp_path / "three" / "images" / path.name, imread(path))
        imwrite(tmp_path / "three" / "masks" / path.name, np.where(labels > 0, 1 + labels % 2, 0).astype(np.uint8))
    choices = ("--data.train", str(tmp_path / "three"), "--model.classes", "3", "--name", "run")
    assert fit_cells(tmp_path, *choices, "--model.class_names", "[none,odd,even]")[0] == 0
    model = str(tmp_path / "run" / "model.safetensors")
    assert read_spec(Path(model)).class_names == ("none", "odd", "even")
    assert main(["segment", str(tmp_path / "three" / "images"), str(tmp_path / "out"), "--model", model]) == 0
    values = {int(value) for path in find_images(tmp_path / "out") for value in np.unique(imread(path))}
    assert values <= {0, 1, 2}
    assert values
    scores = tmp_path / "scores.json"
    words = ["evaluate", str(tmp_path / "out"), str(tmp_path / "three" / "masks"), "--classes", "3"]
    assert main([*words, "--json", str(scores)]) == 0


def test_fit_segment_evaluate(run: tuple[Path, str], cells: Path, tmp_path: Path) -> None:
    model = str(run[0] / "model.safetensors")
    assert main(["segment", str(cells / "images"), str(tmp_path / "masks"), "--model", model]) == 0
    assert len(find_images(tmp_path / "masks")) == 5
    assert all(set(np.unique(imread(path))) <= {0, 255} for path in find_images(tmp_path / "masks"))
    scores = tmp_path / "scores.json"
    assert main(["evaluate", str(tmp_path / "masks"), str(cells / "masks"), "--json", str(scores)]) == 0
    assert 0 <= json.loads(scores.read_text())["pooled"]["dice"] <= 1


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    def stop(self: CpuNotice, trainer: Any, *_: Any) -> None:
        if trainer.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(CpuNotice, "on_train_batch_end", stop)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    frozen: bool, fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choices = ["--trainer.max_epochs", "3"]
    if frozen:
        choices += ["--model.freeze_encoder", "true", "--model.unfreeze_at_epoch", "1"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert fit_cells(tmp_path, "--name", "whole", *choices)[0] == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 3)  # in the middle of the second epoch
        code, out = fit_cells(tmp_path, "--name", "broken", *choices)
    assert code == 130
    assert f"unetkit fit --resume {broken}" in out
    assert len(metrics_of(broken)) == 1
    assert main(["fit", "--resume", str(broken)]) == 0
    assert same_weights(whole / "model.safetensors", broken / "model.safetensors")
    assert metrics_of(whole) == metrics_of(broken)
    with safe_open(whole / "model.safetensors", "np") as one, safe_open(broken / "model.safetensors", "np") as other:
        assert one.metadata() == other.metadata()
    last, resumed = (torch.load(f / "last.ckpt", weights_only=True)["state_dict"] for f in (whole, broken))
    assert all(torch.equal(last[name], resumed[name]) for name in last)


def test_a_run_never_ends_with_less_than_the_model_that_it_started_from(
    run: tuple[Path, str], fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = run[0] / "model.safetensors"
    learn = SegmentationModule.training_step
    monkeypatch.setattr(SegmentationModule, "training_step", lambda *given: -learn(*given))  # it forgets
    choices = ("--model.weights", str(start), "--model.lr", "0.1", "--model.ema_decay", "0", "--name", "worse")
    code, out = fit_cells(tmp_path, *choices)
    assert code == 0
    kept = tmp_path / "worse" / "model.safetensors"
    assert same_weights(start, kept)
    before, after = read_spec(start).training, read_spec(kept).training
    assert (after["epoch"], after["val_dice"]) == (0, before["val_dice"])
    assert f"before training  validation Dice {before['val_dice']:.4f}" in out
    assert "as it was before training, mean validation Dice" in out
    assert "No epoch was better" in out
    assert "normalised by" not in out
    assert [row["epoch"] for row in metrics_of(tmp_path / "worse")] == ["0", "1"]


def test_images_that_a_start_was_trained_on_are_remembered_and_no_test_of_it(
    run: tuple[Path, str], fit_cells: Fit, tmp_path: Path
) -> None:
    start = run[0] / "model.safetensors"
    first = trained_on(str(start))
    assert len(first) == 3
    warned = {}
    for seed in ("0", "1", "2", "3"):
        choices = ("--model.weights", str(start), "--data.seed", seed, "--name", seed, "--trainer.max_epochs", "1")
        code, out = fit_cells(tmp_path, *choices)
        assert code == 0
        held = validated_on(tmp_path / seed)
        known = held - validated_on(run[0])
        assert (f"Warning: {len(known)} of the 2 images to validate on" in out) == bool(known)
        assert len(trained_on(str(tmp_path / seed / "model.safetensors"))) == 5 - len(held - known)
        warned[seed] = bool(known)
    assert set(warned.values()) == {False, True}


def test_half_a_start_is_not_scored_and_what_it_is_used_to_is_said(
    run: tuple[Path, str], fit_cells: Fit, tmp_path: Path
) -> None:
    choices = ("--model.weights", str(run[0] / "model.safetensors"), "--model.decoder_weights", "false")
    code, out = fit_cells(tmp_path, *choices, "--name", "run", "--data.normalization.method", "mean_std")
    assert code == 0
    assert "before training" not in out
    assert "was trained with data.normalization.method: percentile, not mean_std" in out


def test_stopped_before_its_first_epoch_is_over_a_run_leaves_no_model(
    run: tuple[Path, str], fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 1)
    code, out = fit_cells(tmp_path, "--model.weights", str(run[0] / "model.safetensors"), "--name", "broken")
    assert code == 130
    assert "there is no model" in out
    assert not (tmp_path / "broken" / "model.safetensors").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_process_ends_with_the_signals_code_and_keeps_the_model(
    number: int, code: int, cells: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "unetkit", "fit", "--data.train", str(cells), *SETTINGS.split()]
    paths = [str(SUPPORT / "small_halo"), str(SUPPORT), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [*command, "--runs", str(tmp_path), "--name", "run", "--trainer.max_epochs", "5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            process.send_signal(number)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert not err  # not even that PyTorch is loaded: the folder `small_halo` has loaded it
    assert "Stopping, as" in out
    assert "Stopped. Go on with: unetkit fit --resume" in out
    spec = read_spec(tmp_path / "run" / "model.safetensors")
    assert spec.training["epoch"] in (1, 2, 3)
    assert (spec.halo_error is not None) == (number == signal.SIGINT)  # after SIGTERM there is no time for it


def test_ctrl_c_while_the_halo_is_measured_keeps_the_model(
    fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("unetkit.training.segmentation.measuring.measure_halo", stop)
        code, out = fit_cells(tmp_path, "--name", "run", "--trainer.max_epochs", "1")
    assert code == 130
    assert "Its halo was not measured" in out
    spec = read_spec(tmp_path / "run" / "model.safetensors")
    assert spec.halo_error is None
    assert spec.training["epoch"] == 1
    assert main(["fit", "--resume", str(tmp_path / "run")]) == 0
    assert read_spec(tmp_path / "run" / "model.safetensors").halo_error is not None


def test_without_a_configuration_what_is_not_given_is_planned(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    length = ["--trainer.max_epochs", "1", "--data.crops_per_epoch", "4", "--data.workers", "0"]
    network = ["--model.depth", "3", "--model.decoder_channels", "[8,8,8]", "--trainer.accelerator", "cpu"]
    given = ["--data.crop", "64", "--data.batch_size", "2", *length, *network]
    assert main(["fit", "--data.train", str(cells), "--runs", str(tmp_path), *given]) == 0
    out = capsys.readouterr().out
    assert "data.crop: 64  (as given)" in out
    assert "data.augment: standard  (5 images are few" in out
    assert "Warning: 5 images are very few" in out
    config = yaml.safe_load((tmp_path / "cells-1" / "config.yaml").read_text())
    assert (config["model"]["encoder"], config["data"]["augment"]) == ("resnet18", "standard")
    assert (config["data"]["crop"], config["data"]["batch_size"]) == (64, 2)


def test_a_configuration_is_used_as_it_is(cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data:\n  crop: 96\n")
    cli = SegmentationRun(from_arguments(FIT, ["--config", str(tmp_path / "mine.yaml"), "--data.train", str(cells)]))
    assert (cli.datamodule.crop, cli.datamodule.augment) == (96, "standard")
    assert capsys.readouterr().out == ""


def test_several_processes_do_not_plan_each_for_itself(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data.train", str(cells), "--trainer.devices", "2"]) == 2
    assert f"Write one with `unetkit plan {cells}`" in capsys.readouterr().err
