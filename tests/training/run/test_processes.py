"""Two processes on the CPU train what one process trains with batches of twice the size."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.fabric.plugins.environments.lightning import find_free_network_port as find_free_port
from ready_processes import ready_context
from recorded_run import record_rank, recorded_run
from safetensors.torch import load_file
from tiny_fit import SETTINGS
from torchmetrics.functional.classification import binary_f1_score

from unetkit import load_model, predict_tiled
from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import CropSampler
from unetkit.data.workers import usable_cores
from unetkit.foundation.errors import ConfigError
from unetkit.training.run.trainer import make_trainer
from unetkit.training.segmentation.module import SegmentationModule

ROOT = Path(__file__).parents[3]
SUPPORT = ROOT / "tests" / "support"

two_cores = pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores")


def run_command(*command: str) -> str:
    """Run Python with these arguments in a process that no earlier run has left its mark on; return what it printed."""
    return run_words([sys.executable, *command], {})


def run_words(words: list[str], more: dict[str, str]) -> str:
    """Run a program in the same way, with more variables of the environment."""
    ours = {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    paths = [str(SUPPORT / "small_halo"), str(SUPPORT), os.environ.get("PYTHONPATH", "")]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), **more}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@two_cores
def test_two_processes_train_like_one_with_the_double_batch(cells: Path, tmp_path: Path) -> None:
    port = find_free_port()
    processes = [
        ready_context().Process(target=record_rank, args=(rank, port, cells, tmp_path / "two", 2, 2)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    single, result = recorded_run(cells, tmp_path / "one", devices=1, batch=4)
    ranks: list[dict[str, Any]] = [torch.load(tmp_path / "two" / f"rank{rank}.pt") for rank in range(2)]

    assert len(single.gradients) == 50
    for name, gradient in single.gradients.items():
        assert torch.equal(ranks[0]["gradients"][name], ranks[1]["gradients"][name])
        difference = (ranks[0]["gradients"][name] - gradient).norm()
        assert difference <= 1e-4 * gradient.norm() + 1e-7, name
    assert ranks[0]["losses"][0] != ranks[1]["losses"][0]  # each has crops of its own
    together = np.mean([rank["losses"] for rank in ranks], axis=0)
    assert len(together) == 6
    np.testing.assert_allclose(together, single.losses, rtol=1e-3)
    assert [rank["dice"] for rank in ranks] == pytest.approx([result.dice] * 2, abs=1e-3)
    assert [rank["epoch"] for rank in ranks] == [result.epoch] * 2


@pytest.fixture(scope="module")
def both(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run of two processes that Lightning starts, and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    processes = "--trainer.devices 2 --trainer.strategy ddp --name both --data.crops_per_epoch 7"
    arguments = ["--data.train", str(cells), *SETTINGS.split(), "--runs", str(runs), *processes.split()]
    return runs / "both", run_command("-m", "unetkit", "fit", *arguments).splitlines()


@two_cores
def test_the_command_trains_in_two_processes_and_writes_and_says_everything_once(
    cells: Path, both: tuple[Path, list[str]]
) -> None:
    folder, said = both
    assert [line.split()[0] for line in said].count("epoch") == 2
    assert sum(line.startswith("Best model") for line in said) == sum(line.startswith("Try it") for line in said) == 1
    assert {path.name for path in folder.parent.iterdir()} == {"both"}
    names = {path.name for path in folder.iterdir()}
    written = {"validation.png", "validation.csv", "report", "report.html", "run.json"}
    assert names == {"config.yaml", "model.safetensors", "last.ckpt", "metrics.csv"} | written
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "1"), ("1", "2")]

    model = load_model(folder / "model.safetensors")
    data = SegmentationData(str(cells), val=0.4)
    data.setup()
    dice = [
        float(
            binary_f1_score(
                torch.from_numpy(predict_tiled(item["image"].numpy(), model, axes="CYX")) // 255, item["mask"]
            )
        )
        for item in (data.val_items()[index] for index in range(2))
    ]
    assert model.spec.training["val_dice"] == pytest.approx(np.mean(dice), abs=1e-4)
    assert dice[0] != dice[1]


@two_cores
@pytest.mark.skipif(shutil.which("bash") is None, reason="the script is for bash")
def test_two_nodes_of_slurm_train_like_two_processes_and_go_on(
    cells: Path, both: tuple[Path, list[str]], tmp_path: Path
) -> None:
    command = tmp_path / "bin" / "unetkit"
    command.parent.mkdir()
    command.write_text(f'#!/bin/bash\nexec {sys.executable} -m unetkit "$@"\n')
    command.chmod(0o755)
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump({"trainer": {"max_epochs": 2}}))
    port = str(find_free_port())
    job = {
        **{"SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "unetkit-fit", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS": "2"},
        **{"SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost", "MASTER_PORT": port},
        **{"DATA": str(cells), "CONFIG": str(config), "RUN": str(tmp_path / "runs" / "nodes")},
        "PATH": os.pathsep.join([str(command.parent), str(SUPPORT / "slurm"), os.environ["PATH"]]),
    }
    settings = [*SETTINGS.replace("--plan false", "").split(), "--data.crops_per_epoch", "7"]
    for epochs in ("2", "3"):
        run = ["bash", str(ROOT / "examples" / "slurm" / "fit.sbatch")]
        more = settings if epochs == "2" else ["--trainer.max_epochs", epochs]
        said = run_words([*run, *more], job).splitlines()
        assert sum(line.startswith("Best model") for line in said) == 1
        if epochs == "2":
            first, second = (load_file(folder / "model.safetensors") for folder in (both[0], Path(job["RUN"])))
            assert all(torch.equal(first[name], second[name]) for name in first)
    with (Path(job["RUN"]) / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]


@pytest.mark.parametrize(("crops", "processes", "batch"), [(12, 2, 2), (12, 3, 2), (10, 3, 4), (1, 4, 1)])
def test_processes_divide_each_batch_of_a_single_one(crops: int, processes: int, batch: int) -> None:
    shares = [list(CropSampler(crops, process, processes)) for process in range(processes)]
    assert all(len(CropSampler(crops, process, processes)) == len(shares[0]) for process in range(processes))
    for start in range(0, len(shares[0]), batch):
        together = sorted(key for share in shares for key in share[start : start + batch])
        assert together == [(0, start * processes + index) for index in range(len(together))]
    assert crops <= sum(map(len, shares)) < crops + processes


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_validation_images_are_divided_or_where_too_few_repeated(cells: Path, processes: int) -> None:
    shares = []
    for process in range(processes):
        data = SegmentationData(str(cells), val=0.4, workers=0)
        data.setup()
        data._processes = lambda process=process: (process, processes)  # type: ignore[method-assign,misc]
        shares.append([item["name"] for item in data.val_dataloader()])
    names = [item["name"] for item in (data.val_items()[index] for index in range(2))]
    assert sorted(name for share in shares for name in share) == sorted(names * (3 if processes == 3 else 1))
    assert all(shares)


def test_more_processes_than_cores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.devices: 77 processes are too many") as caught:
        make_trainer(tmp_path, accelerator="cpu", devices=77)
    assert "or fewer" in caught.value.remedy


@two_cores
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "ddp_spawn"}, "DDPStrategy cannot be used so"),
        ({"use_distributed_sampler": True}, "divided among the processes anyway"),
    ],
)
def test_ways_to_start_or_divide_that_do_not_fit_are_refused(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trainer(tmp_path, accelerator="cpu", devices=2, **arguments)


@two_cores
def test_an_encoder_cannot_be_let_go_where_several_processes_train(tmp_path: Path) -> None:
    module = SegmentationModule(freeze_encoder=True, unfreeze_at_epoch=1)
    module.trainer = make_trainer(tmp_path, accelerator="cpu", devices=2)
    with pytest.raises(ConfigError, match="unfreeze_at_epoch cannot be used with several devices"):
        module.setup("fit")
