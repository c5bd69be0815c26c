"""Models that separate touching objects, from pixels to labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from choices import choice_by
from forwards import RAW, make_forward
from numpy.typing import NDArray
from torch import Tensor, nn

from unetkit.backends.registry import create_backend, is_installed
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.inference.array import predict_tiled
from unetkit.inference.engine.ensemble import gather_models
from unetkit.inference.segment import segment
from unetkit.inference.tiling.halo import measure_halo
from unetkit.inference.tiling.options import OutputOptions
from unetkit.io.writing.resume_store import BandStore
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.report.segmented import summarize

Make = Callable[..., Segmenter]

TINY = ModelSpec(
    encoder="resnet18", depth=3, decoder_channels=(32, 16, 8), in_channels=1, halo=16, instances=True, threshold=0.5
)


class TwoChannels(nn.Module):
    """Foreground where the first channel is above 1/2; the predicted distance is the second channel."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat([(pixels[:, :1] - 0.5) * 20, torch.logit(pixels[:, 1:2].clamp(1e-4, 1 - 1e-4))], dim=1)


def known_model(threshold: float = 0.5, **changes: Any) -> Segmenter:
    """Return a model whose output is its input, uint8 mask and distance map."""
    raw = Normalization(scope="dataset", center=(0.0, 0.0), scale=(255.0, 255.0))
    spec = replace(TINY, in_channels=2, normalization=raw, threshold=threshold, **changes)
    return Segmenter(spec, TwoChannels())


def cells() -> NDArray[np.uint8]:
    """Return the mask and the distance map (2, 120, 140) of four discs, of which two touch."""
    grid = np.mgrid[:120, :140]
    image = np.zeros((2, 120, 140), np.uint8)
    for y, x, radius in ((40, 40, 16), (40, 68, 16), (90, 30, 12), (95, 110, 20)):
        height = 255 * (1 - np.hypot(grid[0] - y, grid[1] - x) / radius)
        image[1] = np.maximum(image[1], height.clip(0)).astype(np.uint8)
    image[0] = (image[1] > 0) * 255
    return image


