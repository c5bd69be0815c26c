from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from rich.console import Console
from scipy import ndimage
from skimage.metrics import adapted_rand_error, variation_of_information

from unetkit.foundation.errors import ConfigError, DataError
from unetkit.scoring.evaluation import evaluate
from unetkit.scoring.membranes import STEPS
from unetkit.synthetic import make_nuclei

EM_LABELS = Path(__file__).parents[2] / "../shared/data/em/train-labels.tif"


def save(path: Path, pixels: NDArray[Any]) -> Path:
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def walls(size: int = 40, width: int = 2) -> NDArray[np.bool_]:
    """Return a mask (size, size) of membranes: a grid whose lines are not closed everywhere."""
    mask = np.zeros((size, size), bool)
    for place in range(10, size, 10):
        mask[place : place + width] = mask[:, place : place + width] = True
    return mask


@pytest.fixture
def membranes(tmp_path: Path) -> tuple[Path, Path]:
    """Probabilities of the inside for two planes, and the truth: 255 inside, 0 on membranes."""
    true = np.stack([~walls(), ~walls().T[::-1]])
    wall = ~true
    probability = np.where(wall, 0.62, 0.97).astype(np.float32)  # right only from a threshold of 0.7 on
    probability[0, 10:12, 2:6] = 0.8  # a gap that only 0.9 closes
    return save(tmp_path / "p.tif", probability), save(tmp_path / "t.tif", true.astype(np.uint8) * 255)


def test_of_probabilities_the_best_threshold_counts(membranes: tuple[Path, Path]) -> None:
    result = evaluate(*membranes, boundaries=True, invert=True).boundaries
    assert result is not None
    assert result.thresholds["v_rand"] == pytest.approx(0.8)
    assert result.mean.v_rand == pytest.approx(1, abs=0.01)
    assert result.mean.v_info == pytest.approx(1, abs=0.01)
    assert list(result.rows) == ["p[0]", "p[1]"]
    scores = [
        [evaluate(*membranes, boundaries=True, threshold=step).boundaries.mean[name] for step in STEPS]  # type: ignore[union-attr]
        for name in ("v_rand", "v_info")
    ]
    assert result.mean.v_rand == pytest.approx(max(scores[0]))
    assert result.mean.v_info == pytest.approx(max(scores[1]))
    assert min(scores[0]) < 0.7


def test_masks_have_no_threshold_and_invert_changes_pixels_only(membranes: tuple[Path, Path], tmp_path: Path) -> None:
    mask = save(tmp_path / "m.tif", ((tifffile.imread(membranes[0]) > 0.75) * 255).astype(np.uint8))
    result, other = (evaluate(mask, membranes[1], boundaries=True, invert=invert) for invert in (False, True))
    assert result.boundaries is not None
    assert other.boundaries is not None
    assert result.boundaries.thresholds == {}
    assert result.boundaries.mean == other.boundaries.mean
    assert result.mean.iou != other.mean.iou
    assert result.boundaries.rows["m[0]"].counts[0].pixels == (tifffile.imread(membranes[1])[0] > 0).sum()


def test_membranes_may_be_drawn_as_foreground(membranes: tuple[Path, Path], tmp_path: Path) -> None:
    turned = save(tmp_path / "turned.tif", 255 - tifffile.imread(membranes[1]))
    probability = save(tmp_path / "wall.tif", 1 - tifffile.imread(membranes[0]))
    one = evaluate(*membranes, boundaries=True, threshold=0.85).boundaries
    other = evaluate(probability, turned, boundaries=True, threshold=0.15).boundaries
    assert one is not None
    assert other is not None
    assert other.mean == one.mean


def test_everything_is_written_and_shown(membranes: tuple[Path, Path], tmp_path: Path) -> None:
    result = evaluate(*membranes, boundaries=True)
    assert result.boundaries is not None
    result.write_json(tmp_path / "scores.json")
    result.write_csv(tmp_path / "scores.csv")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["boundaries"]["mean"]["v_rand"] == result.boundaries.mean.v_rand
    assert written["boundaries"]["thresholds"] == result.boundaries.thresholds
    with (tmp_path / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["v_info"]) for line in lines] == [row["v_info"] for row in written["rows"]]
    console = Console(file=io.StringIO(), width=120)
    console.print(result.boundaries.table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("V_Rand", "V_info", "VOI split", "p[1]", "Mean of 2", "v_rand at 0.8"):
        assert word in text


def test_what_is_not_annotated_does_not_count(tmp_path: Path) -> None:
    true = (~walls()).astype(np.uint8)
    marked, predicted = true.copy(), true.copy()
    marked[:, 25:], predicted[:, 25:] = 9, 0
    result = evaluate(
        save(tmp_path / "p.tif", predicted), save(tmp_path / "t.tif", marked), boundaries=True, ignore=9
    ).boundaries
    assert result is not None
    assert result.mean.v_rand == pytest.approx(1)
    assert result.rows["p"].counts[0].pixels == true[:, :25].sum()


def test_labels_of_volumes_are_compared_as_in_cremi(tmp_path: Path) -> None:
    _, true = make_nuclei((8, 40, 40), 0)
    predicted = true.copy()
    predicted[predicted == 2] = 1
    predicted[:, :, 20:][predicted[:, :, 20:] == 3] = 99
    given = save(tmp_path / "p.tif", predicted), save(tmp_path / "t.tif", true)
    result = evaluate(*given, boundaries=True, dims=3).boundaries
    assert result is not None
    error, *_ = adapted_rand_error(true, predicted, ignore_labels=(0,))
    assert result.mean.v_rand == pytest.approx(1 - error, abs=1e-4)
    splits, mergers = variation_of_information(true[true > 0], predicted[true > 0])
    assert (result.mean.voi_split, result.mean.voi_merge) == pytest.approx((splits, mergers))


def test_what_cannot_be_is_said(membranes: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="by their numbers"):
        evaluate(*membranes, boundaries=True, dims=3)
    with pytest.raises(ConfigError, match="3 classes"):
        evaluate(*membranes, boundaries=True, classes=3)


@pytest.mark.skipif(not EM_LABELS.exists(), reason="needs ../shared/data/em")
def test_real_membranes_that_are_drawn_thicker_score_as_well(tmp_path: Path) -> None:
    true = tifffile.imread(EM_LABELS)[24, :256, :256]
    thick = ndimage.grey_erosion(true, (3, 3))
    given = save(tmp_path / "p.tif", thick), save(tmp_path / "t.tif", true)
    result = evaluate(*given, boundaries=True).boundaries
    assert result is not None
    assert result.mean.v_rand > 0.9
    same = evaluate(given[1], given[1], boundaries=True).boundaries
    assert same is not None
    assert (same.mean.v_rand, same.mean.v_info) == pytest.approx((1, 1))
