"""Tables and outlines of objects from the run that makes their labels, against `unetkit measure` and the labels."""

from __future__ import annotations

import csv
import errno
import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

import unetkit
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, ImageError, OutputError, UnetkitError
from unetkit.inference.engine import pipeline
from unetkit.inference.run.labelling import make_labels
from unetkit.inference.run.objects import open_raw
from unetkit.inference.segment import segment
from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.models.segmenter import Segmenter
from unetkit.objects.table import Table

Make = Callable[..., Segmenter]
SHAPE = (2, 2, 1100, 130)


def picture(*shape: int, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 60, shape).astype(np.uint16)


def write_stack(path: Path) -> NDArray[np.uint16]:
    """Two planes of two named channels, in pieces that do not fit the strips in which labels come."""
    image = picture(*SHAPE)
    names = {"axes": "ZCYX", "Channel": {"Name": ["DAPI", "GFP"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, image, metadata=names, tile=(48, 48), compression="deflate")
    return image


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def without(rows: list[dict[str, str]], *names: str) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.fixture
def instances(exact_segmenter: Make) -> Segmenter:
    """A model with instances, for one channel."""
    return exact_segmenter(instances=True)


OPTIONS: dict[str, Any] = {"output": "labels", "channels": "DAPI", "tile": 256, "min_size": 0, "min_confidence": 0.1}


def test_the_table_is_that_of_measure_with_all_channels_and_the_confidence_of_each_object(
    instances: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "in.ome.tif")
    made: list[Any] = []

    def note(*arguments: Any) -> Any:
        made.append(make_labels(*arguments))
        return made[-1]

    monkeypatch.setattr("unetkit.inference.run.labelling.make_labels", note)
    files = {"table": tmp_path / "t.csv", "geojson": str(tmp_path / "g.geojson.gz"), "rois": tmp_path / "r.zip"}
    (done,) = segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, **files, ring="2um")
    rows = read(tmp_path / "t.csv")
    assert len(rows) == done.objects > 50
    assert sorted(done.files) == sorted(map(Path, files.values()))
    unetkit.measure(tmp_path / "l.tif", tmp_path / "in.ome.tif", tmp_path / "m.csv", ring="2um")
    expected = read(tmp_path / "m.csv")
    assert without(rows, "confidence") == expected
    again = {"table": tmp_path / "n.csv", "ring": 4}  # pixels of 0.5 µm
    segment(tmp_path / "in.ome.tif", tmp_path / "n.tif", instances, **OPTIONS, **again)
    assert without(read(tmp_path / "n.csv"), "region") == without(rows, "region")
    assert {"DAPI_mean", "GFP_ring_median", "area_um2", "z"} <= rows[0].keys()
    assert {row["region"] for row in rows} == {"l"}
    confidences = np.array([float(row["confidence"]) for row in rows])
    np.testing.assert_allclose(confidences, made[0].confidences, rtol=1e-6)
    assert 0.1 <= confidences.min() < confidences.max() <= 1
    features = json.loads(gzip.decompress((tmp_path / "g.geojson.gz").read_bytes()))["features"]
    assert len(features) == len(rows)
    measured = {int(one["properties"]["name"]): one["properties"]["measurements"] for one in features}
    for row in rows:
        found = measured[int(row["label"])]
        assert found["area_um2"] == pytest.approx(float(row["area_um2"]))
        assert found["confidence"] == pytest.approx(float(row["confidence"]))
    with ZipFile(tmp_path / "r.zip") as archive:
        assert len(archive.namelist()) == len(rows)


def test_classes_are_in_table_and_outlines(exact_segmenter: Make, tmp_path: Path) -> None:
    model = exact_segmenter(classes=3)
    model.spec = replace(model.spec, class_names=("background", "tumour", "stroma"))
    tifffile.imwrite(tmp_path / "in.tif", picture(60, 70, seed=2))
    files = {"table": tmp_path / "t.csv", "geojson": tmp_path / "g.geojson"}
    segment(tmp_path / "in.tif", tmp_path / "l.tif", model, output="labels", min_size=0, **files)
    rows, labels = read(tmp_path / "t.csv"), tifffile.imread(tmp_path / "l.tif")
    segment(tmp_path / "in.tif", tmp_path / "mask.tif", model)
    mask = tifffile.imread(tmp_path / "mask.tif")
    names = {int(row["label"]): row["class"] for row in rows}
    assert set(names.values()) == {"tumour", "stroma"}
    assert "confidence" not in rows[0]
    for number, name in names.items():
        assert set(mask[labels == number]) == {1 if name == "tumour" else 2}
    features = json.loads((tmp_path / "g.geojson").read_text())["features"]
    assert {int(one["properties"]["name"]): one["properties"]["classification"]["name"] for one in features} == names


def test_a_region_is_measured_where_it_lies(instances: Segmenter, tmp_path: Path) -> None:
    image = write_stack(tmp_path / "in.ome.tif")
    region = {"region": "700,20,200,90", "table": tmp_path / "t.csv"}
    segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, **region)
    labels = tifffile.imread(tmp_path / "l.tif")
    for row in read(tmp_path / "t.csv"):
        inside = labels[int(row["z"])] == int(row["label"])
        assert float(row["GFP_sum"]) == image[int(row["z"]), 1, 700:900, 20:110][inside].sum()


