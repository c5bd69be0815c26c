"""How unsure models are of each pixel, against SciPy and NumPy, and which images are worth annotating next."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import tifffile
import torch
import zarr
from forwards import RAW, make_forward
from numpy.typing import NDArray
from torch import nn

from unetkit.backends.registry import create_backend, is_installed
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, OutputError
from unetkit.inference.array import predict_tiled
from unetkit.inference.engine.forward import Forward
from unetkit.inference.engine.orientations import orientations
from unetkit.inference.engine.uncertainty import Spread, normalised_entropy
from unetkit.inference.segment import segment
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec

Make = Callable[..., Segmenter]
INSIDE = (slice(8, 40), slice(9, 50))


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 60, shape, np.uint8)


def predict(forward: Forward, pixels: NDArray[Any], models: int = 1) -> NDArray[Any]:
    return forward.submit(forward.gather(list(pixels)), [[RAW] * len(pixels)] * models, INSIDE).result()


def all_classes(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities (N, classes, ...), those of the background too where there is one class."""
    both = [probabilities, 1 - probabilities]
    return np.concatenate(both, axis=1) if probabilities.shape[1] == 1 else probabilities


@pytest.mark.parametrize("classes", [2, 4])
def test_one_prediction_gives_the_entropy_of_its_probabilities(exact_segmenter: Make, classes: int) -> None:
    model, pixels = exact_segmenter(classes=classes), noise(2, 1, 48, 64)
    found = predict(make_forward(model, kind="uncertainty"), pixels)
    probabilities = predict(make_forward(model, kind="probabilities"), pixels)
    assert (found.shape, found.dtype) == ((2, 1, 32, 41), np.float32)
    expected = scipy.stats.entropy(all_classes(probabilities), base=classes, axis=1)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
    assert 0 <= found.min() < found.max() <= 1


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("augment", [False, True])
def test_several_predictions_also_give_the_deviation_between_them(
    exact_segmenter: Make, classes: int, augment: bool
) -> None:
    models, pixels = [exact_segmenter(classes=classes), exact_segmenter(classes=classes)], noise(2, 1, 48, 64)
    models[1].network.last.weight.data = models[1].network.last.weight.data.flip(-1)
    found = predict(make_forward(*models, kind="uncertainty", augment=augment), pixels, models=2)
    members = []
    for model in models:
        for way in orientations(2) if augment else orientations(2)[:1]:
            turned = way.apply(torch.from_numpy(pixels)).float()
            with torch.inference_mode():
                back = way.undo(model(turned, torch.zeros(2, 1), torch.ones(2, 1)))
            members.append(back.numpy()[:, :, INSIDE[0], INSIDE[1]])
    mean = all_classes(np.mean(members, 0))
    np.testing.assert_allclose(found[:, 0], scipy.stats.entropy(mean, base=classes, axis=1), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], np.std(members, 0).mean(1), atol=1e-5)
    assert found[:, 1].max() > 0.01


@pytest.mark.parametrize("options", [{}, {"tta": True}])
@pytest.mark.parametrize("classes", [2, 4])
def test_tiles_give_what_the_whole_gives(exact_segmenter: Make, classes: int, options: Any) -> None:
    model, image = exact_segmenter(classes=classes), noise(2, 150, 170)
    whole, tiled = (
        predict_tiled(image, model, axes="ZYX", output="uncertainty", tile=tile, halo=8, backend="torch", **options)
        for tile in (256, 40)
    )
    assert whole.shape == ((2, 2, 150, 170) if options else (2, 150, 170))
    np.testing.assert_allclose(tiled, whole, atol=2e-6)  # the exponential of PyTorch differs at the end of a vector


@pytest.mark.parametrize("classes", [1, 4])
def test_of_the_same_probabilities_it_is_the_same_bit_by_bit_in_any_window(classes: int) -> None:
    members = torch.rand((3, 2, classes, 50, 67), generator=torch.Generator().manual_seed(0))

    def unsure(some: torch.Tensor) -> torch.Tensor:
        spread, total = Spread(classes), torch.zeros_like(some[0])
        for one in some:
            total = total + one
            spread.add(one, total)
        return torch.cat([normalised_entropy(total / len(some)), spread.result()], dim=1)

    whole = unsure(members)
    for rows, columns in ((slice(0, 13), slice(5, 38)), (slice(7, 50), slice(1, 2)), (slice(49, 50), slice(3, 67))):
        window = members[..., rows, columns]
        assert torch.equal(unsure(window), whole[..., rows, columns])
        assert torch.equal(unsure(window.contiguous()), whole[..., rows, columns])


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_all_backends_give_it(tiny_segmenter: Segmenter, backend: Any) -> None:
    if not is_installed(backend):
        pytest.skip(f"{backend} is not installed")
    pixels = noise(1, 1, 64, 64)
    one = create_backend(backend, tiny_segmenter, torch.device("cpu"), "fp32")
    found = predict(make_forward(tiny_segmenter, backends=[one], kind="uncertainty"), pixels)
    np.testing.assert_allclose(found, predict(make_forward(tiny_segmenter, kind="uncertainty"), pixels), atol=1e-4)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_file_names_its_channels_and_keeps_its_planes(tiny_model: Path, tmp_path: Path, suffix: str) -> None:
    image = noise(3, 40, 56)
    tifffile.imwrite(tmp_path / "in.ome.tif", image, metadata={"axes": "TYX"})
    result = tmp_path / f"out{suffix}"
    command = ["segment", str(tmp_path / "in.ome.tif"), str(result), "--model", str(tiny_model), "--tta"]
    assert main([*command, "--output", "uncertainty"]) == 0
    expected = predict_tiled(image, tiny_model, axes="TYX", output="uncertainty", tta=True)
    if suffix == ".tif":
        with tifffile.TiffFile(result) as file:
            assert all(f'Name="{name}"' in str(file.ome_metadata) for name in ("entropy", "spread"))
            np.testing.assert_array_equal(file.asarray(), expected)
    else:
        group = zarr.open_group(result, mode="r")
        np.testing.assert_array_equal(group["0"][:], expected)
        assert group.attrs["unetkit"]["channel_names"] == ["entropy", "spread"]
    assert not (tmp_path / "uncertainty.csv").exists()


