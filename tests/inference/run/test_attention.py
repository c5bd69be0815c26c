from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tifffile import TiffFile, imread, imwrite
from torch import Tensor, nn

from unetkit import predict_tiled, segment
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError
from unetkit.inference.run.attention import attention_maps, attention_rows
from unetkit.io.base.arrays import ArraySource
from unetkit.models.image_head import ImageClassifier
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

SPEC = ModelSpec(
    "resnet18",
    depth=3,
    decoder_channels=(8, 8, 8),
    image_classes=("bright", "dark"),
    image_size=64,
    normalization=Normalization(scope="dataset", center=(100,), scale=(100,)),
)


class Spots(nn.Module):
    """Features at every 8th pixel, as in a ResNet: how bright it is around it, and how dark, against grey."""

    def forward(self, pixels: Tensor) -> list[Tensor]:
        means = nn.functional.avg_pool2d(pixels, 7, stride=8, padding=3, count_include_pad=False)
        return [pixels, torch.cat([means.relu(), (-means).relu()], dim=1)]


def make(classes: tuple[str, ...] = ("bright", "dark"), hidden: int = 0, task: str = "segmentation") -> Segmenter:
    """A model whose classes are those of `Spots`, by a head of ones and zeros."""
    spec = replace(SPEC, image_classes=classes, image_head_hidden=hidden, task=task)
    network = Segmenter(spec).network
    network.encoder = Spots()  # type: ignore[assignment]
    layers: list[nn.Module] = [nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, len(classes))] if hidden else []
    layers = layers or [nn.Linear(2, len(classes))]
    network.image_head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)  # type: ignore[assignment]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            layer.weight.data = torch.eye(2)[: layer.out_features]
            layer.bias.data.zero_()
    return Segmenter(spec, network).eval()


