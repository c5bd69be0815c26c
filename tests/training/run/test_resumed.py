"""A run goes on as it began, or says why it cannot: files that are cut off, other settings, other images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.data.kept import KeptSplit, Use
from unetkit.foundation.errors import DataError
from unetkit.models.model_file import read_spec
from unetkit.training.run.callbacks import CpuNotice
from unetkit.training.settings.changes import changes

Resume = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def stopped(fit_cells: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in the third of its four epochs."""
    runs = tmp_path_factory.mktemp("runs")

    def stop(self: CpuNotice, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CpuNotice, "on_train_batch_end", stop)
        assert fit_cells(runs, "--name", "r", "--trainer.max_epochs", "4")[0] == 130
    return runs / "r"


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of that run, without the checkpoint of the epoch before the last."""
    folder = tmp_path / "r"
    shutil.copytree(stopped, folder)
    (folder / "previous.ckpt").unlink()
    return folder


@pytest.fixture
def resume(capsys: pytest.CaptureFixture[str]) -> Resume:
    """Resume a run: resume(folder, *more arguments) -> exit code, what was said."""

    def go_on(folder: Path, *more: str) -> tuple[int, str]:
        code = main(["fit", "--resume", str(folder), *more])
        said = capsys.readouterr()
        return code, said.out + said.err

    return go_on


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("name", ["config.yaml", "last.ckpt", "metrics.csv", "model.safetensors"])
def test_a_file_that_is_cut_off_is_named_with_a_remedy(name: str, share: float, run: Path, resume: Resume) -> None:
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: int(share * len(data))])
    code, said = resume(run)
    assert code == 2
    assert f"{name}" in said
    assert "damaged" in said
    assert "back" in said


def test_a_checkpoint_that_is_cut_off_is_replaced_by_the_one_before(stopped: Path, run: Path, resume: Resume) -> None:
    shutil.copy(stopped / "previous.ckpt", run)
    (run / "last.ckpt").write_bytes(b"")
    code, said = resume(run)
    assert code == 0
    assert "goes on after epoch 1" in said
    assert "epoch 4/4" in said
    assert not (run / "previous.ckpt").exists()


def test_config_and_table_that_are_missing_are_made_again(run: Path, resume: Resume) -> None:
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").unlink()
    (run / "metrics.csv").unlink()
    code, said = resume(run)
    assert code == 0
    assert "config.yaml: it is written again" in said
    assert "metrics.csv: it begins anew with epoch 3" in said
    assert (run / "config.yaml").read_text() == config


@pytest.mark.parametrize("name", ["last.ckpt", "model.safetensors"])
def test_without_its_weights_a_run_cannot_go_on(name: str, run: Path, resume: Resume) -> None:
    (run / name).unlink()
    code, said = resume(run)
    assert code == 2
    assert name in said


@pytest.mark.parametrize("strange", [{"state_dict": {}}, [1, 2], {"a": torch.zeros(2)}])
def test_a_checkpoint_of_another_program_is_refused(strange: Any, run: Path, resume: Resume) -> None:
    torch.save(strange, run / "last.ckpt")
    code, said = resume(run)
    assert code == 2
    assert "is no checkpoint of a unetkit run" in said
    assert "--model.weights" in said


def test_the_last_epoch_can_start_a_new_run_where_the_best_model_is_lost(
    run: Path, resume: Resume, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "model.safetensors").write_bytes(b"")
    words = resume(run)[1].split("unetkit fit ")[1].split()
    assert main(["fit", *words, "--runs", str(run.parent), "--name", "new", "--trainer.max_epochs", "1"]) == 0
    assert "Best model" in capsys.readouterr().out


def test_a_checkpoint_of_another_network_is_refused(run: Path, resume: Resume) -> None:
    state = torch.load(run / "last.ckpt", weights_only=True)
    name = next(name for name in state["state_dict"] if name.endswith("segmentation_head.0.weight"))
    state["state_dict"][name] = torch.zeros(3, 8, 3, 3)
    torch.save(state, run / "last.ckpt")
    code, said = resume(run)
    assert code == 2
    assert "another network" in said


@pytest.mark.parametrize(
    ("option", "value", "was"),
    [
        ("model.lr", "0.1", "0.003"),
        ("data.seed", "7", "0"),
        ("data.val", "0.2", "0.4"),
        ("model.loss", "bce", "bce_dice"),
    ],
)
def test_a_setting_that_makes_another_run_is_refused_with_the_way(
    option: str, value: str, was: str, run: Path, resume: Resume
) -> None:
    before = (run / "config.yaml").read_bytes()
    code, said = resume(run, f"--{option}", value)
    assert code == 2
    assert f"{option}: {value} cannot be set for a run that is resumed: it was begun with {was}." in said
    assert f"--{option} {value} --model.weights {run / 'model.safetensors'}" in said
    assert (run / "config.yaml").read_bytes() == before
    edited = yaml.safe_load(before)
    group, key = option.split(".")
    edited[group][key] = yaml.safe_load(value)
    (run / "config.yaml").write_text(yaml.safe_dump(edited))
    assert f"{option}: {value} cannot be set" in resume(run)[1]


def test_a_longer_run_is_said_and_done(run: Path, resume: Resume) -> None:
    code, said = resume(run, "--trainer.max_epochs", "5", "--data.workers", "0")
    assert code == 0
    assert "trainer.max_epochs: 5 from here on (it was 4)." in said
    assert "The learning rate goes on where it would be now in a run of that length." in said
    assert "data.workers" not in said
    assert "epoch 5/5" in said
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 5
    code, said = resume(run, "--trainer.max_epochs", "3")
    assert code == 2
    assert "less than the 5 epochs that the run has done" in said


def test_settings_in_the_place_of_a_group_are_changes() -> None:
    assert changes("trainer: {logger: false}", "trainer: {logger: {class_path: A}}") == {
        "trainer.logger": (False, "something else")
    }
    assert changes("a: {b: 1, c: [1, 2]}\nresume: x", "a: {b: 2, c: [1, 2], d: 3}") == {"a.b": (1, 2)}


@pytest.fixture
def moved(fit_cells: Fit, cells: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run of one epoch and the folder of its images, which belong to no other test."""
    data = tmp_path / "cells"
    shutil.copytree(cells, data)
    assert fit_cells(tmp_path, "--data.train", str(data), "--trainer.max_epochs", "1", "--name", "m")[0] == 0
    return tmp_path / "m", data