def test_what_has_no_classes_has_no_uncertainty(tmp_path: Path, tiny_model: Path) -> None:
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), in_channels=1, task="reconstruction", halo=8)
    model = Segmenter(spec, nn.Conv2d(1, 1, 1))
    tifffile.imwrite(tmp_path / "in.tif", noise(40, 50))
    with pytest.raises(ConfigError, match="restores images"):
        segment(tmp_path / "in.tif", tmp_path / "out.tif", model, output="uncertainty")
    with pytest.raises(ConfigError, match="threshold has no meaning"):
        segment(tmp_path / "in.tif", tmp_path / "out.tif", tiny_model, output="uncertainty", threshold=0.5)


# Which images are worth annotating next


def write_folder(folder: Path) -> dict[str, NDArray[np.uint8]]:
    folder.mkdir()
    images = {"a": noise(300, 280), "b": noise(60, 50), "c": noise(2, 310, 70), "d": np.zeros((40, 40), np.uint8)}
    for name, pixels in images.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels, photometric="minisblack")
    return images


def least_sure(uncertainty: NDArray[Any]) -> tuple[float, int, int, int]:
    """The highest mean of a field of 256 x 256 pixels at multiples of 64, and its place, one by one."""
    planes = uncertainty.reshape(-1, *uncertainty.shape[-2:]).astype(np.float64)
    found = []
    for plane, pixels in enumerate(planes):
        blocks = [max(-(-size // 64) - 4, 0) for size in pixels.shape]
        for top in range(0, 64 * blocks[0] + 1, 64):
            for left in range(0, 64 * blocks[1] + 1, 64):
                found.append((pixels[top : top + 256, left : left + 256].mean(), plane, top, left))
    return max(found, key=lambda one: one[0])


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("tta", [False, True])
def test_a_folder_gets_a_table_with_the_least_sure_image_first(
    exact_segmenter: Make, tmp_path: Path, tta: bool
) -> None:
    images, model, told = write_folder(tmp_path / "in"), exact_segmenter(), []
    segment(tmp_path / "in", tmp_path / "out", model, output="uncertainty", tile=72, tta=tta, log=told.append)
    rows = read_table(tmp_path / "out/uncertainty.csv")
    expected = {}
    for name, pixels in images.items():
        maps = predict_tiled(pixels, model, output="uncertainty", tile=72, tta=tta)
        expected[name] = least_sure(maps[..., 0, :, :] if tta else maps)
    order = sorted(images, key=lambda name: -expected[name][0])
    assert [Path(row["image"]).stem for row in rows] == order
    for row, name in zip(rows, order, strict=True):
        assert float(row["uncertainty"]) == pytest.approx(expected[name][0], abs=2e-6)
        assert [int(row[key]) for key in ("plane", "y_px", "x_px")] == list(expected[name][1:])
        assert ("spread" in row) == tta
    sizes = {Path(row["image"]).stem: (row["height_px"], row["width_px"]) for row in rows}
    assert (sizes["a"], sizes["b"]) != (("300", "280"), ("256", "256"))
    assert sizes["b"] == ("60", "50")
    assert any(f"annotate {order[0]}.tif, {order[1]}.tif and {order[2]}.tif next" in sentence for sentence in told)


def test_the_table_of_a_resumed_run_names_all_images(tiny_model: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    segment(tmp_path / "in", tmp_path / "out", tiny_model, output="uncertainty", tta=True)
    table = (tmp_path / "out/uncertainty.csv").read_bytes()
    with pytest.raises(OutputError, match="exist"):
        segment(tmp_path / "in", tmp_path / "out", tiny_model, output="uncertainty", tta=True)
    for name in ("uncertainty.csv", "b.tif"):
        (tmp_path / "out" / name).unlink()
    segment(tmp_path / "in", tmp_path / "out", tiny_model, output="uncertainty", tta=True, resume=True)
    assert (tmp_path / "out/uncertainty.csv").read_bytes() == table


def test_a_table_that_is_there_is_not_replaced_unless_asked(tiny_model: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/uncertainty.csv").write_text("precious")
    with pytest.raises(OutputError, match=r"uncertainty\.csv exists"):
        segment(tmp_path / "in", tmp_path / "out", tiny_model, output="uncertainty")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["uncertainty.csv"]
    segment(tmp_path / "in", tmp_path / "out", tiny_model, output="uncertainty", overwrite=True)
    assert len(read_table(tmp_path / "out/uncertainty.csv")) == 4