@pytest.fixture
def tiny_instances(tmp_path: Path) -> Path:
    """The file of a U-Net with random weights that separates objects."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        segmenter = Segmenter(TINY).eval()
    save_model(segmenter, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)


# What the device gives back


@pytest.mark.parametrize("augment", [False, True])
def test_mask_and_distance_map_are_the_channels_of_the_network(exact_segmenter: Make, augment: bool) -> None:
    segmenter = exact_segmenter(instances=True)
    pixels = noise(2, 1, 48, 64) // 4
    kept = (slice(8, 40), slice(9, 50))

    def predict(kind: str) -> NDArray[Any]:
        forward = make_forward(segmenter, kind=kind, augment=augment, threshold=0.45)
        return forward.submit(forward.gather(list(pixels)), [[RAW, RAW]], kept).result()

    mask, probabilities, both = (predict(kind) for kind in ("mask", "probabilities", "heights"))
    assert (mask.shape, probabilities.shape, both.shape) == ((2, 1, 32, 41), (2, 1, 32, 41), (2, 2, 32, 41))
    assert both.dtype == np.uint8
    assert 0 < mask.mean() < 255
    np.testing.assert_array_equal(mask, np.where(probabilities >= 0.45, 255, 0))
    np.testing.assert_array_equal(both[:, :1] > 0, mask > 0)
    assert np.abs(both[:, :1] - 255.0 * probabilities)[mask > 0].max() <= 0.51
    turned = [(turns, flip) for flip in (False, True) for turns in range(4)] if augment else [(0, False)]
    total = np.zeros((2, 48, 64))
    for turns, flip in turned:
        seen = np.rot90(pixels, turns, (2, 3))
        seen = seen[..., ::-1] if flip else seen
        with torch.inference_mode():
            got = segmenter(torch.from_numpy(seen.astype(np.float32)), torch.zeros(2, 1), torch.ones(2, 1))[:, 1]
        back = got.numpy()[..., ::-1] if flip else got.numpy()
        total += np.rot90(back, -turns, (1, 2))
    distances = (255 * total[:, kept[0], kept[1]] / len(turned)).clip(1)
    inside = mask[:, 0] > 0
    assert np.abs(both[:, 1].astype(float) - distances)[inside].max() <= 0.51
    assert both[:, 1][inside].min() >= 1
    assert not both[:, 1][~inside].any()


@pytest.mark.parametrize(("sign", "kept"), [(1, 3), (-1, 1)])
def test_a_model_that_has_learnt_which_objects_are_good_keeps_only_those(sign: int, kept: int) -> None:
    choice = choice_by("log size", sign, -6.4 * sign)
    assert predict_tiled(cells(), known_model(), output="labels").max() == 4
    model = known_model(choice=choice)
    assert predict_tiled(cells(), model, output="labels").max() == kept
    assert predict_tiled(cells(), model, output="labels", min_confidence=0).max() == 4  # all, as the user asks for them


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_all_backends_predict_mask_and_distance_map(tiny_instances: Path, backend: Any) -> None:
    if not is_installed(backend):
        pytest.skip(f"{backend} is not installed")
    segmenter = gather_models(tiny_instances).segmenters[0]
    pixels = torch.from_numpy(noise(2, 1, 64, 64))
    center, scale, kept = torch.full((2, 1), 120.0), torch.full((2, 1), 70.0), (slice(16, 48), slice(9, 64))
    with torch.inference_mode():
        expected = segmenter(pixels, center, scale)[:, :, kept[0], kept[1]]
    got = create_backend(backend, segmenter, torch.device("cpu"), "fp32")(pixels, center, scale, kept)
    assert got.shape == (2, 2, 32, 55)
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


def test_the_halo_is_measured_on_the_mask(exact_segmenter: Make) -> None:
    images = [(noise(1, 100, 100).astype(np.float32), np.zeros(1, np.float32), np.full(1, 4, np.float32))]
    with_map = exact_segmenter(instances=True)
    without = exact_segmenter()
    last = without.network.last
    last.weight.data = with_map.network.last.weight.data[:1].clone()
    assert measure_halo(with_map, images) == measure_halo(without, images)


# Labels


def test_the_labels_are_the_watershed_of_the_predicted_distance_map() -> None:
    image = cells()
    labels = predict_tiled(image, known_model(), axes="CYX", output="labels", tile=64, backend="torch")
    assert labels.max() == 4
    assert labels[40, 40] != labels[40, 68]
    np.testing.assert_array_equal(labels > 0, image[0] > 0)
    expected = np.concatenate(list(Labels([image], image.shape[1:], method=by_predicted_distance(0.5)).rows()), axis=1)[
        0
    ]
    np.testing.assert_array_equal(labels, expected)
    for split in (False, True):
        again = predict_tiled(image, known_model(), axes="CYX", output="labels", split=split, backend="torch")
        np.testing.assert_array_equal(again, labels)
    large = predict_tiled(image, known_model(), axes="CYX", output="labels", min_size=600, backend="torch")
    assert large.max() == np.count_nonzero(np.bincount(labels.ravel())[1:] >= 600) < 4


def test_labels_of_tiles_are_those_of_the_whole_image(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(instances=True)
    image = noise(150, 170) // 4
    whole, tiled = (predict_tiled(image, segmenter, output="labels", tile=tile, halo=8) for tile in (256, 40))
    assert whole.max() > 20
    np.testing.assert_array_equal(tiled, whole)


def test_mask_and_probabilities_are_those_of_a_model_without_distance_map(tiny_instances: Path) -> None:
    segmenter = gather_models(tiny_instances).segmenters[0]
    image = noise(60, 90)
    mask, probabilities = (
        predict_tiled(image, segmenter, output=output, tile=128, backend="torch")
        for output in ("mask", "probabilities")
    )
    assert mask.shape == probabilities.shape == (60, 90)
    np.testing.assert_array_equal(mask, np.where(probabilities >= 0.5, 255, 0))
    head = segmenter.network.segmentation_head[0]
    head.weight.data, head.bias.data = head.weight.data[:1], head.bias.data[:1]
    alone = Segmenter(replace(segmenter.spec, instances=False), segmenter.network)
    expected = predict_tiled(image, alone, output="probabilities", tile=128, backend="torch")
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)  # libraries add in an order that depends on channels


# Choices


def test_models_with_and_without_instances_do_not_go_together(exact_segmenter: Make) -> None:
    with pytest.raises(ModelError, match=r"has instances False, but .* has True"):
        gather_models([exact_segmenter(instances=True), exact_segmenter()])


def test_a_mean_of_models_with_instances_is_one_of_distance_maps_too(exact_segmenter: Make) -> None:
    model = exact_segmenter(instances=True)
    image = noise(60, 90) // 4
    one, several = (predict_tiled(image, models, output="labels", tile=64) for models in (model, [model, model]))
    np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("values", [{"min_size": -1, "output": "labels"}, {"min_size": 5}])
def test_a_smallest_size_that_means_nothing_is_an_error(values: Any) -> None:
    with pytest.raises(ConfigError, match="min_size"):
        OutputOptions(**values)


@pytest.mark.parametrize(("min_size", "objects"), [(None, 3), (0, 4), (200, 4), (900, 1)])
def test_what_the_model_knows_to_be_too_small_is_left_out_unless_the_user_says_otherwise(
    min_size: int | None, objects: int
) -> None:
    """The discs have some 800, 800, 450 and 1,250 pixels."""
    model = known_model(smallest_object=600)
    labels = predict_tiled(cells(), model, axes="CYX", output="labels", min_size=min_size, backend="torch")
    assert labels.max() == objects
    mask = predict_tiled(cells(), model, axes="CYX", backend="torch")
    np.testing.assert_array_equal(mask, cells()[0])


# From file to file


@pytest.mark.parametrize(
    ("reading", "options", "objects", "left_out"),
    [
        ({}, {}, 3, 600),  # the pixels of the training images
        ({"pixel_size": 1.0}, {}, 3, 150),  # pixels of 4 times that area, in which objects have a quarter of the pixels
        ({"pixel_size": 1.0}, {"min_size": 250}, 1, 250),
        ({}, {"min_size": 0}, 4, 0),
    ],
)
def test_a_smallest_size_goes_with_the_size_of_the_pixels(
    tmp_path: Path, reading: Any, options: Any, objects: int, left_out: int
) -> None:
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "in.ome.tif", cells(), metadata={"axes": "CYX", **sizes}, photometric="minisblack")
    model = known_model(smallest_object=600, pixel_size_um=(0.5, 0.5))
    usual = {"output": "labels", "backend": "torch", **reading, **options}
    (done,) = segment(tmp_path / "in.ome.tif", tmp_path / "out.tif", model, **usual)
    assert (done.objects, done.min_size) == (objects, left_out)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert f"--min-size {left_out}" in str(file.ome_metadata)
    lines = list(summarize([done], tmp_path))
    assert ("fewer than" in "".join(lines)) == bool(left_out)


@pytest.mark.parametrize(("given", "sure", "objects"), [(None, 0.5, 2), (0.0, 0.0, 3), (0.95, 0.95, 1)])
def test_objects_that_the_model_is_unsure_of_are_left_out_and_the_file_says_so(
    tmp_path: Path, given: float | None, sure: float, objects: int
) -> None:
    image = np.zeros((2, 60, 120), np.uint8)
    for left, height in ((10, 100), (45, 180), (80, 255)):
        image[0, 20:40, left : left + 20] = 255
        image[1, 20:40, left : left + 20] = height
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="minisblack", metadata={"axes": "CYX"})
    options = {} if given is None else {"min_confidence": given}
    (done,) = segment(tmp_path / "in.tif", tmp_path / "out.tif", known_model(), output="labels", **options)
    assert (done.objects, done.min_confidence) == (objects, sure)
    assert ("confidence below" in "".join(summarize([done], tmp_path))) == bool(sure)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert f"--min-confidence {sure}" in str(file.ome_metadata)


def test_the_lowest_confidence_is_that_of_the_model_unless_one_is_given(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", cells(), photometric="minisblack", metadata={"axes": "CYX"})
    options: dict[str, Any] = {"output": "labels", "backend": "torch"}
    for given, sure in ((None, 0.85), (0.4, 0.4)):
        found = segment(
            tmp_path / "in.tif",
            tmp_path / f"{sure}.tif",
            known_model(min_confidence=0.85),
            min_confidence=given,
            **options,
        )
        assert [one.min_confidence for one in found] == [sure]


@pytest.mark.parametrize("values", [{"min_confidence": 1.5, "output": "labels"}, {"min_confidence": 0.5}])
def test_a_confidence_that_means_nothing_is_an_error(values: Any) -> None:
    with pytest.raises(ConfigError, match="min_confidence"):
        OutputOptions(**values)


def test_a_model_without_instances_has_no_confidence(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise(60, 60))
    model = Segmenter(replace(TINY, instances=False))
    with pytest.raises(ConfigError, match="trained without instances"):
        segment(tmp_path / "in.tif", tmp_path / "out.tif", model, output="labels", min_confidence=0.5)
    assert not (tmp_path / "out.tif").exists()


def test_a_dry_run_and_info_name_what_would_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise(60, 60))
    save_model(Segmenter(replace(TINY, smallest_object=21)), tmp_path / "tiny.safetensors")
    words = [
        "segment",
        str(tmp_path / "in.tif"),
        str(tmp_path / "out.tif"),
        "--model",
        str(tmp_path / "tiny.safetensors"),
    ]
    words += ["--backend", "torch", "--dry-run"]
    said = []
    for more in ([], ["--output", "labels"], ["--output", "labels", "--min-size", "0", "--min-confidence", "0"]):
        assert main([*words, *more]) == 0
        said.append(capsys.readouterr().out)
    assert "left out" not in said[0]
    assert "fewer than 21 pixels" in said[1]
    assert "confidence below 0.5" in said[1]
    assert "no object" in said[2]
    assert main(["info", str(tmp_path / "tiny.safetensors")]) == 0
    assert "21 pixels: labels leave out smaller ones" in capsys.readouterr().out


def test_split_is_told_to_change_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", cells(), metadata={"axes": "CYX"}, photometric="minisblack")
    told: list[str] = []
    usual = {"output": "labels", "axes": "CYX", "backend": "torch", "log": told.append}
    segment(tmp_path / "in.tif", tmp_path / "usual.tif", known_model(), **usual)
    assert not any("split" in sentence for sentence in told)
    (done,) = segment(tmp_path / "in.tif", tmp_path / "split.tif", known_model(), split=True, **usual)
    assert [sentence for sentence in told if "--split changes nothing" in sentence]
    assert done.objects == 4
    np.testing.assert_array_equal(*(tifffile.imread(tmp_path / f"{name}.tif") for name in ("usual", "split")))


class OneChannel(nn.Module):
    """The foreground's probability is the first channel."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.logit(pixels[:, :1].clamp(1e-4, 1 - 1e-4))


