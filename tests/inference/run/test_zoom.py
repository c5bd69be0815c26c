"""Images are enlarged for models of a known size of objects, and results come in the pixels of the image."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

import unetkit
from unetkit.errors import ConfigError, OutputError
from unetkit.inference.array import predict_plane
from unetkit.inference.run import zoom as zooming
from unetkit.io.base.arrays import ArraySource
from unetkit.io.files import open_image, read_notes
from unetkit.io.views.rescale import ZoomedSource
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]
CHOICES: dict[str, Any] = {"device": "cpu", "backend": "torch"}


def blurred(*shape: int) -> NDArray[np.uint8]:
    """Return pixels that are smooth enough to have objects."""
    coarse = np.random.default_rng(1).integers(0, 60, [-(-length // 5) for length in shape[-2:]], dtype=np.uint8)
    plane = np.repeat(np.repeat(coarse, 5, 0), 5, 1)[: shape[-2], : shape[-1]]
    return np.stack([np.roll(plane, 3 * i, 0) for i in range(shape[0])]) if len(shape) == 3 else plane


def enlarged(image: NDArray[np.uint8], zoom: float) -> NDArray[np.uint8]:
    source = ZoomedSource(ArraySource(image, "YX"), zoom)
    pixels: NDArray[np.uint8] = source.read(0, tuple(slice(0, length) for length in source.info.size))[0]
    return pixels


def take_nearest(pixels: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    places = [
        np.abs((np.arange(length)[:, None] + 0.5) / length - (np.arange(there) + 0.5) / there).round(9).argmin(1)
        for length, there in zip(size, pixels.shape, strict=True)
    ]
    return pixels[np.ix_(*places)]


def balls(radius: int, count: int = 5) -> NDArray[np.uint8]:
    """Return bright balls on a dark background, apart from each other."""
    step = 3 * radius
    y, x = np.indices((step * count, step * count)) % step - step // 2
    heights = np.sqrt(np.maximum(radius**2 - y**2 - x**2, 0)) / radius
    return (20 + 160 * heights + np.random.default_rng(0).integers(0, 9, y.shape)).astype(np.uint8)


def assert_same(found: NDArray[Any], expected: NDArray[Any]) -> None:
    """Compare results; PyTorch's sigmoid rounds the last bits differently at the end of a row."""
    np.testing.assert_allclose(found, expected, rtol=1e-6 * (found.dtype.kind == "f"))


@pytest.fixture(scope="module")
def nuclei() -> Segmenter:
    """The built-in model, which sees nuclei as large as 28 pixels."""
    model = unetkit.load_model("nuclei")
    return Segmenter(replace(model.spec, object_diameter=28.0), model.network)


# Results


@pytest.mark.parametrize("zoom", [0.6, 1.7, 2])
@pytest.mark.parametrize("output", ["mask", "labels"])
def test_classes_are_the_nearest_of_those_of_the_enlarged_image(
    exact_segmenter: Make, output: Any, zoom: float
) -> None:
    image, model = blurred(61, 83), exact_segmenter(stride=2)
    seen = unetkit.predict_tiled(enlarged(image, zoom), model, axes="YX", output=output, tile=32)
    found = unetkit.predict_tiled(image, model, axes="YX", output=output, tile=32, zoom=zoom)
    assert len(np.unique(seen)) > 1
    np.testing.assert_array_equal(found, take_nearest(seen, image.shape))


def test_probabilities_of_twice_the_pixels_are_means_of_four(exact_segmenter: Make) -> None:
    image, model = blurred(61, 83), exact_segmenter()
    seen = unetkit.predict_tiled(enlarged(image, 2), model, axes="YX", output="probabilities")
    found = unetkit.predict_tiled(image, model, axes="YX", output="probabilities", tile=32, zoom=2)
    np.testing.assert_allclose(found, seen.reshape(61, 2, 83, 2).mean((1, 3)), atol=1e-6)


@pytest.mark.parametrize("output", ["mask", "labels", "probabilities"])
def test_tiles_change_no_bit(exact_segmenter: Make, output: Any) -> None:
    image, model = blurred(61, 83), exact_segmenter(stride=2)
    whole, tiled = (
        unetkit.predict_tiled(image, model, axes="YX", output=output, tile=tile, zoom=1.7) for tile in (256, 24)
    )
    assert_same(whole, tiled)


