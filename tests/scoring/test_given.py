"""What masks are taken for in scores: files of every kind, and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unetkit.cli import main
from unetkit.foundation.errors import DataError, UnetkitError
from unetkit.foundation.synthetic import make_cells
from unetkit.scoring.evaluation import evaluate


def save(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.shape[-1] == 3 else "minisblack")
    return path


def disc(y: int, x: int, radius: int = 9, shape: tuple[int, int] = (50, 64)) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    mask: NDArray[np.bool_] = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return mask


def fails(error: type[UnetkitError], *words: str, **arguments: Any) -> None:
    """Check that `evaluate` raises an error that has all words in it, and a remedy."""
    with pytest.raises(error) as caught:
        evaluate(**arguments)
    assert caught.value.remedy.endswith(".")
    for word in words:
        assert word in str(caught.value)


@pytest.fixture
def labels(tmp_path: Path) -> tuple[Path, Path]:
    """Labels of three images, and a prediction that has them two pixels aside."""
    for i in range(3):
        truth = make_cells(120, 150, seed=i)[1].astype(np.uint16)
        save(tmp_path / "truth" / f"{i}_labels.tif", truth)
        save(tmp_path / "pred" / f"{i}.tif", np.roll(truth, 2, axis=1).astype(np.int32))
    return tmp_path / "pred", tmp_path / "truth"


def test_probabilities_have_the_threshold_of_half_and_it_is_said(tmp_path: Path) -> None:
    truth = disc(20, 20)
    prediction = save(tmp_path / "p.tif", np.where(truth, 0.98, 0.01).astype(np.float32))
    true = save(tmp_path / "t.tif", truth.astype(np.uint8))
    result = evaluate(prediction, true)
    assert result.pooled.dice == 1
    assert result.taken == (
        "Values from 0 to 1 are taken for probabilities: foreground is above the threshold 0.5 (p.tif).",
    )
    assert evaluate(prediction, true, threshold=0.0).taken == ()
    assert evaluate(prediction, true, threshold=0.0).pooled.precision < 0.2


def test_a_threshold_of_fractions_for_whole_numbers_is_said(tmp_path: Path) -> None:
    prediction = save(tmp_path / "p.tif", np.where(disc(20, 20), 240, 5).astype(np.uint8))
    true = save(tmp_path / "t.png", disc(20, 20))
    assert evaluate(prediction, true).pooled.dice == 1
    assert "The threshold 0.5 is far below" in evaluate(prediction, true, threshold=0.5).taken[0]
    assert evaluate(prediction, true, threshold=100).taken == ()


def test_a_truth_in_jpeg_is_read_as_in_training(tmp_path: Path) -> None:
    mask = disc(20, 20).astype(np.uint8) * 255
    prediction = save(tmp_path / "p.png", mask)
    Image.fromarray(mask).save(tmp_path / "t.jpg", quality=60)
    result = evaluate(prediction, tmp_path / "t.jpg")
    assert result.pooled.dice > 0.98
    assert "JPEG" in result.taken[0]


def test_what_was_taken_is_said_once_for_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        mask = disc(20, 20 + i).astype(np.uint8) * 255
        save(tmp_path / "pred" / f"{i}.png", mask)
        (tmp_path / "truth").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "truth" / f"{i}_mask.jpg")
    assert main(["evaluate", str(tmp_path / "pred"), str(tmp_path / "truth")]) == 0
    assert capsys.readouterr().out.count("(3 of 3 truths, such as 0_mask.jpg)") == 1


def test_a_threshold_for_a_mask_in_colours_is_refused(tmp_path: Path) -> None:
    colour = np.dstack([disc(20, 20).astype(np.uint8) * 255, *[np.zeros((50, 64), np.uint8)] * 2])
    files = save(tmp_path / "p.png", colour), save(tmp_path / "t.tif", disc(20, 20))
    assert evaluate(*files).pooled.dice == 1
    fails(DataError, "threshold", "p.png", "red", prediction=files[0], truth=files[1], threshold=3.0)


def test_arrays_are_scored_as_files_are(tmp_path: Path) -> None:
    truth = np.stack([make_cells(64, 64, seed=i)[1] for i in range(2)]).astype(np.uint16)
    prediction = np.roll(truth, 1, axis=2)
    files = save(tmp_path / "p.tif", prediction), save(tmp_path / "t.tif", truth)
    by_file, by_array = evaluate(*files, instances=True), evaluate(prediction, truth, instances=True)
    assert [row.counts for row in by_array.rows] == [row.counts for row in by_file.rows]
    assert by_array.instances is not None
    assert by_file.instances is not None
    assert by_array.instances.pooled == by_file.instances.pooled
    assert [row.name for row in by_array.rows] == ["array[0]", "array[1]"]
    assert evaluate(files[0], truth).pooled == by_file.pooled
    assert evaluate((truth[0] > 0).tolist(), truth[0]).pooled.dice == 1


@pytest.mark.parametrize("wrong", [[1, 2, 3], ["a", "b"], [[1, 2], [3]], None, np.zeros((0, 4))])
def test_what_is_no_array_is_refused(wrong: Any) -> None:
    fails(DataError, "The prediction", "path, or an array", prediction=wrong, truth=np.zeros((4, 4)))


@pytest.mark.parametrize("masked", ["prediction", "truth"])
def test_masks_among_labels_are_named(labels: tuple[Path, Path], masked: str) -> None:
    path = sorted(labels[masked == "truth"].iterdir())[1]
    save(path, (tifffile.imread(path) > 0).astype(np.uint8) * 255)
    fails(
        DataError,
        *(f"The {masked}", "looks like a mask", path.name),
        **{"prediction": labels[0], "truth": labels[1]},
        instances=True,
    )


def test_labels_beyond_32_bits_and_in_fractions_are_labels(labels: tuple[Path, Path]) -> None:
    expected = evaluate(*labels, instances=True).instances
    for path, change in zip(
        labels[0].iterdir(), (lambda a: a.astype(np.uint64) << 59, np.float32, np.float64), strict=True
    ):
        save(path, change(tifffile.imread(path)))
    result = evaluate(*labels, instances=True)
    assert result.instances == expected
    assert "numbered anew" in result.taken[0]