def pairs_of(data: Path, stem: str) -> list[Path]:
    return [next((data / kind).glob(f"{stem}.*")) for kind in ("images", "masks")]


def test_the_validation_images_stay_when_others_go_come_or_move(moved: tuple[Path, Path], resume: Resume) -> None:
    run, data = moved
    held = read_spec(run / "model.safetensors").training["data"]["val_images"]
    trained = [path.stem for path in sorted((data / "images").iterdir()) if path.stem not in held]
    for path in pairs_of(data, trained[0]):
        path.unlink()
    for path, other in zip(pairs_of(data, trained[1]), pairs_of(data, held[0]), strict=True):
        shutil.copy(path, path.with_name(f"aaa{path.suffix}"))  # the same pixels
        shutil.copy(other, other.with_name(f"zzz{other.suffix}"))
    elsewhere = data.rename(data.with_name("elsewhere"))
    code, said = resume(run, "--trainer.max_epochs", "2", "--data.train", str(elsewhere))
    assert code == 0
    assert f"{trained[0]} is gone since the run was begun" in said
    now = read_spec(run / "model.safetensors").training["data"]
    state = torch.load(run / "last.ckpt", weights_only=True)["SegmentationData"]["split"]["images"]
    assert {name for name, _, use in state if use == "val"} == {*held, "zzz"}
    assert set(now["val_images"]) == {*held, "zzz"}


def test_a_validation_image_that_is_gone_is_refused(moved: tuple[Path, Path], resume: Resume) -> None:
    run, data = moved
    held = read_spec(run / "model.safetensors").training["data"]["val_images"]
    for path in pairs_of(data, held[0]):
        path.unlink()
    code, said = resume(run, "--trainer.max_epochs", "2")
    assert code == 2
    assert f"{held[0]} is gone, new or changed" in said


def kept(**uses: str) -> KeptSplit:
    return KeptSplit(tuple(Use(name, f"pixels of {name}", use) for name, use in uses.items()))


def found(*names: str, val: str = "", changed: str = "") -> list[Use]:
    return [
        Use(name, f"other {name}" if name in changed else f"pixels of {name}", "val" if name in val else "train")
        for name in names
    ]


def test_uses_are_kept_whatever_a_new_run_would_choose() -> None:
    split = kept(a="train", b="val", c="train")
    assert split.apply(found("a", "b", "c", val="a")) == (["train", "val", "train"], [])
    uses, said = split.apply(found("a", "b", "d", changed="a", val="d"))
    assert uses == ["train", "val", "train"]
    assert said == [
        "d is new since the run was begun, and trained on from here on.",
        "a is changed since the run was begun, and trained on as they are now.",
        "c is gone since the run was begun, and not trained on any more.",
    ]


@pytest.mark.parametrize(
    ("names", "how", "message"),
    [
        ("ac", {"val": "c"}, "c is to be validated on, but was trained on"),
        ("abc", {"val": ""}, "b is to be trained on, but was validated on"),
        ("abcd", {"val": "bd"}, "d is gone, new or changed"),
        ("abc", {"val": "b", "changed": "b"}, "b is gone, new or changed"),
    ],
)
def test_named_validation_images_that_are_others_are_refused(names: str, how: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        kept(a="train", b="val", c="train").apply(found(*names, **how), named=True)


@pytest.mark.parametrize("names", ["ab", "abcd"])
def test_folds_are_refused_once_an_image_is_gone_or_new(names: str) -> None:
    with pytest.raises(DataError, match=r"The folds are not those that the run was begun with: [cd] is (gone|new)"):
        kept(a="0", b="1", c="0").apply(found(*names))


def test_folds_not_begun_yet_are_those_that_the_first_was_part_of(
    fit_cells: Fit, cells: Path, tmp_path: Path, resume: Resume
) -> None:
    data = tmp_path / "cells"
    shutil.copytree(cells, data)
    folds = ("--data.folds", "2", "--data.crops_per_epoch", "4", "--trainer.max_epochs", "1", "--name", "x")
    assert fit_cells(tmp_path, "--data.train", str(data), *folds)[0] == 0
    run = tmp_path / "x"
    results = json.loads((run / "cross_validation.json").read_text())
    shutil.rmtree(run / "fold-1")
    for path in pairs_of(data, sorted((data / "images").iterdir())[0].stem):
        path.unlink()
    code, said = resume(run)
    assert code == 2
    assert "The folds are not those that the run was begun with" in said
    assert json.loads((run / "cross_validation.json").read_text()) == results
    (run / "config.yaml").write_bytes((run / "config.yaml").read_bytes()[:700])
    assert "is not the whole configuration" in resume(run)[1]