@pytest.mark.parametrize("output", ["mask", "labels", "probabilities"])
def test_planes_of_a_stack_are_each_put_back(exact_segmenter: Make, output: Any) -> None:
    stack, model = blurred(3, 40, 50), exact_segmenter()
    options: dict[str, Any] = {"output": output, "zoom": 1.5, **({"min_size": 0} if output == "labels" else {})}
    found = unetkit.predict_tiled(stack, model, axes="ZYX", **options)
    assert found.shape == stack.shape
    alone = predict_plane(stack, model, 1, axes="ZYX", **options)
    np.testing.assert_array_equal(alone > 0, found[1] > 0)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize("output", ["mask", "labels", "probabilities"])
def test_files_hold_what_arrays_do(exact_segmenter: Make, tmp_path: Path, output: Any, suffix: str) -> None:
    image, model, out = blurred(61, 83), exact_segmenter(), tmp_path / f"out{suffix}"
    tifffile.imwrite(tmp_path / "in.tif", image)
    unetkit.segment(tmp_path / "in.tif", out, model=model, output=output, zoom=2, tile=32, **CHOICES)
    stored = np.asarray(zarr.open_group(out)["0"][:] if suffix == ".zarr" else tifffile.imread(out))
    expected = unetkit.predict_tiled(image, model, axes="YX", output=output, zoom=2)
    assert_same(stored, expected)


def test_sizes_are_in_pixels_of_the_image(exact_segmenter: Make, tmp_path: Path) -> None:
    image, model = blurred(61, 83), exact_segmenter(instances=True)
    tifffile.imwrite(tmp_path / "in.tif", image, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    (outcome,) = unetkit.segment(
        tmp_path / "in.tif",
        tmp_path / "out.tif",
        model=model,
        output="labels",
        zoom=2,
        min_size=9,
        min_confidence=0,
        table=tmp_path / "out.csv",
        **CHOICES,
    )
    labels = tifffile.imread(tmp_path / "out.tif")
    areas = np.bincount(labels.ravel())[1:]
    assert len(areas) > 3
    assert areas.min() >= 8  # each of 36 pixels or more where they were four times as many
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [int(row["area_px"]) for row in csv.DictReader(file)] == areas.tolist()
    assert (outcome.zoom, outcome.pixels, outcome.min_size) == (2, image.size, 9)
    info = open_image(tmp_path / "out.tif").info
    assert info.pixel_size_um == pytest.approx((0.5, 0.5))
    assert "--zoom 2" in read_notes(tmp_path / "out.tif")["command"]


def test_a_run_goes_on_only_with_its_own_zoom(
    exact_segmenter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unetkit.inference.run import image as images

    model, given = exact_segmenter(), {"output": "mask", "tile": 32, **CHOICES}
    tifffile.imwrite(tmp_path / "in.tif", blurred(200, 90))

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(images, "write_bands", lambda sink, path, recipe, rows, bands: (next(rows), next(rows), stop()))
        with pytest.raises(KeyboardInterrupt):
            unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model=model, zoom=2, **given)
    with pytest.raises(OutputError, match="zoom"):
        unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model=model, **given)
    unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model=model, zoom=2, **given)
    expected = unetkit.predict_tiled(blurred(200, 90), model, axes="YX", zoom=2)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)


def test_the_least_sure_field_is_in_pixels_of_the_image(exact_segmenter: Make, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    image = np.zeros((600, 700), np.uint8)
    image[300:420, 400:520] = blurred(120, 120)
    tifffile.imwrite(tmp_path / "in/a.tif", image)
    options: dict[str, Any] = {"model": exact_segmenter(), "output": "uncertainty", **CHOICES}
    fields = [
        unetkit.segment(tmp_path / "in", tmp_path / f"out {zoom:g}", zoom=zoom, **options)[0].field
        for zoom in (1.0, 0.5)
    ]
    for field in fields:
        assert field is not None
        assert field.top + field.size[0] <= 600
        assert field.left + field.size[1] <= 700
    assert fields[1].size == (512, 512)


# Automatic


@pytest.mark.parametrize(("radius", "expected"), [(5, 2.0), (10, 1.0), (16, 1.0), (40, 0.5), (90, 0.25)])
def test_small_objects_are_enlarged_and_large_ones_are_shrunk(
    nuclei: Segmenter, tmp_path: Path, radius: int, expected: float
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", balls(radius))
    (outcome,) = unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model=nuclei, output="labels", **CHOICES)
    assert outcome.zoom == pytest.approx(expected, rel=0.1)
    found = unetkit.predict_tiled(balls(radius), nuclei, axes="YX", output="labels", zoom=outcome.zoom)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), found)
    assert found.max() == 25
    automatic = unetkit.predict_tiled(balls(radius), nuclei, axes="YX", output="mask")
    zoom = min(outcome.zoom, 1)  # a mask gains little by more pixels
    np.testing.assert_array_equal(
        automatic, unetkit.predict_tiled(balls(radius), nuclei, axes="YX", output="mask", zoom=zoom)
    )