def test_each_piece_of_the_image_is_decoded_once_for_the_objects(
    instances: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "in.ome.tif")
    decoded: Counter[tuple[int, str]] = Counter()
    initialize = ChunkedArray.__init__

    def watch(self: Any, chunks: Any, *arguments: Any, **options: Any) -> None:
        decode = chunks.decode

        def counted(box: Any, encoded: Any) -> Any:
            decoded[(id(self), str(box))] += 1
            return decode(box, encoded)

        chunks.decode = counted
        initialize(self, chunks, *arguments, **options)

    segment(tmp_path / "in.ome.tif", tmp_path / "plain.tif", instances, **OPTIONS)
    monkeypatch.setattr(ChunkedArray, "__init__", watch)
    table = {"table": tmp_path / "t.csv"}
    segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, **table)
    assert decoded
    assert max(decoded.values()) == 1


def test_rois_alone_need_no_second_look_at_the_image(
    instances: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "in.ome.tif")
    monkeypatch.setattr("unetkit.inference.run.objects.open_raw", None)
    segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, rois=tmp_path / "r.zip")
    assert ZipFile(tmp_path / "r.zip").namelist()


def test_an_image_without_objects_gives_files_without_objects(instances: Segmenter, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((40, 50), np.uint8))
    files = {"table": tmp_path / "t.csv", "geojson": tmp_path / "g.geojson", "rois": tmp_path / "r.zip"}
    segment(tmp_path / "in.tif", tmp_path / "l.tif", instances, output="labels", threshold=0.9, **files)
    assert read(tmp_path / "t.csv") == []
    assert (tmp_path / "t.csv").read_text().startswith("label,region,confidence,")
    assert json.loads((tmp_path / "g.geojson").read_text())["features"] == []