@pytest.mark.parametrize("tile", [64, 256])
def test_a_gap_in_a_border_is_closed_by_the_probability_of_models_without_distances(tile: int) -> None:
    image = np.full((2, 96, 128), 250, np.uint8)
    image[0, :, 60:66] = 20
    image[0, 40:56, 60:66] = 150  # the border is faint here
    model = Segmenter(replace(known_model().spec, instances=False), OneChannel())
    usual: dict[str, Any] = {"output": "labels", "axes": "CYX", "min_size": 0, "backend": "torch", "tile": tile}
    assert predict_tiled(image, model, **usual).max() == 1
    found = predict_tiled(image, model, close=0.2, **usual)
    assert (found.max(), found[48, 10], found[48, 120]) == (2, 1, 2)
    with pytest.raises(ConfigError, match="separates touching objects by itself"):
        predict_tiled(image, known_model(), close=0.2, **usual)


def test_a_run_that_was_stopped_goes_on_with_masks_and_distance_maps(
    tiny_instances: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise(200, 90))
    words = ["segment", str(tmp_path / "in.tif"), str(tmp_path / "out.tif"), "--model", str(tiny_instances)]
    words += ["--tile", "64", "--backend", "torch"]
    labels = [*words, "--output", "labels"]
    assert main(labels) == 0
    expected = tifffile.imread(tmp_path / "out.tif")
    (tmp_path / "out.tif").unlink()
    append = BandStore.append

    def fail(self: BandStore, band: NDArray[Any]) -> None:
        if len(self) == 3:
            raise KeyboardInterrupt
        append(self, band)

    with monkeypatch.context() as patch:
        patch.setattr(BandStore, "append", fail)
        assert main(labels) == 130
    capsys.readouterr()
    assert main([*words, "--resume"]) == 2
    assert 'output was "heights" and is now "mask"' in capsys.readouterr().err
    assert main([*labels, "--resume"]) == 0
    assert "holds 3 of" in capsys.readouterr().out
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)


def test_a_model_of_several_classes_gives_labels_and_says_which_are_of_which_class(
    exact_segmenter: Callable[..., Segmenter], tmp_path: Path
) -> None:
    segmenter = exact_segmenter(classes=3)
    segmenter.spec = replace(segmenter.spec, class_names=("background", "tumour", "stroma"))
    image = np.random.default_rng(2).integers(0, 60, (60, 70)).astype(np.uint8)
    classes = predict_tiled(image, segmenter, tile=32)
    labels = predict_tiled(image, segmenter, tile=32, output="labels", min_size=0)
    np.testing.assert_array_equal(labels > 0, classes > 0)
    numbers = [set(np.unique(labels[classes == value])) for value in (1, 2)]
    assert all(numbers)
    assert max(numbers[0]) < min(numbers[1])
    tifffile.imwrite(tmp_path / "in.tif", image)
    told: list[str] = []
    segment(tmp_path / "in.tif", tmp_path / "out.tif", segmenter, tile=32, output="labels", min_size=0, log=told.append)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), labels)
    ranges = f"tumour 1-{max(numbers[0])}, stroma {min(numbers[1])}-{max(numbers[1])}"
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert ranges in str(file.ome_metadata)
    assert any(ranges in sentence for sentence in told)