def test_an_image_without_objects_is_seen_as_it_is(nuclei: Segmenter, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.full((90, 90), 7, np.uint8))
    (outcome,) = unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model=nuclei, **CHOICES)
    assert outcome.zoom == 1


def test_a_pixel_size_and_other_models_leave_images_as_they_are(
    nuclei: Segmenter, exact_segmenter: Make, tmp_path: Path
) -> None:
    image = balls(5)
    tifffile.imwrite(tmp_path / "in.tif", image, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    (outcome,) = unetkit.segment(tmp_path / "in.tif", tmp_path / "a.tif", model=nuclei, pixel_size=0.5, **CHOICES)
    assert outcome.zoom == 1
    (outcome,) = unetkit.segment(tmp_path / "in.tif", tmp_path / "b.tif", model=exact_segmenter(), **CHOICES)
    assert outcome.zoom == 1


def test_large_images_are_measured_in_parts_and_stacks_in_some_planes() -> None:
    image = ArraySource(np.zeros((9, 2000, 300), np.uint8), "ZYX").info
    parts = list(zooming._parts(image, None, 3))
    assert {item for item, _ in parts} == {0, 4, 8}
    assert [(rows.start, rows.stop, columns.start, columns.stop) for _, (rows, columns) in parts[:2]] == [
        (0, 512, 0, 300),
        (1488, 2000, 0, 300),
    ]
    assert {item for item, _ in zooming._parts(image, 5, 3)} == {5}
    assert list(zooming._parts(image, None, 1)) == [(4, (slice(744, 1256), slice(0, 300)))]


@pytest.mark.parametrize(("diameter", "expected"), [(8, 2), (20, 1.4), (30, 1), (45, 1), (60, 0.62), (200, 0.24)])
def test_an_image_is_shrunk_until_objects_are_whole(diameter: float, expected: float) -> None:
    """A network that sees nothing wider than 50 pixels finds pieces of 45."""

    def measure(zoom: float) -> NDArray[Any]:
        seen = diameter * zoom
        return np.full(9, np.pi / 4 * (seen if seen <= 50 else 45) ** 2)

    found = zooming._fit(measure, 28.0)
    assert found == pytest.approx(expected, rel=0.02)


def test_too_few_objects_say_nothing() -> None:
    assert zooming._fit(lambda zoom: np.full(2, 10.0), 28.0) == 1
    assert zooming._fit(lambda zoom: np.full(9 if zoom < 1 else 0, 20.0), 28.0) == 1  # specks that appear when shrunk


# Errors


@pytest.mark.parametrize("zoom", [0, 11, -2, "large"])
def test_a_zoom_that_is_not_possible(exact_segmenter: Make, zoom: Any) -> None:
    with pytest.raises(ConfigError, match=r"Use a number from 0\.1 to 10"):
        unetkit.predict_tiled(blurred(30, 30), exact_segmenter(), zoom=zoom)


@pytest.mark.parametrize("other", [{"pixel_size": 0.5}, {"directions": 3}])
def test_a_zoom_does_not_go_with_what_else_says_how_images_are_seen(
    exact_segmenter: Make, tmp_path: Path, other: dict[str, Any]
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", blurred(30, 30))
    with pytest.raises(ConfigError, match="zoom has no meaning"):
        unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model=exact_segmenter(), zoom=2, **other)
    assert not (tmp_path / "out.tif").exists()


def test_a_zoom_is_for_planes(exact_segmenter: Make, tmp_path: Path) -> None:
    volume = exact_segmenter(stride=(1, 2, 2))
    with pytest.raises(ConfigError, match="zoom is for planes"):
        unetkit.predict_tiled(blurred(8, 30, 30), volume, axes="ZYX", zoom=2)
    tifffile.imwrite(tmp_path / "in.tif", blurred(30, 30))
    with pytest.raises(ConfigError, match="zoom has no meaning"):
        unetkit.segment(tmp_path / "in.tif", tmp_path / "out.csv", model=volume, output="classes", zoom=2)


def test_only_models_of_planes_with_instances_know_the_size_of_objects(nuclei: Segmenter) -> None:
    for wrong in (0.0, -3.0):
        with pytest.raises(ConfigError, match="object_diameter"):
            replace(nuclei.spec, object_diameter=wrong)
    with pytest.raises(ConfigError, match="object_diameter"):
        replace(nuclei.spec, object_diameter=28.0, instances=False, choice=None)