def test_labels_inside_an_image_have_a_table_that_names_them(instances: Segmenter, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "in.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=picture(90, 70), dimension_names="yx")
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    options = {"output": "labels", "name": "nuclei", "min_confidence": 0.1, "min_size": 0, "table": tmp_path / "t.csv"}
    segment(tmp_path / "in.zarr", tmp_path / "in.zarr", instances, **options)
    assert {row["region"] for row in read(tmp_path / "t.csv")} == {"nuclei"}


# Several images


def write_folder(folder: Path) -> None:
    folder.mkdir()
    for seed, name in enumerate(("a.tif", "b.tif")):
        tifffile.imwrite(folder / name, picture(600, 90, seed=seed), resolution=(20000, 20000), resolutionunit=3)


def test_several_images_have_files_under_their_names_and_a_summary(instances: Segmenter, tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    folders = {"table": tmp_path / "deep/tables", "geojson": tmp_path / "out", "rois": tmp_path / "rois"}
    options = {"output": "labels", "min_confidence": 0.1, "min_size": 0, "tile": 128, **folders}
    done = segment(tmp_path / "in", tmp_path / "out", instances, **options)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {
        *("in/a.tif", "in/b.tif", "out/a.tif", "out/b.tif", "out/a.geojson.gz", "out/b.geojson.gz"),
        *("rois/a.zip", "rois/b.zip", "deep/tables/a.csv", "deep/tables/b.csv", "deep/tables/summary.csv"),
    }
    summary = read(tmp_path / "deep/tables/summary.csv")
    assert [(row["image"], int(row["objects"])) for row in summary] == [("a", done[0].objects), ("b", done[1].objects)]
    share = (tifffile.imread(tmp_path / "out/a.tif") > 0).mean()
    assert float(summary[0]["foreground_share"]) == pytest.approx(share, rel=1e-6)
    assert float(summary[0]["density_per_mm2"]) == pytest.approx((done[0].objects or 0) / (600 * 90 * 0.25e-6))
    before = {path: path.read_bytes() for path in (tmp_path / "deep/tables").iterdir()}
    labels = (tmp_path / "out/b.tif").stat().st_mtime_ns
    with pytest.raises(OutputError, match="exist"):
        segment(tmp_path / "in", tmp_path / "out", instances, **options)
    for name in ("b.csv", "summary.csv"):
        (tmp_path / "deep/tables" / name).unlink()
    again = segment(tmp_path / "in", tmp_path / "out", instances, **options, resume=True)
    assert [one.pixels > 0 for one in again] == [False, True]
    assert {path: path.read_bytes() for path in (tmp_path / "deep/tables").iterdir()} == before
    assert (tmp_path / "out/b.tif").stat().st_mtime_ns == labels


# Faults


def test_a_table_that_cannot_be_written_does_not_cost_the_labels(
    instances: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "in.ome.tif")
    segment(tmp_path / "in.ome.tif", tmp_path / "whole.tif", instances, **OPTIONS)
    files = {"table": tmp_path / "t.csv", "geojson": tmp_path / "g.geojson"}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "add", full)
        with pytest.raises(OutputError, match=r"t\.csv cannot be written: No space left"):
            segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, **files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ome.tif", "l.tif", "l.tif.unfinished", "whole.tif"]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "l.tif"), tifffile.imread(tmp_path / "whole.tif"))
    with monkeypatch.context() as patch:  # what was predicted is not predicted again
        patch.setattr(pipeline.Reader, "batches", lambda *_: iter(()))
        segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, **files, resume=True)
    segment(tmp_path / "in.ome.tif", tmp_path / "again.tif", instances, **OPTIONS, table=tmp_path / "u.csv")
    assert without(read(tmp_path / "t.csv"), "region") == without(read(tmp_path / "u.csv"), "region")
    assert not (tmp_path / "l.tif.unfinished").exists()


def test_an_image_that_cannot_be_read_again_does_not_cost_the_labels(
    instances: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "in.ome.tif")

    def broken(*arguments: Any) -> Any:
        source = open_raw(*arguments)
        monkeypatch.setattr(source, "read", fail)
        return source

    def fail(*_: Any) -> None:
        raise ImageError("The disk is gone.", "Plug it in.")

    monkeypatch.setattr("unetkit.inference.run.objects.open_raw", broken)
    with pytest.raises(ImageError, match="The disk is gone"):
        segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, table=tmp_path / "t.csv")
    assert tifffile.imread(tmp_path / "l.tif").max() > 50
    assert not (tmp_path / "t.csv").exists()


