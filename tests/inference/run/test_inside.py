"""Masks and labels that go into the OME-Zarr image that they are made of."""

from __future__ import annotations

import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from ome_schema import check_ome_zarr

from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, ImageError, OutputError
from unetkit.inference.array import predict_tiled
from unetkit.inference.segment import segment
from unetkit.inference.tiling.options import OutputOptions

SHAPE = (2, 150, 130)


def picture(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 60, SHAPE, np.uint8)


def write_zarr(path: Path, pixels: NDArray[np.uint8], zarr_format: Any = 3) -> Path:
    """An image (z, y, x) with three levels, the last two of which are thirds of the ones before."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    datasets = []
    for level in range(3):
        names: dict[str, Any] = {} if zarr_format == 2 else {"dimension_names": "zyx"}
        group.create_array(str(level), data=pixels[:, 1 :: 3**level, 1 :: 3**level], **names)
        steps = [{"type": "scale", "scale": [2.0, 0.5 * 3**level, 0.5 * 3**level]}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    multiscales = [{"name": "cells", "axes": axes, "datasets": datasets}]
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscales[0]}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return path


def hashes(folder: Path) -> dict[str, str]:
    """The hash of each file of an image, its labels left out."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    named = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: value for name, value in named.items() if not name.startswith("labels/")}


