from __future__ import annotations

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

import unetkit.scoring.compared
from unetkit.foundation.errors import ConfigError, DataError, ImageError
from unetkit.scoring.evaluation import evaluate
from unetkit.scoring.instances import match_instances
from unetkit.scoring.pixels import count_voxels
from unetkit.synthetic import make_nuclei, write_volume

VOXEL_UM = (2.0, 0.5, 0.5)
SIZE = (16, 20, 24)


def ball(z: float, y: float, x: float, radius: float = 5.0, size: tuple[int, int, int] = SIZE) -> NDArray[np.bool_]:
    """Return a ball; lengths in shortest sides of a voxel."""
    places = np.ogrid[tuple(slice(0, n) for n in size)]
    mask: NDArray[np.bool_] = ((places[0] - z) * 4) ** 2 + (places[1] - y) ** 2 + (places[2] - x) ** 2 <= radius**2
    return mask


def save(path: Path, mask: NDArray[Any], voxel_um: tuple[float, float, float] = VOXEL_UM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, mask, voxel_um)
    return path


def files(tmp_path: Path, predicted: NDArray[Any], true: NDArray[Any]) -> tuple[Path, Path]:
    return save(tmp_path / "p.tif", predicted.astype(np.uint8)), save(tmp_path / "t.tif", true.astype(np.uint8))


def test_a_volume_is_one_row(tmp_path: Path) -> None:
    true, predicted = ball(8, 10, 12), ball(8, 11, 12)
    result = evaluate(*files(tmp_path, predicted, true), dims=3)
    assert [row.name for row in result.rows] == ["p"]
    assert result.rows[0].counts == count_voxels(predicted, true)
    assert result.unit == "µm"
    assert result.pooled.dice == pytest.approx(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))
    assert result.rows[0].scores.hd95 == pytest.approx(0.5)  # one pixel of 0.5 µm
    assert 0 < result.rows[0].scores.assd < 0.5


def test_without_a_word_a_stack_is_planes(tmp_path: Path) -> None:
    given = files(tmp_path, ball(8, 10, 12), ball(8, 10, 12))
    assert len(evaluate(*given).rows) == 16
    assert "boundary_f1" in evaluate(*given).pooled


@pytest.mark.parametrize(("tolerance", "agree"), [("0.5um", True), ("0.4um", False), (1, True), ("0.0005mm", True)])
def test_surfaces_agree_within_a_tolerance(tmp_path: Path, tolerance: float | str, agree: bool) -> None:
    given = files(tmp_path, ball(8, 11, 12), ball(8, 10, 12))
    result = evaluate(*given, dims=3, tolerance=tolerance)
    assert (result.pooled.surface_dice == 1) == agree
    assert result.unit == ("mm" if str(tolerance).endswith("mm") else "µm")
    factor = 1000 if result.unit == "mm" else 1
    assert factor * result.rows[0].scores.hd95 == pytest.approx(0.5)


def test_large_voxels_are_measured_in_mm(tmp_path: Path) -> None:
    nifti = pytest.importorskip("nibabel") and tmp_path / "t.nii.gz"
    true = save(nifti, ball(8, 10, 12).astype(np.uint8), (2000.0, 800.0, 800.0))
    result = evaluate(ball(9, 10, 12).astype(np.uint8), true)  # NIfTI says that it is a volume
    assert (len(result.rows), result.unit) == (1, "mm")
    assert result.rows[0].scores.hd95 == pytest.approx(2)


def test_bands_and_planes_give_the_result_of_the_whole_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    masks = [ndimage.gaussian_filter(rng.standard_normal(SIZE), 2) > 0 for _ in range(2)]
    given = files(tmp_path, *masks)
    whole = evaluate(*given, dims=3)
    monkeypatch.setattr(unetkit.scoring.compared, "BAND_PIXELS", 24 * 7)
    assert evaluate(*given, dims=3).rows == whole.rows
    assert evaluate(*masks, dims=3, pixel_size_um=VOXEL_UM).rows[0].scores == whole.rows[0].scores


def test_classes_are_scored_each(tmp_path: Path) -> None:
    true = np.where(ball(5, 10, 7), 1, np.where(ball(11, 10, 16), 2, 0))
    predicted = np.where(ball(5, 10, 7), 1, np.where(ball(11, 11, 16), 2, 0))
    result = evaluate(*files(tmp_path, predicted, true), dims=3, classes=3)
    assert [(row.class_number, row.scores.dice == 1, row.scores.hd95 > 0) for row in result.rows] == [
        (1, True, False),
        (2, False, True),
    ]


def test_objects_are_matched_over_the_planes(tmp_path: Path) -> None:
    _, true = make_nuclei((12, 48, 48), 0)
    predicted = true.copy()
    predicted[true == 2] = 0
    predicted[:, :, 24:][true[:, :, 24:] == 1] = 200
    result = evaluate(save(tmp_path / "p.tif", predicted), save(tmp_path / "t.tif", true), dims=3, instances=True)
    assert result.instances is not None
    assert result.instances.counts == match_instances(predicted, true)
    assert result.instances.counts.true == true.max()


