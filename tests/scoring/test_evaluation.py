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
from PIL import Image
from rich.console import Console
from scipy import ndimage

import unetkit.scoring.compared
from unetkit.foundation.errors import ConfigError, DataError, ImageError, OutputError, UnetkitError
from unetkit.foundation.synthetic import make_cells
from unetkit.scoring.evaluation import evaluate
from unetkit.scoring.instances import match_instances
from unetkit.scoring.pixels import count_pixels, dice
from unetkit.scoring.result import Evaluation
from unetkit.scoring.table import instance_scores, pixel_scores

EM_LABELS = Path(__file__).parents[2] / "../shared/data/em/train-labels.tif"


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


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three predictions of 0 and 255, and their truths as instance labels under names that end in _mask or not."""
    for i, name in enumerate(("a", "b", "c")):
        save(tmp_path / "pred" / f"{name}.tif", disc(25, 30 + i).astype(np.uint8) * 255)
    save(tmp_path / "truth" / "a.tif", disc(25, 30).astype(np.uint16) * 7)
    save(tmp_path / "truth" / "b_mask.png", disc(25, 30).astype(np.uint8) * 3)
    save(tmp_path / "truth" / "c_labels.ome.tif", disc(25, 30).astype(np.uint16) * 300)
    return tmp_path / "pred", tmp_path / "truth"


def fails(error: type[UnetkitError], *words: str, **arguments: Any) -> None:
    """Check that `evaluate` raises an error that has all words in it, and a remedy."""
    with pytest.raises(error) as caught:
        evaluate(**arguments)
    assert caught.value.remedy.endswith(".")
    for word in words:
        assert word in str(caught.value)


def test_folders_are_paired_by_stem_and_scored(folders: tuple[Path, Path]) -> None:
    result = evaluate(*folders)
    assert [row.name for row in result.rows] == ["a", "b", "c"]
    expected = [count_pixels(disc(25, 30 + i), disc(25, 30)) for i in range(3)]
    assert [row.counts for row in result.rows] == expected
    assert result.rows[0].scores.dice == 1
    assert result.mean.dice == pytest.approx(np.mean([dice(counts) for counts in expected]))
    assert result.pooled == pixel_scores(expected[0] + expected[1] + expected[2])


def test_two_files_need_not_have_the_same_name(folders: tuple[Path, Path]) -> None:
    result = evaluate(folders[0] / "b.tif", folders[1] / "a.tif")
    assert [row.name for row in result.rows] == ["b"]


def test_probabilities_are_thresholded_and_the_truth_is_not(tmp_path: Path) -> None:
    truth = disc(20, 20)
    prediction = save(tmp_path / "p.tif", np.where(truth, 0.75, 0.25).astype(np.float32))
    true = save(tmp_path / "t.tif", truth.astype(np.uint8))
    assert evaluate(prediction, true, threshold=0.5).pooled.dice == 1
    assert evaluate(prediction, true, threshold=0.75).pooled.dice == 0
    assert evaluate(prediction, true).pooled.recall == 1


def test_invert_scores_the_background(tmp_path: Path) -> None:
    prediction, truth = disc(20, 22), disc(20, 20)
    files = save(tmp_path / "p.png", prediction.astype(np.uint8) * 255), save(tmp_path / "t.png", truth)
    assert evaluate(*files, invert=True).rows[0].counts == count_pixels(~prediction, ~truth)


def test_grey_masks_stored_as_rgb_are_read(tmp_path: Path) -> None:
    mask = disc(20, 20).astype(np.uint8) * 255
    files = save(tmp_path / "p.png", np.stack([mask] * 3, axis=-1)), save(tmp_path / "t.png", mask)
    assert evaluate(*files).pooled.dice == 1


def test_classes_get_a_row_each(tmp_path: Path) -> None:
    truth = (disc(20, 20) + 2 * disc(20, 50)).astype(np.uint8)
    prediction = (disc(20, 20) + 2 * disc(21, 50)).astype(np.uint8)
    files = save(tmp_path / "p.tif", prediction), save(tmp_path / "t.tif", truth)
    result = evaluate(*files, classes=3)
    assert [(row.name, row.class_number) for row in result.rows] == [("p", 1), ("p", 2)]
    assert result.rows[0].scores.dice == 1
    assert result.rows[1].counts == count_pixels(prediction == 2, truth == 2)
    assert result.of_class(2).pooled == result.rows[1].scores
    assert "Pooled, class 2" in text_of(result)


def test_pages_of_stacks_are_rows(tmp_path: Path) -> None:
    truth = np.stack([disc(25, 20 + i) for i in range(5)]).astype(np.uint8) * 255
    files = save(tmp_path / "p.tif", truth[::-1]), save(tmp_path / "t.tif", truth)
    assert [row.name for row in evaluate(*files).rows] == [f"p[{i}]" for i in range(5)]
    chosen = evaluate(*files, pages="1-2,4")
    assert [row.name for row in chosen.rows] == ["p[1]", "p[2]", "p[4]"]
    assert [row.scores.dice for row in chosen.rows][1] == 1


@pytest.mark.parametrize("tolerance", [0.0, 2.0, 5.5])
def test_bands_give_the_result_of_the_whole_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tolerance: float
) -> None:
    rng = np.random.default_rng(0)
    prediction, truth = (ndimage.gaussian_filter(rng.standard_normal((211, 97)), 3) > 0 for _ in range(2))
    files = save(tmp_path / "p.tif", prediction.astype(np.uint8)), save(tmp_path / "t.tif", truth.astype(np.uint8))
    monkeypatch.setattr(unetkit.scoring.compared, "BAND_PIXELS", 97 * 10)
    assert evaluate(*files, tolerance=tolerance).rows[0].counts == count_pixels(prediction, truth, tolerance)


def test_json_and_csv_hold_everything(folders: tuple[Path, Path], tmp_path: Path) -> None:
    result = evaluate(*folders)
    result.write_json(tmp_path / "scores.json")
    result.write_csv(tmp_path / "scores.csv")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["pooled"]["dice"] == result.pooled.dice
    assert written["settings"]["tolerance"] == 2
    with (tmp_path / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["a", "b", "c"]
    assert [float(line["dice"]) for line in lines] == [row["dice"] for row in written["rows"]]
    assert [int(line["tp"]) for line in lines] == [row.counts.tp for row in result.rows]


def test_results_are_not_overwritten_unasked(folders: tuple[Path, Path], tmp_path: Path) -> None:
    result = evaluate(*folders)
    path = tmp_path / "scores.json"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"scores\.json exists"):
        result.write_json(path)
    assert path.read_text() == "mine"
    result.write_json(path, overwrite=True)
    assert "pooled" in json.loads(path.read_text())
    with pytest.raises(OutputError, match="nowhere does not exist"):
        result.write_csv(tmp_path / "nowhere" / "scores.csv")


def text_of(result: Evaluation) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(result.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_images_means_and_pooled_scores(folders: tuple[Path, Path]) -> None:
    text = text_of(evaluate(*folders))
    for word in ("Boundary F1 (2 px)", " a ", "1.000", "Mean of 3", "Pooled"):
        assert word in text


def test_a_long_table_shows_the_worst_images(tmp_path: Path) -> None:
    for i in range(25):
        save(tmp_path / "pred" / f"cell{i:02}.png", disc(25, 15 + i).astype(np.uint8) * 255)
        save(tmp_path / "truth" / f"cell{i:02}.png", disc(25, 15).astype(np.uint8) * 255)
    text = text_of(evaluate(tmp_path / "pred", tmp_path / "truth"))
    assert "cell24" in text
    assert "cell04" not in text
    assert "Mean of 25" in text
    assert "lowest Dice of 25" in text


def test_a_prediction_without_truth_is_named(folders: tuple[Path, Path]) -> None:
    save(folders[0] / "extra.png", disc(9, 9).astype(np.uint8))
    fails(DataError, "extra", "no true mask", "1 in all", prediction=folders[0], truth=folders[1])


def test_a_truth_without_prediction_is_named(folders: tuple[Path, Path]) -> None:
    for i in range(5):
        save(folders[1] / f"extra{i}.png", disc(9, 9).astype(np.uint8))
    fails(DataError, "extra0.png, extra1.png, extra2.png, ...", "5 in all", prediction=folders[0], truth=folders[1])


def test_two_masks_for_one_image_are_refused(folders: tuple[Path, Path]) -> None:
    save(folders[1] / "a_mask.png", disc(9, 9).astype(np.uint8))
    fails(DataError, "'a'", prediction=folders[0], truth=folders[1])


def test_sizes_that_differ_are_refused(tmp_path: Path) -> None:
    files = save(tmp_path / "p.tif", np.ones((5, 6), np.uint8)), save(tmp_path / "t.tif", np.ones((6, 6), np.uint8))
    fails(DataError, "5 x 6", "6 x 6", "p.tif", "t.tif", prediction=files[0], truth=files[1])


def test_a_file_and_a_folder_are_refused(folders: tuple[Path, Path]) -> None:
    fails(DataError, "folder", prediction=folders[0], truth=folders[1] / "a.tif")


def test_missing_and_broken_files_are_refused(folders: tuple[Path, Path]) -> None:
    fails(DataError, "nothing", "does not exist", prediction=folders[0] / "nothing", truth=folders[1])
    (folders[0] / "a.tif").write_bytes(b"II*\0 and then nothing")
    fails(ImageError, "a.tif", prediction=folders[0], truth=folders[1])


def test_pixels_that_are_no_mask_are_refused(tmp_path: Path) -> None:
    truth = save(tmp_path / "t.tif", np.ones((4, 4), np.uint8))
    bad = save(tmp_path / "p.tif", np.full((4, 4), np.nan, np.float32))
    fails(DataError, "p.tif", "finite", prediction=bad, truth=truth)
    colour = save(tmp_path / "c.png", np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8))
    fails(DataError, "c.png", "16 colours", prediction=colour, truth=truth)
    high = save(tmp_path / "h.tif", np.full((4, 4), 9, np.uint8))
    fails(DataError, "h.tif", "9", "0 to 2", prediction=high, truth=truth, classes=3)


@pytest.mark.parametrize("settings", [{"classes": 1}, {"classes": 3, "invert": True}, {"tolerance": -1.0}])
def test_settings_without_meaning_are_refused(folders: tuple[Path, Path], settings: dict[str, Any]) -> None:
    fails(ConfigError, next(iter(settings)), prediction=folders[0], truth=folders[1], **settings)


@pytest.mark.parametrize("pages", ["", "2-1", "x", "7"])
def test_pages_that_do_not_exist_are_refused(folders: tuple[Path, Path], pages: str) -> None:
    fails(DataError, "pages", prediction=folders[0], truth=folders[1], pages=pages)


# Objects


@pytest.fixture
def labels(tmp_path: Path) -> tuple[Path, Path]:
    """Labels of three images, and a prediction that has them two pixels aside."""
    for i in range(3):
        truth = make_cells(120, 150, seed=i)[1].astype(np.uint16)
        save(tmp_path / "truth" / f"{i}_labels.tif", truth)
        save(tmp_path / "pred" / f"{i}.tif", np.roll(truth, 2, axis=1).astype(np.int32))
    return tmp_path / "pred", tmp_path / "truth"


def test_objects_are_scored_beside_the_pixels(labels: tuple[Path, Path]) -> None:
    result, pixels = evaluate(*labels, instances=True), evaluate(*labels)
    truths = [make_cells(120, 150, seed=i)[1] for i in range(3)]
    expected = [match_instances(np.roll(truth, 2, axis=1), truth) for truth in truths]
    assert [row.instances for row in result.rows] == expected
    assert result.instances is not None
    assert result.instances.pooled == instance_scores(expected[0] + expected[1] + expected[2])
    assert result.instances.mean.pq == pytest.approx(np.mean([instance_scores(counts).pq for counts in expected]))
    assert result.pooled == pixels.pooled
    assert pixels.instances is None


def test_objects_in_bands_are_those_of_the_whole_image(
    labels: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(*labels, instances=True)
    monkeypatch.setattr(unetkit.scoring.compared, "BAND_PIXELS", 150 * 7)
    assert evaluate(*labels, instances=True) == whole


def test_objects_of_a_stack_are_scored_page_by_page(tmp_path: Path) -> None:
    truth = np.stack([make_cells(120, 150, seed=i)[1] for i in range(3)]).astype(np.uint16)
    files = save(tmp_path / "p.tif", truth[[0, 1, 1]]), save(tmp_path / "t.tif", truth)
    result = evaluate(*files, pages="1-2", instances=True).instances
    assert result is not None
    assert list(result.rows) == ["p[1]", "p[2]"]
    assert instance_scores(result.rows["p[1]"]).pq == 1
    assert result.rows["p[2]"] == match_instances(truth[1], truth[2])


def test_scores_of_objects_are_written_and_shown(labels: tuple[Path, Path], tmp_path: Path) -> None:
    result = evaluate(*labels, instances=True)
    assert result.instances is not None
    result.write_json(tmp_path / "scores.json")
    result.write_csv(tmp_path / "scores.csv")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["settings"]["instances"] is True
    assert written["instances"]["pooled"]["ap50"] == result.instances.pooled.ap[0]
    assert written["instances"]["mean"]["pq"] == result.instances.mean.pq
    with (tmp_path / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line, row, counts in zip(lines, written["rows"], result.instances.rows.values(), strict=True):
        assert float(line["instance_ap95"]) == row["instance_ap95"] == instance_scores(counts).ap[-1]
        assert int(line["instance_matches50"]) == counts.matches[0]
        assert int(line["instance_true"]) == counts.true
    console = Console(file=io.StringIO(), width=120)
    console.print(result.instances.table())
    assert isinstance(console.file, io.StringIO)
    for word in (
        "AP 0.5",
        "Mean AP",
        "PQ",
        "Objects / true",
        "Mean of 3",
        "Pooled",
        f"{result.instances.pooled.ap[0]:.3f}",
    ):
        assert word in console.file.getvalue()


@pytest.mark.parametrize("masked", ["prediction", "truth"])
@pytest.mark.parametrize("value", [1, 255])
def test_masks_are_not_taken_for_labels(labels: tuple[Path, Path], masked: str, value: int) -> None:
    folder = labels[masked == "truth"]
    for path in folder.iterdir():
        save(path, (tifffile.imread(path) > 0).astype(np.uint8) * value)
    arguments = {"prediction": labels[0], "truth": labels[1]}
    fails(DataError, f"The {masked}", "looks like a mask", "--output labels", **arguments, instances=True)
    assert evaluate(*labels).pooled.dice > 0.5


def test_a_stack_of_masks_is_looked_at_on_the_chosen_pages(tmp_path: Path) -> None:
    one, two = disc(25, 15), disc(25, 15) | disc(25, 50)
    files = [save(tmp_path / f"{name}.tif", np.stack([one, two]).astype(np.uint8)) for name in ("p", "t")]
    assert evaluate(*files, pages="0", instances=True).rows[0].instances == match_instances(*[one.view(np.uint8)] * 2)
    fails(DataError, "p.tif has 2 separate", prediction=files[0], truth=files[1], pages="1", instances=True)


def test_an_object_in_two_pieces_is_no_mask_where_others_have_numbers(tmp_path: Path) -> None:
    pieces, others = disc(25, 15) | disc(25, 50), disc(25, 15) + 2 * disc(25, 50)
    for name, pixels in (("a", pieces), ("b", others)):
        for folder in ("pred", "truth"):
            save(tmp_path / folder / f"{name}.tif", pixels.astype(np.uint16))
    result = evaluate(tmp_path / "pred", tmp_path / "truth", instances=True).instances
    assert result is not None
    assert result.pooled.pq == 1


def test_images_without_objects_are_scored(tmp_path: Path) -> None:
    files = save(tmp_path / "p.tif", np.zeros((9, 9), np.uint16)), save(tmp_path / "t.tif", np.zeros((9, 9), np.uint16))
    result = evaluate(*files, instances=True).instances
    assert result is not None
    assert result.pooled.pq == 1


def test_what_is_no_label_is_refused_by_name(labels: tuple[Path, Path]) -> None:
    save(labels[0] / "1.tif", np.full((120, 150), 0.5, np.float32))
    fails(DataError, "1.tif", "float32", "--output labels", prediction=labels[0], truth=labels[1], instances=True)
    save(labels[0] / "1.tif", np.full((120, 150), -1, np.int16))
    fails(DataError, "1.tif", "label -1", prediction=labels[0], truth=labels[1], instances=True)


@pytest.mark.parametrize("settings", [{"threshold": 0.5}, {"invert": True}, {"classes": 3}])
def test_settings_that_have_no_meaning_for_labels_are_refused(
    labels: tuple[Path, Path], settings: dict[str, Any]
) -> None:
    fails(ConfigError, next(iter(settings)), prediction=labels[0], truth=labels[1], instances=True, **settings)


@pytest.mark.skipif(not EM_LABELS.exists(), reason="the EM stack is not here")
def test_membranes_of_the_em_stack(tmp_path: Path) -> None:
    labels = tifffile.imread(EM_LABELS)
    neurons = ndimage.binary_erosion(labels > 0, np.ones((1, 3, 3)))
    prediction = save(tmp_path / "prediction.tif", neurons.astype(np.uint8) * 255)
    result = evaluate(prediction, EM_LABELS, pages="24-26", invert=True)
    assert [row.name for row in result.rows] == ["prediction[24]", "prediction[25]", "prediction[26]"]
    assert result.pooled.recall == 1  # thicker membranes cover the true ones
    assert 0.5 < result.pooled.precision < 0.9
    assert result.pooled.accuracy == pytest.approx(np.mean((labels[24:] > 0) == neurons[24:]))