def attributes(path: Path, zarr_format: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(zarr.open_group(path, mode="r", zarr_format=zarr_format).attrs)
    return found["ome"] if zarr_format == 3 else found


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("output", ["labels", "mask"])
def test_labels_and_masks_go_into_the_image_of_which_nothing_else_changes(
    tiny_model: Path, tmp_path: Path, zarr_format: int, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_zarr(tmp_path / "in.zarr", picture(), zarr_format)
    before, pixels = hashes(image), zarr.open_group(image, mode="r")["0"][:]
    command = ["segment", str(image), str(image), "--output", output, "--model", str(tiny_model)]
    assert main([*command, "--name", "nuclei"]) == 0
    assert str(image / "labels/nuclei") in capsys.readouterr().out
    assert main(command) == 0  # under the name of the output
    assert hashes(image) == before
    assert attributes(image / "labels", zarr_format)["labels"] == ["nuclei", output]
    for name in ("nuclei", output):
        place = image / "labels" / name
        found = attributes(place, zarr_format)
        assert found["image-label"] == {"version": "0.4" if zarr_format == 2 else "0.5", "source": {"image": "../../"}}
        of_image = attributes(image, zarr_format)["multiscales"][0]
        assert found["multiscales"][0]["axes"] == of_image["axes"]
        assert found["multiscales"][0]["datasets"] == of_image["datasets"]
        group = zarr.open_group(place, mode="r", zarr_format=zarr_format)
        shapes = [zarr.open_group(image, mode="r")[str(level)].shape for level in range(3)]
        assert [group[str(level)].shape for level in range(3)] == shapes
        np.testing.assert_array_equal(group["0"][:], predict_tiled(pixels, tiny_model, output=output))  # type: ignore[arg-type]
        check_ome_zarr(place)
    check_ome_zarr(image)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr"]
    assert not [path for path in (image / "labels").iterdir() if path.name.endswith((".lock", ".unfinished"))]


def test_an_existing_label_needs_overwrite_and_is_done_when_resuming(tiny_model: Path, tmp_path: Path) -> None:
    image = write_zarr(tmp_path / "in.zarr", picture())
    segment(image, image, tiny_model, output="labels")
    with pytest.raises(OutputError, match="labels/labels exists"):
        segment(image, image, tiny_model, output="labels")
    assert [one.pixels for one in segment(image, image, tiny_model, output="labels", resume=True)] == [0]
    segment(image, image, tiny_model, output="labels", overwrite=True, min_size=10**6)
    assert not zarr.open_group(image / "labels/labels", mode="r")["0"][:].any()
    assert attributes(image / "labels", 3)["labels"] == ["labels"]


def test_a_stopped_run_leaves_the_image_as_it_is_and_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    image = write_zarr(tmp_path / "in.zarr", picture())
    before, options = hashes(image), {"output": "labels", "tile": 64, "name": "nuclei"}

    def stop_after(pixels: int) -> Any:
        def begin(name: str, total: int) -> Any:
            seen = 0

            def advance(done: int) -> None:
                nonlocal seen
                seen += done
                if seen > pixels:
                    raise KeyboardInterrupt

            return advance

        return begin

    with pytest.raises(KeyboardInterrupt):
        segment(image, image, tiny_model, progress=stop_after(0), **options)
    assert not (image / "labels").exists()
    with pytest.raises(KeyboardInterrupt):
        segment(image, image, tiny_model, progress=stop_after(30_000), **options)
    assert [path.name for path in (image / "labels").iterdir()] == ["nuclei.unfinished"]
    assert hashes(image) == before
    (done,) = segment(image, image, tiny_model, resume=True, **options)
    assert done.kept > 0
    segment(image, tmp_path / "whole.tif", tiny_model, output="labels", tile=64)
    np.testing.assert_array_equal(
        zarr.open_group(image / "labels/nuclei", mode="r")["0"][:], tifffile.imread(tmp_path / "whole.tif")
    )
    assert hashes(image) == before


def test_each_image_of_a_folder_gets_its_labels_inside(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for seed, name in enumerate(("a.zarr", "b.ome.zarr")):
        write_zarr(folder / name, picture(seed))
    segment(folder, folder, tiny_model, output="labels", name="nuclei")
    segment(folder / "*.zarr", folder, tiny_model, output="mask", name="m")
    assert sorted(path.name for path in folder.iterdir()) == ["a.zarr", "b.ome.zarr"]
    for name in ("a.zarr", "b.ome.zarr"):
        assert attributes(folder / name / "labels", 3)["labels"] == ["nuclei", "m"]
    with pytest.raises(OutputError, match="2 of 2 outputs exist"):
        segment(folder, folder, tiny_model, output="labels", name="nuclei")
    tifffile.imwrite(folder / "c.tif", picture()[0])
    with pytest.raises(OutputError, match="folder of the inputs"):
        segment(folder, folder, tiny_model, output="labels")


def test_labels_of_a_field_of_a_plate_go_into_that_field(tiny_model: Path, tmp_path: Path) -> None:
    plate = tmp_path / "plate.zarr"
    zarr.open_group(plate, mode="w", zarr_format=3).attrs["ome"] = {
        "version": "0.5",
        "plate": {"wells": [{"path": "A/1"}], "rows": [{"name": "A"}], "columns": [{"name": "1"}]},
    }
    well = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
    zarr.open_group(plate, mode="a").require_group("A/1").attrs["ome"] = well
    for field in (0, 1):
        write_zarr(plate / f"A/1/{field}", picture(field))
    segment(plate, plate, tiny_model, output="labels", series=1)
    assert not (plate / "labels").exists()
    assert not (plate / "A/1/0/labels").exists()
    assert attributes(plate / "A/1/1/labels", 3)["labels"] == ["labels"]
    with pytest.raises(ImageError, match="no series 7"):
        segment(plate, plate, tiny_model, output="labels", series=7)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_stay_as_they_are_and_the_user_is_told(
    tiny_model: Path, tmp_path: Path, zarr_format: Any
) -> None:
    image, told = write_zarr(tmp_path / "in.zarr", picture(), zarr_format), []
    segment(image, image, tiny_model, output="labels", name="a", log=told.append)
    assert not any("consolidated" in sentence for sentence in told)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr 3 does not specify them
        zarr.consolidate_metadata(image, zarr_format=zarr_format)
    before = hashes(image)
    segment(image, image, tiny_model, output="labels", name="b", log=told.append)
    assert any("consolidated metadata, which do not list" in sentence for sentence in told)
    assert hashes(image) == before


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_only_masks_and_labels_go_into_an_image_and_only_into_an_ome_zarr(
    tiny_model: Path, tmp_path: Path, suffix: str
) -> None:
    image, plain = tmp_path / f"in{suffix}", tmp_path / "plain.zarr"
    zarr.save_array(plain, picture()[0])
    if suffix == ".zarr":
        write_zarr(image, picture())
        with pytest.raises(OutputError, match="would be of a region"):
            segment(image, image, tiny_model, output="labels", region="0,0,32,32")
        with pytest.raises(OutputError, match="is the input itself"):
            segment(image, image, tiny_model, output="probabilities")
    else:
        tifffile.imwrite(image, picture()[0])
        with pytest.raises(OutputError, match="is the input itself"):
            segment(image, image, tiny_model, output="labels", overwrite=True)
    with pytest.raises(OutputError, match="no OME-Zarr image"):
        segment(plain, plain, tiny_model, output="labels")
    with pytest.raises(ConfigError, match="name has a meaning only for an output inside"):
        segment(image, tmp_path / "out.tif", tiny_model, output="labels", name="nuclei")
    assert sorted(path.name for path in tmp_path.iterdir()) == [image.name, "plain.zarr"]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "__reserved", "tab\t", "a\\b"])
def test_a_name_that_not_every_store_takes_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="is not possible"):
        OutputOptions(output="labels", name=name)


def test_other_outputs_have_no_name() -> None:
    with pytest.raises(ConfigError, match="name has no meaning for the output 'probabilities'"):
        OutputOptions(output="probabilities", name="nuclei")