def test_a_mask_given_for_labels_is_refused(tmp_path: Path) -> None:
    several = ball(3, 6, 6, 4) | ball(12, 14, 18, 4)
    one = ball(8, 10, 12)
    given = files(tmp_path, several, several)
    with pytest.raises(DataError, match="2 separate objects"):
        evaluate(*given, dims=3, instances=True)
    crooked = one | ball(8, 10, 17, 5)  # two pieces in some planes, one in space
    crooked[8, :, 14] = False
    evaluate(*files(tmp_path / "other", crooked, crooked), dims=3, instances=True)


def test_pages_are_slabs(tmp_path: Path) -> None:
    true, predicted = ball(8, 10, 12), ball(8, 10, 13)
    given = files(tmp_path, predicted, true)
    result = evaluate(*given, dims=3, pages="2-7,10-12")
    assert [row.name for row in result.rows] == ["p[2-7]", "p[10-12]"]
    assert result.rows[0].counts == count_voxels(predicted[2:8], true[2:8])


def test_volumes_over_time_are_rows(tmp_path: Path) -> None:
    true = np.stack([ball(8, 10, 12), ball(8, 10, 8)]).astype(np.uint8)
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, true, ome=True, metadata={"axes": "TZYX"})
    result = evaluate(path, path, dims=3)
    assert [row.name for row in result.rows] == ["t[0]", "t[1]"]
    assert [row.counts.tp for row in result.rows] == [true[0].sum(), true[1].sum()]
    assert result.unit == "px"


def test_an_empty_side_is_said_and_left_out_of_the_mean(tmp_path: Path) -> None:
    for name, mask in (("a", ball(8, 11, 12)), ("b", np.zeros(SIZE, bool))):
        save(tmp_path / "pred" / f"{name}.tif", mask.astype(np.uint8))
        save(tmp_path / "true" / f"{name}.tif", ball(8, 10, 12).astype(np.uint8))
    result = evaluate(tmp_path / "pred", tmp_path / "true", dims=3)
    assert result.rows[1].scores.hd95 == float("inf")
    assert result.mean.hd95 == pytest.approx(0.5)
    assert "infinite for 1 of 2" in result.taken[-1]
    result.write_json(tmp_path / "scores.json")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["rows"][1]["hd95"] is None
    assert written["unit"] == "µm"
    assert "hd95" not in written["pooled"]
    result.write_csv(tmp_path / "scores.csv")
    assert "hd95" in (tmp_path / "scores.csv").read_text().splitlines()[0]


def test_what_is_not_annotated_is_left_out(tmp_path: Path) -> None:
    true, predicted = ball(8, 10, 12).astype(np.uint8), ball(8, 10, 12).astype(np.uint8)
    predicted[:, :, 14:] = 0
    marked = true.copy()
    marked[:, :, 14:] = 255
    result = evaluate(*files(tmp_path, predicted, marked), dims=3, ignore=255)
    assert (result.pooled.dice, result.pooled.surface_dice, result.rows[0].scores.hd95) == (1, 1, 0)
    assert result.rows[0].counts.pixels == true[:, :, :14].size


def test_the_table_shows_surfaces_with_their_units(tmp_path: Path) -> None:
    result = evaluate(*files(tmp_path, ball(8, 11, 12), ball(8, 10, 12)), dims=3, tolerance="1um")
    console = Console(file=io.StringIO(), width=140)
    console.print(result.table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("Surface Dice (1 µm)", "HD95 (µm)", "ASSD (µm)", "0.500"):
        assert word in text
    assert "Boundary" not in text


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, ball(8, 10, 12).astype(np.uint8))
    assert evaluate(plain, plain, dims=3).unit == "px"
    with pytest.raises(DataError, match="does not say how large"):
        evaluate(plain, plain, dims=3, tolerance="1mm")
    assert evaluate(plain, plain, dims=3, tolerance="1mm", pixel_size_um="2000,800,800").unit == "mm"
    with pytest.raises(ConfigError, match="two numbers"):
        evaluate(plain, plain, dims=3, pixel_size_um=(1.0, 1.0))
    with pytest.raises(ConfigError, match="tolerance is far"):
        evaluate(plain, plain, tolerance="far")
    with pytest.raises(ConfigError, match="dims is 4"):
        evaluate(plain, plain, dims=4)
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, np.ones((5, 6), np.uint8))
    with pytest.raises(ImageError, match="one plane"):
        evaluate(flat, flat, dims=3)
    known = save(tmp_path / "pred" / "b.tif", ball(8, 10, 12).astype(np.uint8))
    (tmp_path / "pred" / "a.tif").write_bytes(plain.read_bytes())
    with pytest.raises(DataError, match="other volumes do not"):
        evaluate(tmp_path / "pred", tmp_path / "pred", dims=3)
    assert evaluate(known, known, tolerance="1um").rows[0].scores.boundary_f1 == 1
