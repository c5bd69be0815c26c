"""Folds on a cluster: the same models as one after another, whatever happens to a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_fit import Fit
from two_workers import two_ready_workers

import unetkit
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, DataError, UnetkitError
from unetkit.models.model_file import read_spec
from unetkit.report.run.folder import fold_folder
from unetkit.training.run.cross_validation import CrossValidation

SUPPORT = Path(__file__).parents[2] / "support"

EPOCHS = 3
"""Epochs of a run that lasts until a worker is killed."""

DEADLINE = 60.0
"""Seconds after which a run that is waited for has failed."""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    paths = [*map(str, (SUPPORT / "small_halo", SUPPORT)), os.environ.get("PYTHONPATH", "")]
    with two_ready_workers(env={"PYTHONPATH": os.pathsep.join(paths)}) as client:
        yield client


def folds(cells: Path, runs: Path, name: str, epochs: int, **more: Any) -> CrossValidation:
    """Train two folds, as by `SETTINGS` of `tiny_fit`."""
    data = {"train": str(cells), "folds": 2, "crop": 64, "crops_per_epoch": 4, "batch_size": 4, "workers": 0}
    model = {"encoder": "resnet18", "depth": 3, "decoder_channels": [8, 8, 8], "lr": 0.003}
    trainer = {"accelerator": "cpu", "max_epochs": epochs}
    done = unetkit.fit(
        data={**data, "augment": "light"}, model=model, trainer=trainer, plan=False, runs=runs, name=name, **more
    )
    assert isinstance(done, CrossValidation)
    return done


def same_models(one: Path, other: Path) -> bool:
    pairs = [(fold_folder(one, fold) / "model.safetensors", fold_folder(other, fold)) for fold in range(2)]
    weights = [(load_file(path), load_file(folder / path.name)) for path, folder in pairs]
    specs = [read_spec(path) == read_spec(folder / path.name) for path, folder in pairs]
    return all(specs) and all(torch.equal(first[name], second[name]) for first, second in weights for name in first)


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def in_turn(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CrossValidation, list[str]]:
    """Folds that were trained one after the other, and what was printed meanwhile."""
    with redirect_stdout(StringIO()) as out:
        done = folds(cells, tmp_path_factory.mktemp("runs"), "here", EPOCHS)
    return done, out.getvalue().splitlines()


def test_folds_side_by_side_leave_what_folds_in_turn_leave_though_a_worker_is_killed_and_a_fold_fails(
    in_turn: tuple[CrossValidation, list[str]],
    cells: Path,
    tmp_path: Path,
    client: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    blocked = folder / "fold-1"
    blocked.write_text("a file where a folder has to be")
    killed: list[psutil.Process] = []

    def apart() -> list[tuple[psutil.Process, psutil.Process]]:
        workers = map(psutil.Process, client.run(os.getpid).values())
        return [(one, child) for one in workers for child in one.children()]

    def kill() -> None:
        end = monotonic() + DEADLINE
        while not (folder / "fold-0" / "last.ckpt").is_file() and monotonic() < end:
            sleep(0.01)
        while len(training := apart()) > 1 and monotonic() < end:  # fold 1 has failed soon
            sleep(0.01)
        ((worker, child),) = training
        worker.kill()
        killed.extend([worker, child])

    here, said = in_turn
    killer = Thread(target=kill)
    killer.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "unetkit.training.run.training_run.TrainingRun._run_folder",
            lambda self: Path(self.config.runs) / self.config.name,
        )
        with pytest.raises(UnetkitError, match="Fold 1 was not trained; the other folds are done") as caught:
            folds(cells, tmp_path, "there", EPOCHS, client=client)
    killer.join()
    assert len(killed) == 2
    assert not any(one.is_running() for one in killed)
    assert f"fit --resume {folder}" in caught.value.remedy
    assert (folder / "fold-0" / "model.safetensors").is_file()
    heard = [capsys.readouterr().out.splitlines()]

    blocked.unlink()
    there = unetkit.fit(resume=folder, client=client)
    assert isinstance(there, CrossValidation)
    heard.append(capsys.readouterr().out.splitlines())
    assert not there.interrupted
    assert same_models(here.folder, there.folder)
    assert listed(here.folder) == listed(there.folder)
    assert there.rows == here.rows
    for name in ("cross_validation.json", "cross_validation.csv"):
        assert (here.folder / name).read_bytes() == (there.folder / name).read_bytes()
    config, other = (yaml.safe_load((run.folder / "config.yaml").read_text()) for run in (here, there))
    assert config == other | {"name": "here", "runs": config["runs"]}
    table = next(i for i, line in enumerate(said) if "Fold" in line and "Dice" in line)
    assert said[table : table + 8] == heard[1][table - len(said) :][:8]
    for fold in range(2):  # no epoch was trained twice or left out
        lines = (there.folder / f"fold-{fold}" / "metrics.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines[1:]] == [str(epoch) for epoch in range(EPOCHS)]
        assert any(line.startswith(f"Fold {fold}: epoch {EPOCHS}/{EPOCHS}") for line in heard[fold])
    assert not any(line.startswith("Fold 0:") for line in heard[1])


def test_a_run_without_folds_is_pointed_to_lightning(
    fit_cells: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_cells(tmp_path, "--cluster", "local:2")[0] == 2
    assert "trainer.devices, trainer.num_nodes" in capsys.readouterr().err
    assert fit_cells(tmp_path, "--cluster", "local:2", "--data.folds", "2", "--data.fold", "1")[0] == 2
    assert "this is one run" in capsys.readouterr().err
    assert main(["pretrain", "--data.images", str(tmp_path), "--cluster", "local:2"]) == 2
    assert not list(tmp_path.iterdir())


def test_objects_are_not_sent_to_workers(cells: Path, tmp_path: Path, client: Any) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.callbacks is an object"):
        unetkit.fit(data={"train": str(cells), "folds": 2}, trainer={"callbacks": [object()]}, client=client)


def test_data_that_cannot_be_split_are_an_error_before_a_worker_begins(
    cells: Path, tmp_path: Path, client: Any
) -> None:
    with pytest.raises(DataError, match="5 different images cannot be split into 9 folds"):
        unetkit.fit(data={"train": str(cells), "folds": 9}, plan=False, runs=tmp_path, name="no", client=client)
    assert not list(tmp_path.iterdir())
