"""`unetkit measure`: label files of any program, with or without an image, become tables; or it is said why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from object_tables import blobs
from PIL import Image
from pyarrow.csv import read_csv
from pyarrow.parquet import read_table
from skimage.measure import regionprops_table

import unetkit
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, DataError, ImageError, OutputError, UnetkitError
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.stored import Step
from unetkit.io.files import create_sink
from unetkit.objects import label_file

FOREIGN = Path(__file__).parents[3] / "shared" / "data" / "foreign"

LABELS = blobs((70, 60), 4, 1.5).astype(np.uint16)
IMAGE = np.random.default_rng(0).integers(0, 4000, LABELS.shape).astype(np.uint16)


def read(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = (read_csv if path.suffix == ".csv" else read_table)(path).to_pydict()
    return found


def measured(tmp_path: Path, labels: Path, image: Path | None = None, **options: Any) -> dict[str, list[Any]]:
    unetkit.measure(labels, image, tmp_path / "objects.parquet", **options)
    return read(tmp_path / "objects.parquet")


def write_float(path: Path) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), LABELS.astype(np.float32), imagej=True)
    return path.with_suffix(".tif")


def write_int64(path: Path) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), LABELS.astype(np.int64))
    return path.with_suffix(".tif")


def write_int32_tiles(path: Path) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), LABELS.astype(np.int32), tile=(16, 16), compression="zlib")
    return path.with_suffix(".tif")


def write_png(path: Path) -> Path:
    Image.fromarray(LABELS).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def write_palette(path: Path) -> Path:
    picture = Image.fromarray(LABELS.astype(np.uint8), "P")
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    picture.save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def write_zarr(path: Path) -> Path:
    create_sink(path.with_suffix(".zarr"), OutputSpec(LABELS.shape, LABELS.dtype)).write([LABELS[None]])
    return path.with_suffix(".zarr")


def write_plain_zarr(path: Path) -> Path:
    zarr.save(path.with_suffix(".zarr"), LABELS)
    return path.with_suffix(".zarr")


@pytest.mark.parametrize(
    "write",
    [write_float, write_int64, write_int32_tiles, write_png, write_palette, write_zarr, write_plain_zarr],
)
def test_labels_of_any_program_are_measured(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    found = measured(tmp_path, write(tmp_path / "labels"))
    true = regionprops_table(LABELS, properties=("label", "area", "perimeter"))
    assert found["label"] == true["label"].tolist()
    assert found["area_px"] == true["area"].tolist()
    np.testing.assert_allclose(found["perimeter_px"], true["perimeter"])


def write_pair(folder: Path, labels: NDArray[Any] = LABELS, image: NDArray[Any] = IMAGE) -> tuple[Path, Path]:
    tifffile.imwrite(folder / "labels.tif", labels)
    tifffile.imwrite(folder / "image.tif", image)
    return folder / "labels.tif", folder / "image.tif"


def test_intensities_are_those_of_the_image(tmp_path: Path) -> None:
    found = measured(tmp_path, *write_pair(tmp_path), ring="3")
    true = regionprops_table(LABELS, IMAGE, properties=("intensity_mean", "intensity_median", "intensity_max"))
    for name in ("mean", "median", "max"):
        np.testing.assert_allclose(found[f"intensity_{name}"], true[f"intensity_{name}"])
    assert found["intensity_sum"] == [int(IMAGE[label == LABELS].sum()) for label in found["label"]]
    assert {"ring_area_px", "intensity_ring_median"} <= found.keys()


def test_strips_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scattered = (LABELS % 5).astype(np.uint8)  # each label in many pieces
    pair = write_pair(tmp_path, scattered)
    tables = []
    for pixels in (1 << 22, 60 * 7):
        monkeypatch.setattr(label_file, "STRIP_PIXELS", pixels)
        unetkit.measure(*pair, tmp_path / "objects.csv", ring="4", overwrite=True)
        tables.append((tmp_path / "objects.csv").read_bytes())
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 5


def test_each_plane_has_its_rows(tmp_path: Path) -> None:
    labels = np.stack([LABELS, LABELS[::-1], LABELS * 0, LABELS, LABELS, LABELS]).reshape(2, 3, 70, 60)
    spec = OutputSpec(
        LABELS.shape,
        labels.dtype,
        plane_axes="TZ",
        plane_shape=(2, 3),
        pixel_size_um=(0.5, 0.5),
        steps=(Step("Z", 2.0, "µm"),),
    )
    create_sink(tmp_path / "labels.tif", spec).write(labels.reshape(-1, 1, 70, 60))
    found = measured(tmp_path, tmp_path / "labels.tif")
    count = len(np.unique(LABELS)) - 1
    places = [(t, z) for t, z in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2)) for _ in range(count)]
    assert list(zip(found["t"], found["z"], strict=True)) == places
    assert found["z_um"] == [2.0 * z for _, z in places]
    assert found["label"] == [*range(1, count + 1)] * 5
    np.testing.assert_allclose(found["area_um2"], np.array(found["area_px"]) / 4)


def test_channels_have_their_names(tmp_path: Path) -> None:
    labels, _ = write_pair(tmp_path)
    image = tmp_path / "image.ome.tif"
    tifffile.imwrite(
        image, np.stack([IMAGE, IMAGE // 2]), metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "Ki67"]}}
    )
    assert {"DAPI_mean", "Ki67_mean"} <= measured(tmp_path, labels, image).keys()
    picked = measured(tmp_path, labels, image, channels="Ki67", overwrite=True)
    assert picked["Ki67_max"] == [int(IMAGE[label == LABELS].max() // 2) for label in picked["label"]]
    assert "DAPI_mean" not in picked
    with pytest.raises(ImageError, match="no channel 'GFP'"):
        measured(tmp_path, labels, image, channels="GFP", overwrite=True)


def test_an_axis_without_a_name_is_the_channels_of_labels_of_one_plane(tmp_path: Path) -> None:
    labels, image = write_pair(tmp_path, image=np.stack([IMAGE] * 2))
    assert {"channel_0_mean", "channel_1_mean"} <= measured(tmp_path, labels, image).keys()


def test_colours_are_three_channels(tmp_path: Path) -> None:
    labels, _ = write_pair(tmp_path)
    Image.fromarray(np.stack([IMAGE.astype(np.uint8)] * 3, -1)).save(tmp_path / "image.png")
    assert {"red_mean", "green_mean", "blue_mean"} <= measured(tmp_path, labels, tmp_path / "image.png").keys()


def test_a_pixel_size_comes_from_the_labels_the_image_or_the_user(tmp_path: Path) -> None:
    labels, image = write_pair(tmp_path)
    assert "area_um2" not in measured(tmp_path, labels, image)
    given = measured(tmp_path, labels, pixel_size_um=2.0, overwrite=True)
    np.testing.assert_allclose(given["area_um2"], np.array(given["area_px"]) * 4)
    create_sink(image, OutputSpec(IMAGE.shape, IMAGE.dtype, pixel_size_um=(0.5, 0.5)), overwrite=True).write(
        [IMAGE[None]]
    )
    found = measured(tmp_path, labels, image, ring="2um", overwrite=True)
    np.testing.assert_allclose(found["area_um2"], np.array(found["area_px"]) / 4)
    same = measured(tmp_path, labels, image, ring="4", overwrite=True)
    assert found == same
    said: list[str] = []
    create_sink(labels, OutputSpec(LABELS.shape, LABELS.dtype, pixel_size_um=(1.0, 1.0)), overwrite=True).write(
        [LABELS[None]]
    )
    found = measured(tmp_path, labels, image, overwrite=True, log=said.append)
    assert found["area_um2"] == found["area_px"]
    assert "those of the labels count" in said[0]


def test_classes_that_unetkit_noted_are_a_column(tmp_path: Path) -> None:
    last = int(LABELS.max())
    notes = (("object_classes", f"tumour 1-3, lumen none, stroma 4-{last}"),)
    create_sink(tmp_path / "labels.tif", OutputSpec(LABELS.shape, LABELS.dtype, notes=notes)).write([LABELS[None]])
    found = measured(tmp_path, tmp_path / "labels.tif")
    assert found["class"] == ["tumour"] * 3 + ["stroma"] * (last - 3)


def test_a_folder_has_a_table_for_each_and_a_summary(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    spec = OutputSpec(LABELS.shape, LABELS.dtype, pixel_size_um=(0.5, 0.5))
    create_sink(tmp_path / "labels" / "a_cp_masks.tif", spec).write([LABELS[None]])
    tifffile.imwrite(tmp_path / "labels" / "b_cp_masks.tif", LABELS * 0)
    for name in "ab":
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", IMAGE)
    done = unetkit.measure(tmp_path / "labels", tmp_path / "images", tmp_path / "tables")
    assert [one.objects for one in done] == [LABELS.max(), 0]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "a_cp_masks.csv",
        "b_cp_masks.csv",
        "summary.csv",
    ]
    table, empty, summary = (
        read(tmp_path / "tables" / f"{name}.csv") for name in ("a_cp_masks", "b_cp_masks", "summary")
    )
    assert empty["label"] == []
    area, pixels = np.array(table["area_px"]), LABELS.size
    assert summary["image"] == ["a_cp_masks", "b_cp_masks"]
    assert summary["objects"] == [len(area), 0]
    assert summary["objects_touching_border"] == [sum(table["touches_border"]), 0]
    assert summary["density_per_mm2"] == [pytest.approx(len(area) / (pixels * 0.25e-6), rel=1e-6), None]
    assert summary["density_per_megapixel"] == [pytest.approx(len(area) / pixels * 1e6, rel=1e-6), 0]
    assert summary["mean_area_px"] == [pytest.approx(area.mean(), rel=1e-6), None]
    assert summary["median_area_um2"] == [pytest.approx(np.median(area) / 4, rel=1e-6), None]
    assert summary["foreground_share"] == [pytest.approx((LABELS > 0).mean(), rel=1e-6), 0]


def test_one_bad_file_of_a_folder_does_not_keep_the_others(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "good.tif", LABELS)
    tifffile.imwrite(tmp_path / "labels" / "bad.tif", LABELS / 3)
    with pytest.raises(
        DataError, match=r"1 of 2 label images were not measured: .*bad.tif holds values with fractions"
    ):
        unetkit.measure(tmp_path / "labels", None, tmp_path / "tables")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["good.csv", "summary.csv"]


BAD = LABELS.astype(np.int32)
BAD_LABELS = {
    "fractions": (LABELS / 3, "fractions, such as probabilities"),
    "negative": (np.where(BAD == 1, -4, BAD), "negative values, such as -4"),
    "nan": (np.where(BAD == 1, np.nan, BAD), "NaN or infinite"),
    "large": (LABELS.astype(np.int64) << 40, "labels up to"),
    "colours": (np.stack([LABELS.astype(np.uint8)] * 3, -1), "3 channels"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_what_is_no_label_image_is_said_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    values, problem = BAD_LABELS[kind]
    labels, _ = write_pair(tmp_path, values)
    with pytest.raises(DataError, match=problem):
        unetkit.measure(labels, None, tmp_path / "objects.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tif", "labels.tif"]


def test_an_image_in_the_place_of_the_labels_is_said(tmp_path: Path) -> None:
    labels, image = write_pair(tmp_path, np.tile(LABELS, (4, 4)), np.tile(IMAGE, (4, 4)))
    with pytest.raises(DataError, match=r"image.tif changes its values from pixel to pixel"):
        unetkit.measure(image, labels, tmp_path / "objects.csv")
    assert not (tmp_path / "objects.csv").exists()


def test_an_image_that_does_not_fit_is_said(tmp_path: Path) -> None:
    labels, image = write_pair(tmp_path, image=IMAGE[1:])
    with pytest.raises(DataError, match=r"70 x 60 pixels, but .*image.tif 69 x 60"):
        unetkit.measure(labels, image, tmp_path / "objects.csv")
    labels, image = write_pair(tmp_path, np.stack([LABELS] * 2), np.stack([IMAGE] * 5))
    with pytest.raises(DataError, match=r"2 planes \(axes QYX\), but .*5 planes"):
        unetkit.measure(labels, image, tmp_path / "objects.csv")


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        (["labels.tif", "image.tif", "table.xlsx"], OutputError, r"suffix '\.xlsx'"),
        (["labels.tif", "image.tif", "."], OutputError, "is a folder"),
        (["labels.tif", "image.tif", "labels.tif"], OutputError, "exists"),
        (["labels.tif", ".", "table.csv"], DataError, "are a folder and a file"),
        (["missing.tif", None, "table.csv"], DataError, "no file or folder missing"),
        (["labels.tif", "missing.tif", "table.csv"], DataError, "no file or folder missing"),
        ([".", None, "tables.csv"], OutputError, "is a file, but"),
    ],
)
def test_bad_arguments_are_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: type[UnetkitError], problem: str
) -> None:
    write_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=problem):
        unetkit.measure(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tif", "labels.tif"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ring": "5um"}, "do not say how large their pixels are"),
        ({"ring": "wide"}, "is no width"),
        ({"ring": "0.5"}, "0.5 pixels wide"),
        ({"ring": "5000"}, "5000 pixels wide"),
        ({"pixel_size_um": 0.0}, "has no meaning"),
        ({"channels": "-1"}, "does not name channels"),
    ],
)
def test_settings_without_a_meaning_are_said(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        unetkit.measure(*write_pair(tmp_path), tmp_path / "objects.csv", **options)


def test_a_ring_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ring has no meaning without an image"):
        unetkit.measure(write_pair(tmp_path)[0], None, tmp_path / "objects.csv", ring="3")


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_is_one_object_and_that_is_said(tmp_path: Path, value: int) -> None:
    labels, _ = write_pair(tmp_path, ((LABELS > 0) * value).astype(np.uint8))
    said: list[str] = []
    assert len(measured(tmp_path, labels, log=said.append)["label"]) == 1
    pieces = len(np.unique(LABELS)) - 1
    assert f"no value but 0 and {value}, in {pieces} separate pieces, like a mask" in said[0]


@pytest.mark.parametrize("value", [1, 7, 255])
def test_one_object_is_no_mask(tmp_path: Path, value: int) -> None:
    labels, _ = write_pair(tmp_path, ((LABELS == 3) * value).astype(np.uint8))
    said: list[str] = []
    measured(tmp_path, labels, log=said.append)
    assert said == []


@pytest.mark.parametrize("kind", ["mask", "probabilities", "stack"])
def test_the_connected_parts_of_a_mask_are_numbered_on_request(tmp_path: Path, kind: str) -> None:
    mask = LABELS > 0
    pixels = {
        "mask": (mask * 255).astype(np.uint8),
        "probabilities": np.where(mask, 0.9, 0.2).astype(np.float32) - (mask & (IMAGE > 2000)) * np.float32(0.01),
        "stack": np.stack([mask, mask]).astype(np.uint8),
    }[kind]
    labels, image = write_pair(tmp_path, pixels, np.stack([IMAGE] * 2) if kind == "stack" else IMAGE)
    found = measured(tmp_path, labels, image, connected=True, ring="2")
    tifffile.imwrite(labels, LABELS)
    tifffile.imwrite(image, IMAGE)
    true = measured(tmp_path, labels, image, ring="2", overwrite=True)
    planes = 2 if kind == "stack" else 1
    assert found["label"] == [*range(1, planes * len(true["label"]) + 1)]
    for name in set(true) - {"label"}:
        assert found[name] == true[name] * planes, name


def test_the_command_line_takes_labels_an_image_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["measure", "labels.tif", "shapes.csv", "--pixel-size-um", "0.5"]) == 0
    assert main(["measure", "labels.tif", "image.tif", "values.csv", "--ring", "2"]) == 0
    assert "intensity_mean" not in read(Path("shapes.csv"))
    assert "intensity_ring_mean" in read(Path("values.csv"))
    said = capsys.readouterr().out
    assert f"labels: {LABELS.max()} objects, " in said
    assert "per mm²" in said
    assert main(["measure", "labels.tif"]) == 2
    assert "table must be given" in capsys.readouterr().err
    assert main(["measure", "--help"]) == 0
    assert "unetkit measure labels [image] table [options]" in capsys.readouterr().out


@pytest.mark.skipif(not FOREIGN.is_dir(), reason="needs ../shared/data/foreign")
def test_labels_of_stardist_measure_as_in_scikit_image(tmp_path: Path) -> None:
    labels, image = FOREIGN / "img2d_labels.tif", FOREIGN / "img2d.tif"
    found = measured(tmp_path, labels, image)
    asked = ("label", "area", "perimeter", "solidity", "intensity_mean", "intensity_std")
    true = regionprops_table(tifffile.imread(labels), tifffile.imread(image).astype(float), properties=asked)
    columns = ("label", "area_px", "perimeter_px", "solidity", "intensity_mean", "intensity_std")
    for column, name in zip(columns, asked, strict=True):
        np.testing.assert_allclose(found[column], true[name], rtol=1e-9)
