"""All outputs and choices of `segment` on a cluster: the same bytes as on this machine."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import zarr
from distributed import Client
from spread_images import CHOICES, blobs, both, digests, traces

from unetkit.foundation.errors import ImageError
from unetkit.inference.segment import segment
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

SPEC = ModelSpec(encoder="resnet18", depth=3, decoder_channels=(32, 16, 8), in_channels=1, halo=16)


pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "image.tif", blobs(150, 200), tile=(64, 64))
    return tmp_path / "image.tif"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of a large image, two small ones, and one that is none, which comes first."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in enumerate([(40, 50), (200, 160), (64, 64)]):
        tifffile.imwrite(folder / f"{number}.tif", blobs(*size, seed=number))
    (folder / "broken.tif").write_bytes(b"no image" * 10_000)
    return folder


@pytest.fixture
def on_workers(client: Client) -> Callable[..., Any]:
    return lambda *arguments, **more: segment(*arguments, client=client, **more)


def model(folder: Path, name: str, spec: ModelSpec, seed: int = 0) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        segmenter = Segmenter(spec).eval()
    save_model(segmenter, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def test_several_models_orientations_and_a_region(
    image: Path, tmp_path: Path, tiny_model: Path, on_workers: Callable[..., Any]
) -> None:
    models = [tiny_model, model(tmp_path, "other", SPEC, seed=5)]
    choices = {"tta": True, "region": "100,150,20,30", "skip_empty": True, "verify_seams": True}
    (here,), (there,) = both(image, tmp_path, "out.tif", models, on_workers, **choices)
    assert there.seams == here.seams


@pytest.mark.parametrize(
    ("output", "name"),
    [("mask", "out.zarr"), ("labels", "out.tif"), ("probabilities", "out.tif"), ("labels", "out.zarr")],
)
def test_volumes_are_spread(tmp_path: Path, on_workers: Callable[..., Any], output: str, name: str) -> None:
    spec = replace(SPEC, dims=3, pooling=((1, 2, 2), (2, 2, 2), (2, 2, 2)), halo=(4, 8, 8))
    tifffile.imwrite(tmp_path / "stack.tif", blobs(29, 60, 70), imagej=True, metadata={"axes": "ZYX"})
    choices = {"tile": "16,32,32", "halo": None, "output": output}
    both(tmp_path / "stack.tif", tmp_path, name, model(tmp_path, "volumes", spec), on_workers, **choices)


def test_pixels_are_restored(image: Path, tmp_path: Path, on_workers: Callable[..., Any]) -> None:
    restorer = model(tmp_path, "restorer", replace(SPEC, task="reconstruction"))
    both(image, tmp_path, "out.zarr", restorer, on_workers, output="restored", threshold=None)


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_attention_is_written(image: Path, tmp_path: Path, on_workers: Callable[..., Any], name: str) -> None:
    classifier = model(tmp_path, "classes", replace(SPEC, image_classes=("a", "b"), image_size=64))
    both(image, tmp_path, name, classifier, on_workers, output="attention", threshold=None)


def test_a_table_of_classes_is_in_order_and_keeps_the_errors_of_images(
    images: Path, tmp_path: Path, on_workers: Callable[..., Any]
) -> None:
    classifier = model(tmp_path, "classes", replace(SPEC, image_classes=("a", "b"), image_size=64))
    said: dict[Any, str] = {}
    for run, table in ((segment, tmp_path / "here.csv"), (on_workers, tmp_path / "there.csv")):
        with pytest.raises(ImageError, match=r"1 of 4 images were not classified: \(1\) .*broken\.tif") as raised:
            run(images, table, classifier, output="classes", device="cpu")
        said[run] = str(raised.value)
    assert said[segment] == said[on_workers]
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    with (tmp_path / "there.csv").open() as file:
        assert [Path(row["image"]).name for row in csv.DictReader(file)] == ["0.tif", "1.tif", "2.tif"]


def write_zarr(path: Path, pixels: Any) -> Path:
    """Write an OME-Zarr image (y, x) of one level."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", data=pixels, chunks=(64, 64), dimension_names=("y", "x"))
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    multiscales = [{"name": "cells", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return path


@pytest.mark.parametrize("output", ["mask", "labels"])
def test_masks_and_labels_go_into_images(tmp_path: Path, tiny_model: Path, client: Client, output: str) -> None:
    for run in ("here", "there"):
        for number, size in enumerate([(150, 200), (40, 50)]):
            (tmp_path / run).mkdir(exist_ok=True)
            write_zarr(tmp_path / run / f"{number}.zarr", blobs(*size, seed=number))
        folder, more = tmp_path / run, {"client": client} if run == "there" else {}
        segment(folder, folder, tiny_model, output=output, **CHOICES, **more)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert not traces(tmp_path)


def test_a_page_shows_images_in_order(images: Path, tmp_path: Path, tiny_model: Path, client: Client) -> None:
    with pytest.raises(ImageError, match=r"1 of 4"):
        segment(images, tmp_path / "out", tiny_model, client=client, report=tmp_path / "page.html", **CHOICES)
    page = (tmp_path / "page.html").read_text()
    places = [re.search(rf"\b{number}\.tif", page).start() for number in range(3)]  # type: ignore[union-attr]
    assert places == sorted(places)
    assert "broken.tif" in page


def test_bad_images_among_many_cost_only_themselves_and_an_output_that_appears_is_not_replaced(
    images: Path, tmp_path: Path, tiny_model: Path, client: Client
) -> None:
    tifffile.imwrite(images / "cut.tif", blobs(250, 260), tile=(64, 64))
    (images / "cut.tif").write_bytes((images / "cut.tif").read_bytes()[:-20_000])
    tifffile.imwrite(images / "nan.tif", np.full((70, 80), np.nan, np.float32))
    damaged = write_zarr(images / "damaged.zarr", blobs(150, 200))
    next(file for file in damaged.rglob("*") if file.is_file() and "c" in file.parts).write_bytes(b"damaged")
    said: list[str] = []
    for more in ({}, {"client": client}):
        out = tmp_path / f"out{len(said)}"

        def appear(name: str, _: int, out: Path = out) -> Callable[[int], None]:
            if name == "1.tif":
                (out / "1.tif").touch()
            return lambda _: None

        with pytest.raises(ImageError) as raised:
            segment(images, out, tiny_model, **CHOICES, **more, progress=appear if more else None)
        said.append(raised.value.problem)
        assert [path.name for path in traces(out)] == (["1.tif.blocks"] if more else [])  # to go on with --resume
    assert "4 of 7" in said[0]
    assert "5 of 7" in said[1]
    assert all(name in said[1] for name in ("broken.tif", "cut.tif", "nan.tif", "damaged.zarr", "1.tif exists"))
    assert (tmp_path / "out1" / "1.tif").stat().st_size == 0
    names = [sorted(path.name for path in (tmp_path / out).glob("*.tif")) for out in ("out0", "out1")]
    assert names == [["0.tif", "1.tif", "2.tif"]] * 2
