"""A client of a cluster that is killed, stopped or left by its scheduler, each a process; then `--resume`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import spread_hooks
import tifffile
import torch
from dask_processes import SUPPORT, DaskProcesses
from distributed import Client
from spread_images import blobs, digests, traces

from unetkit.foundation.errors import OutputError
from unetkit.inference.segment import segment
from unetkit.io.writing.block_folder import BlockFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

CLIENT = """
from unetkit.inference.spread import blocks
blocks.SMALLEST_BLOCK = 6_000
blocks.BLOCK_PIXELS = dict.fromkeys(blocks.BLOCK_PIXELS, 6_000)
from unetkit.__main__ import run
run()
"""
"""The command line, for which images of a few hundred pixels are large."""

TILES: dict[str, Any] = {"backend": "torch", "tile": 64, "halo": 16}
"""Choices of the runs that are no process of their own; `Run` has the same."""

KEEP = "unetkit.inference.spread.tasks:keep"


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with a line for each block that workers have predicted; they are slow."""
    file = tmp_path / "seen"
    hooks = [{"do": do, "at": KEEP, "file": str(file)} for do in ("wait", "count")]
    monkeypatch.setenv("SPREAD_HOOKS", json.dumps(hooks))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return file


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskProcesses]:
    processes = DaskProcesses(tmp_path)
    yield processes
    processes.kill_all()


class Run:
    """A client that segments `image.tif` of a folder in a process of its own."""

    def __init__(self, folder: Path, result: str, model: Path, *words: str) -> None:
        self.result = folder / result
        self.before = self.done()
        choices = ["--model", str(model), "--backend", "torch", "--tile", "64", "--halo", "16", *words]
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, "segment", "image.tif", result, *choices],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT.parents[1]), str(SUPPORT)])},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def done(self) -> int:
        """Return the number of lines of the journal, in which each block has one."""
        journal = BlockFolder.place(self.result) / "journal"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def after(self, blocks: int) -> psutil.Process:
        """Wait until so many blocks are done, and one of them by this process; return it."""
        wait_until(lambda: self.done() >= max(blocks, self.before + 1), self)
        return psutil.Process(self.process.pid)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and output, of which lines are joined."""
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, " ".join(output.split())


def wait_until(true: Callable[[], bool], run: Run | None = None) -> None:
    end = time.monotonic() + 120
    while not true():
        assert run is None or run.process.poll() is None, run.end()
        assert time.monotonic() < end
        time.sleep(0.05)


def expected(folder: Path, image: Path, name: str, model: Path, **choices: Any) -> dict[str, str]:
    """Return the hashes of what a run on this machine makes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    (folder / "here").mkdir()
    places = {key: folder / "here" / value for key, value in choices.items() if key == "table"}
    segment(image, folder / "here" / name, model, **{**TILES, **choices, **places})
    torch.set_num_threads(before)
    return digests(folder / "here")


@pytest.mark.usefixtures("small_blocks")
def test_labels_go_on_after_the_scheduler_and_then_the_client_were_killed(
    tmp_path: Path, tiny_model: Path, dask: DaskProcesses, seen: Path
) -> None:
    tifffile.imwrite(tmp_path / "image.tif", blobs(270, 330), tile=(64, 64))
    hashes = expected(tmp_path, tmp_path / "image.tif", "a.tif", tiny_model, output="labels", table="a.csv")
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "image.tif").rename(work / "image.tif")

    def start(address: str, *more: str) -> Run:
        words = ("--output", "labels", "--table", "a.csv", "--cluster", address, *more)
        return Run(work, "a.tif", tiny_model, *words)

    address, scheduler = dask.scheduler()
    dask.worker(address, "--preload", spread_hooks.__file__)
    run = start(address)
    run.after(3)
    scheduler.kill()
    code, said = run.end()
    assert code == 2, said
    assert "The scheduler of the cluster is gone. Start it again, then go on with --resume." in said
    assert "a.tif.blocks: the same command with --resume goes on from there." in said

    address, _ = dask.scheduler()
    dask.worker(address, "--preload", spread_hooks.__file__)
    run = start(address, "--resume")
    run.after(8).kill()
    run.end()

    def go_on(**more: Any) -> str:
        choices: dict[str, Any] = {"output": "labels", "table": work / "a.csv", "resume": True, **TILES, **more}
        lines: list[str] = []
        with Client(address, set_as_default=False) as client:
            segment(work / "image.tif", work / "a.tif", tiny_model, client=client, log=lines.append, **choices)
        return " ".join(lines)

    with pytest.raises(OutputError, match=r"threshold was 0\.5 and is now 0\.7"):
        go_on(threshold=0.7)
    before = len(seen.read_text().split())
    kept, blocks = map(int, re.search(r"holds (\d+) of (\d+) blocks: going on", go_on()).groups())  # type: ignore[union-attr]
    assert kept >= 8
    assert len(seen.read_text().split()) - before <= blocks - kept  # what was done is not done again
    (work / "image.tif").unlink()
    assert digests(work) == hashes


def test_a_client_with_workers_of_its_own_leaves_none_and_goes_on(
    tmp_path: Path, tiny_model: Path, client: Client, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, blobs(270, 330), tile=(64, 64))
    hashes = expected(tmp_path, image, "a.zarr", tiny_model)
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", spread_hooks.__file__)
    begun: list[psutil.Process] = []

    def are_gone() -> bool:
        return not [one for one in begun if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    for number, blocks, words in ((signal.SIGKILL, 3, ("local:2",)), (signal.SIGTERM, 8, ("local:1", "--resume"))):
        run = Run(tmp_path, "a.zarr", tiny_model, "--cluster", *words)
        process = run.after(blocks)
        begun += process.children(recursive=True)
        assert len(begun) >= 2
        process.send_signal(number)
        code, said = run.end()
        wait_until(are_gone)
    assert code == 143, said
    assert "Stopping, as SIGTERM asks." in said
    assert "a.zarr.blocks: the same command with --resume goes on from there." in said
    (outcome,) = segment(image, tmp_path / "a.zarr", tiny_model, client=client, resume=True, **TILES)
    assert 8 / 25 < outcome.kept / outcome.pixels < 1
    (tmp_path / "work").mkdir()
    (tmp_path / "a.zarr").rename(tmp_path / "work" / "a.zarr")
    assert digests(tmp_path / "work") == hashes
    assert not traces(tmp_path)