def test_a_file_that_is_there_is_left_alone_by_a_resumed_run(instances: Segmenter, tmp_path: Path) -> None:
    write_stack(tmp_path / "in.ome.tif")
    files = {"table": tmp_path / "t.csv", "rois": tmp_path / "r.zip"}
    segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, table=files["table"])
    before = [path.stat().st_mtime_ns for path in (tmp_path / "l.tif", files["table"])]
    segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, **files, resume=True)
    assert files["rois"].exists()
    assert [path.stat().st_mtime_ns for path in (tmp_path / "l.tif", files["table"])] == before


def test_labels_that_cannot_be_written_leave_no_table(
    instances: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "in.ome.tif")

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unetkit.inference.run.objects.ObjectStream.finish", fail)
    files = {"table": tmp_path / "t.csv", "rois": tmp_path / "r.zip"}
    with pytest.raises(KeyboardInterrupt):
        segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS, **files)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("t.csv", "r.zip"))]


def test_other_labels_that_are_there_are_neither_measured_nor_replaced(instances: Segmenter, tmp_path: Path) -> None:
    write_stack(tmp_path / "in.ome.tif")
    segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **OPTIONS | {"min_size": 30})
    before = (tmp_path / "l.tif").read_bytes()
    options = {**OPTIONS, "table": tmp_path / "t.csv", "resume": True}
    with pytest.raises(OutputError, match=r"l\.tif holds other labels"):
        segment(tmp_path / "in.ome.tif", tmp_path / "l.tif", instances, **options)
    assert (tmp_path / "l.tif").read_bytes() == before
    assert not (tmp_path / "t.csv").exists()


def refuse(name: str, pixels: int) -> Any:
    pytest.fail(f"{name} is predicted")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"table": "there.csv"}, OutputError, r"there\.csv exists"),
        ({"table": "t.txt"}, OutputError, r"table: .*t\.txt has the suffix '\.txt'"),
        ({"table": "tables"}, OutputError, r"table: .*tables has no suffix"),
        ({"geojson": "g.json"}, OutputError, r"geojson: .*g\.json has the suffix"),
        ({"rois": "no/r.zip", "table": "no/t.csv", "ring": "wide"}, ConfigError, "is no width"),
        ({"rois": "r.zip", "ring": "3"}, ConfigError, "ring has no meaning without measurements"),
        ({"table": "t.csv", "ring": "3um"}, ConfigError, "do not say how large their pixels are"),
        ({"table": "t.csv", "output": "mask"}, ConfigError, "table has no meaning for the output 'mask'"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    tiny_model: Path, tmp_path: Path, options: dict[str, str], error: type[UnetkitError], message: str
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture(20, 30))
    (tmp_path / "there.csv").write_text("precious")
    named = {
        name: tmp_path / value if name in ("table", "geojson", "rois") else value for name, value in options.items()
    }
    with pytest.raises(error, match=message):
        segment(tmp_path / "in.tif", tmp_path / "l.tif", tiny_model, progress=refuse, **{"output": "labels", **named})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "there.csv"]


def test_a_file_for_several_images_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    with pytest.raises(OutputError, match=r"table: .*t\.csv is a file, but there are several images"):
        segment(tmp_path / "in", tmp_path / "out", tiny_model, output="labels", table=tmp_path / "t.csv")
    tifffile.imwrite(tmp_path / "in/summary.tif", picture(20, 30))
    with pytest.raises(OutputError, match=r"The table of .*summary\.tif would be that of all images"):
        segment(tmp_path / "in", tmp_path / "out", tiny_model, output="labels", table=tmp_path / "t")
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_what_was_written(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("in.tif", picture(60, 70))
    words = ["segment", "in.tif", "l.tif", "--model", str(tiny_model), "--output", "labels", "--table", "t.parquet"]
    assert main([*words, "--geojson", "g.geojson", "--ring", "2", "--dry-run"]) == 0
    assert not Path("t.parquet").exists()
    assert main([*words, "--geojson", "g.geojson", "--ring", "2"]) == 0
    assert "Written of each object: t.parquet, g.geojson." in capsys.readouterr().out
    assert Path("t.parquet").read_bytes()[:4] == b"PAR1"
