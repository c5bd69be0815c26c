"""Folders of masks are scored by workers of a cluster with the same result as by one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from drawn_files import write_geojson
from object_tables import blobs
from two_workers import two_ready_workers

import unetkit
from unetkit.foundation.errors import ConfigError, UnetkitError


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with two_ready_workers() as client:
        yield client


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Predicted labels, true ones, and these as outlines of two classes."""
    places = tmp_path / "predicted", tmp_path / "true", tmp_path / "drawn"
    for place in places:
        place.mkdir()
    for i in range(6):
        labels = blobs((60 + i, 80), i, 1.5).astype(np.uint16)
        tifffile.imwrite(places[0] / f"{i}.tif", np.roll(labels, 1, axis=0))
        tifffile.imwrite(places[1] / f"{i}_mask.tif", labels)
        write_geojson(places[2] / f"{i}.geojson", labels, {int(n): ("b", "a")[n % 2] for n in np.unique(labels)})
    return places


@pytest.mark.parametrize(("truth", "options"), [(1, {}), (1, {"instances": True}), (2, {"instances": True})])
def test_scores_are_the_same(
    folders: tuple[Path, Path, Path], tmp_path: Path, client: Any, truth: int, options: dict[str, Any]
) -> None:
    here = unetkit.evaluate(folders[0], folders[truth], **options)
    there = unetkit.evaluate(folders[0], folders[truth], **options, client=client)
    for name, scores in (("here", here), ("there", there)):
        scores.write_json(tmp_path / f"{name}.json")
        scores.write_csv(tmp_path / f"{name}.csv")
    for suffix in ("json", "csv"):
        assert (tmp_path / f"here.{suffix}").read_bytes() == (tmp_path / f"there.{suffix}").read_bytes()
    assert [row.name for row in there.rows] == [str(i) for i in range(6)]
    assert 0 < there.pooled.dice < 1


def test_drawn_classes_have_the_same_scores_and_words(folders: tuple[Path, Path, Path], client: Any) -> None:
    for path in folders[0].iterdir():
        tifffile.imwrite(path, tifffile.imread(path) % 3)
    here = unetkit.evaluate(folders[0], folders[2], classes=3)
    there = unetkit.evaluate(folders[0], folders[2], classes=3, client=client)
    assert there == here
    assert there.taken[0] == "The classes of the truth are 1 a, 2 b."


def test_the_first_bad_pair_is_the_error(folders: tuple[Path, Path, Path], client: Any) -> None:
    for name in ("3.tif", "5.tif"):
        tifffile.imwrite(folders[0] / name, np.zeros((9, 9), np.uint8))
    errors = []
    for where in ({}, {"client": client}):
        with pytest.raises(UnetkitError) as caught:
            unetkit.evaluate(folders[0], folders[1], **where)
        errors.append((type(caught.value), caught.value.problem, caught.value.remedy))
    assert errors[0] == errors[1]
    assert "3.tif" in errors[0][1]


def test_arrays_are_not_sent_to_workers(client: Any) -> None:
    with pytest.raises(ConfigError, match="Arrays cannot be scored on a cluster") as caught:
        unetkit.evaluate(np.eye(9), np.eye(9), client=client)
    assert "files or folders" in caught.value.remedy