def picture(height: int = 128, width: int = 96) -> np.ndarray:
    """A grey image with a bright square at the top left and a dark one at the bottom right."""
    image = np.full((height, width), 100, np.uint8)
    image[height // 8 : height // 4, width // 8 : width // 4] = 200
    image[-height // 4 : -height // 8, -width // 4 : -width // 8] = 0
    return image


def peak(found: np.ndarray) -> tuple[float, float]:
    """Row and column of the middle of what is highest, as shares of the size."""
    places = np.argwhere(found > 0.99 * found.max()).mean(0)
    return tuple((places / found.shape).tolist())


@pytest.mark.parametrize("hidden", [0, 2])
def test_each_class_is_seen_where_it_is(hidden: int) -> None:
    source = ArraySource(picture(), "YX")
    maps = np.concatenate(list(attention_rows(source, [ImageClassifier(make(hidden=hidden))])), axis=1)
    assert maps.shape == (2, 128, 96)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max(axis=(1, 2)) == pytest.approx([1, 1], abs=0.1)
    assert all(1 / 8 <= place <= 1 / 4 for place in peak(maps[0]))
    assert all(3 / 4 <= place <= 7 / 8 for place in peak(maps[1]))


def test_maps_are_those_of_the_paper() -> None:
    """Of one class and a linear layer on the mean they are the features, weighted with the layer's weights (CAM)."""
    torch.manual_seed(0)
    classifier = ImageClassifier(Segmenter(replace(SPEC, image_classes=("it",))))
    pixels, center, scale = torch.rand(2, 1, 64, 64) * 200, torch.full((2, 1), 100.0), torch.full((2, 1), 50.0)
    features = classifier.encoder((pixels - 100) / 50)[-1]  # type: ignore[operator]
    weights = classifier.image_head[3].weight[0]  # type: ignore[index]
    expected = (features * weights[:, None, None]).sum(1).relu().detach()
    expected /= expected.amax((1, 2), keepdim=True).clamp(min=1e-30)
    found = attention_maps(classifier, pixels, center, scale)
    torch.testing.assert_close(found[:, 0], expected)


def test_maps_lie_over_what_the_network_looks_at() -> None:
    """Small spots in many places: the highest place of the map is within half a feature of each, without a trend."""
    offsets = []
    for y, x in np.random.default_rng(0).integers(12, 48, (30, 2)):
        image = np.full((64, 64), 100, np.uint8)
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
        (found,) = attention_rows(ArraySource(image, "YX"), [ImageClassifier(make(("bright",)))])
        centre = np.argwhere(found[0] > 0.7).mean(0)
        offsets.append(centre - (y, x))
    assert np.abs(offsets).max() < 5
    assert np.abs(np.mean(offsets, axis=0)).max() < 1


def test_what_speaks_for_nothing_is_empty_and_no_nan() -> None:
    classifier = ImageClassifier(make(("bright",)))
    found = attention_maps(
        classifier, torch.full((1, 1, 64, 64), 20.0), torch.tensor([[100.0]]), torch.tensor([[100.0]])
    )
    assert found.max() == 0


def test_maps_do_not_depend_on_how_many_rows_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ArraySource(np.stack([picture(), picture()[::-1]]), "ZYX")
    whole = list(attention_rows(source, [ImageClassifier(make())]))
    monkeypatch.setattr("unetkit.inference.run.attention.BAND_PIXELS", 1000)
    done: list[int] = []
    parts = list(attention_rows(source, [ImageClassifier(make())], done.append))
    assert len(whole) == 2 < len(parts)
    np.testing.assert_array_equal(np.concatenate(whole, axis=1), np.concatenate(parts, axis=1))
    assert sum(done) == 2 * 128 * 96


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Saves a network with random weights, of masks too or of whole images alone."""

    def save(**changes: object) -> Path:
        torch.manual_seed(0)
        path = tmp_path / "model.safetensors"
        save_model(Segmenter(replace(SPEC, **changes)), path)  # type: ignore[arg-type]
        return path

    return save


@pytest.mark.parametrize("task", ["segmentation", "classification"])
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_segment_writes_a_channel_for_each_class(
    saved: Callable[..., Path], tmp_path: Path, task: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, result = saved(task=task), tmp_path / f"out{suffix}"
    imwrite(tmp_path / "in.tif", picture())
    words = ["segment", str(tmp_path / "in.tif"), str(result), "--output", "attention", "--model", str(model)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "whole images, resized to 64 x 64 pixels" in said
    assert "Image class: bright" in said
    if suffix == ".tif":
        found = imread(result)
        with TiffFile(result) as file:
            assert 'Name="dark"' in str(file.ome_metadata)
            assert "threshold" not in str(file.ome_metadata)
    else:
        import zarr

        found = np.asarray(zarr.open_group(result, mode="r")["0"]).reshape(2, 128, 96)
    assert found.shape == (2, 128, 96)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert found.max() > 0


def test_a_folder_is_written_image_by_image(saved: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        imwrite(tmp_path / "in" / f"{name}.tif", picture())
    done = segment(tmp_path / "in", tmp_path / "out", saved(image_classes=("it",)), output="attention")
    assert [item.result.name for item in done] == ["a.tif", "b.tif"]
    assert imread(done[0].result).shape == (128, 96)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("out.png",), "a PNG holds one plane of a mask or of labels"),
        (("out.tif", "--model", "nuclei"), "nuclei does not classify whole images"),
        (("out.tif", "--dry-run"), "no meaning for attention"),
        (("out.tif", "--verify-seams"), "verify_seams compares masks"),
        (("out.tif", "--threshold", "0.5"), "threshold has no meaning for the output 'attention'"),
        (("out.tif", "--resume"), "resume has no meaning"),
        (("out.tif", "--split"), "split has no meaning"),
    ],
)
def test_what_is_not_possible_is_an_error(
    saved: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    imwrite(tmp_path / "in.tif", picture())
    model = () if "--model" in words else ("--model", str(saved()))
    assert main(["segment", "in.tif", *words, "--output", "attention", *model]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_an_array_is_referred_to_the_function_that_writes(saved: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"Use unetkit\.segment"):
        predict_tiled(picture(), saved(), output="attention")
