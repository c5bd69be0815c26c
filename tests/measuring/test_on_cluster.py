"""Folders of labels are measured and exported by workers of a cluster with the same result as by one process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
import pytest
import tifffile
from object_tables import blobs
from two_workers import two_ready_workers

import unetkit
from unetkit.cli import main
from unetkit.foundation.atomic import claimed
from unetkit.foundation.errors import DataError, ImageError, OutputError


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with two_ready_workers() as client:
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of ten images, one of them empty and one a mask, and the images."""
    place = tmp_path_factory.mktemp("folder")
    (place / "labels").mkdir()
    (place / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        labels = blobs((60 + i, 80), i, 1.5).astype(np.uint16)
        labels = {3: labels * 0, 7: (labels > 0).astype(np.uint16)}.get(i, labels)
        tifffile.imwrite(place / "labels" / f"{i}.tif", labels)
        tifffile.imwrite(place / "images" / f"{i}.tif", rng.integers(0, 4000, labels.shape).astype(np.uint16))
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("verb", ["measure", "export"])
def test_a_folder_has_the_same_files_and_lines(folder: Path, tmp_path: Path, client: Any, verb: str) -> None:
    call: Any = getattr(unetkit, verb)
    lines: dict[str, list[str]] = {}
    results = {}
    for name, where in (("here", {}), ("there", {"client": client})):
        images, target = folder / "images", tmp_path / name
        places = (images, target) if verb == "measure" else (target, images)
        lines[name] = []
        results[name] = call(folder / "labels", *places, log=lines[name].append, **where)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert len(contents(tmp_path / "here")) == (11 if verb == "measure" else 10)
    known = [line.replace("/there/", "/here/") for line in lines["there"]]
    own = [line for line in known if line in lines["here"]]
    assert own == lines["here"]
    assert "3.tif has no objects" in own[0]
    if verb == "measure":
        assert [str(one.row()) for one in results["here"]] == [str(one.row()) for one in results["there"]]
    else:
        assert results["here"] == results["there"]


def test_a_bad_file_among_many_does_not_keep_the_others(folder: Path, tmp_path: Path, client: Any) -> None:
    (tmp_path / "labels").mkdir()
    for path in (folder / "labels").iterdir():
        (tmp_path / "labels" / path.name).write_bytes(
            path.read_bytes()[: 300 if path.name in ("2.tif", "6.tif") else None]
        )
    errors = []
    for name, where in (("here", {}), ("there", {"client": client})):
        with pytest.raises(DataError) as caught:
            unetkit.measure(tmp_path / "labels", None, tmp_path / name, **where)
        errors.append((caught.value.problem, caught.value.remedy))
    assert errors[0] == errors[1]
    assert "2 of 10 label images were not measured" in errors[0][0]
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_progress_is_that_of_all_files_together(folder: Path, tmp_path: Path, client: Any) -> None:
    begun: list[tuple[str, int]] = []
    done: list[int] = []

    def begin(name: str, pixels: int) -> Any:
        begun.append((name, pixels))
        return done.append

    unetkit.export(folder / "labels", tmp_path / "out", client=client, progress=begin)
    pixels = sum(tifffile.imread(path).size for path in (folder / "labels").iterdir())
    assert begun == [("10 label images", pixels)]
    assert sum(done) == pixels


def test_one_file_is_one_task_and_relative_paths_are_those_of_the_client(
    folder: Path, tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for name, where in (("here", {}), ("there", {"client": client})):
        unetkit.measure("labels/1.tif", "images/1.tif", os.path.relpath(tmp_path / f"{name}.parquet"), **where)
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()
    with pytest.raises(OutputError, match="exists"):
        unetkit.measure("labels/1.tif", None, tmp_path / "there.parquet", client=client)
    (tmp_path / "cut.tif").write_bytes((folder / "labels" / "1.tif").read_bytes()[:300])
    errors = []
    for where in ({}, {"client": client}):
        with pytest.raises(ImageError) as caught:
            unetkit.measure(tmp_path / "cut.tif", None, tmp_path / "none.csv", **where)
        errors.append((caught.value.problem, caught.value.remedy))
    assert errors[0] == errors[1]
    assert not (tmp_path / "none.csv").exists()


def test_the_command_starts_workers_of_its_own(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(folder / "labels"), str(tmp_path / "here")]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert main(["export", str(folder / "labels"), str(tmp_path / "there"), "--cluster", "local:1"]) == 0
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert capsys.readouterr().out.splitlines()[-1] == last.replace("/here", "/there")


def test_an_output_that_a_lost_worker_is_still_making_is_waited_for(folder: Path, tmp_path: Path, client: Any) -> None:
    (tmp_path / "there").mkdir()

    def hold() -> None:
        with claimed(tmp_path / "there" / "5.csv"):
            sleep(1.5)

    holder = Thread(target=hold)
    holder.start()
    done = unetkit.measure(folder / "labels", None, tmp_path / "there", client=client)
    holder.join()
    assert len(done) == 10
    assert (tmp_path / "there" / "5.csv").is_file()


def test_a_worker_that_is_killed_in_mid_task_costs_nothing(folder: Path, tmp_path: Path) -> None:
    labels = np.tile(blobs((500, 500), 0, 3).astype(np.int32), (4, 4))
    labels += np.kron(np.arange(16).reshape(4, 4), np.full((500, 500), 10_000)).astype(np.int32) * (labels > 0)
    (tmp_path / "labels").mkdir()
    for i in range(4):
        tifffile.imwrite(tmp_path / "labels" / f"{i}.tif", labels)
    unetkit.measure(tmp_path / "labels", None, tmp_path / "here")
    with two_ready_workers() as own:
        processes = list(own.run(os.getpid).values())

        def kill() -> None:
            begun = tmp_path / "there"
            while not list(begun.glob("[0-9].csv.lock")):
                sleep(0.01)
            os.kill(processes[0], signal.SIGKILL)

        killer = Thread(target=kill)
        killer.start()
        unetkit.measure(tmp_path / "labels", None, tmp_path / "there", client=own)
        killer.join()
        assert not Path(f"/proc/{processes[0]}").exists()
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
