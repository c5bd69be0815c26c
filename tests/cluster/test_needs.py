from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from unetkit.cluster import needs
from unetkit.cluster.needs import Beacons, answer_to, needs_of, problem_here, unseen
from unetkit.errors import OutputError


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "PATIENCE_SECONDS", 0.1)


def test_a_machine_that_sees_the_same_has_no_problem_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"12345")
    (tmp_path / "b.zarr").mkdir()
    wanted = needs_of([tmp_path / "a.tif", tmp_path / "b.zarr"], [tmp_path / "out.tif", tmp_path / "other.tif"])
    assert wanted.folders == (tmp_path,)
    with Beacons(wanted) as beacons:
        assert problem_here(wanted, beacons, "x") is None
        assert unseen(beacons, "x") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.zarr"]


def test_another_file_under_the_same_name_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"12345")
    wanted = needs_of([path], [])
    path.write_bytes(b"123")
    assert problem_here(wanted, [], "x") == f"sees another file under {path}"
    path.unlink()
    path.mkdir()
    assert problem_here(wanted, [], "x") == f"sees another file under {path}"


def test_a_file_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"12345")
    wanted = needs_of([path], [])
    path.unlink()
    assert problem_here(wanted, [], "x") == f"cannot read {path} (No such file or directory)"


def test_what_one_side_writes_and_the_other_does_not_see_is_a_problem(tmp_path: Path) -> None:
    wanted = needs_of([], [tmp_path / "out.tif"])
    with Beacons(wanted) as beacons:
        assert problem_here(wanted, beacons, "x") is None
        answer_to(beacons[0], "x").unlink()
        assert unseen(beacons, "x") == f"writes in {tmp_path} what this machine does not see"
        beacons[0].unlink()
        assert problem_here(wanted, beacons, "x") == f"does not see what this machine writes in {tmp_path}"
    assert not any(tmp_path.iterdir())


def test_relative_paths_become_absolute_as_workers_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.tif").touch()
    wanted = needs_of([Path("a.tif")], [Path("out.tif")])
    assert (wanted.reads, wanted.folders) == (((tmp_path / "a.tif", 0),), (tmp_path,))


def test_a_folder_that_the_client_cannot_write_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    wanted = needs_of([], [tmp_path / "out.tif", tmp_path / "none" / "out.tif"])
    with pytest.raises(OutputError, match="none cannot be written"), Beacons(wanted):
        pass
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read all
    assert problem_here(needs_of([tmp_path / "a.tif"], []), [], "x") == f"may not read {tmp_path / 'a.tif'}"
