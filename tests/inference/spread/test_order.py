"""`segment` on two worker processes gives the bytes that it gives on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import tifffile
import torch
from distributed import Client
from foreign_models import Scales, write_onnx
from spread_images import CHOICES, blobs, digests, traces

from unetkit.foundation.errors import ImageError, OutputError
from unetkit.inference.segment import segment
from unetkit.inference.spread import large, work
from unetkit.io.writing.block_folder import BlockFolder
from unetkit.zoo.opening import load_model

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads as the workers have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "image.tif", blobs(270, 330), tile=(64, 64))
    return tmp_path / "image.tif"


def assert_same(image: Any, folder: Path, client: Client, model: Any, name: str, **options: Any) -> None:
    """Segment to the same name in two folders, here and on the cluster."""
    choices = {**CHOICES, **options}
    if choices.get("output") == "uncertainty":
        del choices["threshold"]
    paths = {key: choices.pop(key) for key in ("table", "geojson", "rois") if key in choices}

    def run(place: Path, **more: Any) -> Any:
        place.mkdir(exist_ok=True)
        files = {key: place / value for key, value in paths.items()}
        return segment(image, place / name, model, **choices, **files, **more)

    here, there = run(folder / "here"), run(folder / "there", client=client)
    assert digests(folder / "there") == digests(folder / "here")
    assert [one.image for one in there] == [one.image for one in here]
    for one, other in zip(here, there, strict=True):
        for field in ("pixels", "tiles", "objects", "skipped", "planes", "min_size", "zoom", "field", "bad_tiles"):
            assert getattr(one, field) == getattr(other, field), field
    assert not traces(folder)


@pytest.mark.parametrize("output", ["mask", "probabilities", "uncertainty"])
@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_pixels_have_the_same_bytes(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path, name: str, output: str
) -> None:
    assert_same(image, tmp_path, client, tiny_model, name, output=output)


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_labels_of_an_enlarged_image_have_the_same_bytes(
    image: Path, tmp_path: Path, client: Client, objects_model: Path, name: str
) -> None:
    files = {"table": "objects.csv", "geojson": "objects.geojson"}
    assert_same(image, tmp_path, client, objects_model, name, output="labels", min_confidence=0.0, zoom=1.5, **files)


def test_pixels_of_an_enlarged_image_have_the_same_bytes(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path
) -> None:
    assert_same(image, tmp_path, client, tiny_model, "out.tif", output="uncertainty", zoom=0.7)


@pytest.mark.parametrize("name", ["out.tif", "out.zarr", "out.png"])
def test_labels_and_files_of_objects_have_the_same_bytes(
    image: Path, tmp_path: Path, client: Client, objects_model: Path, name: str
) -> None:
    files = {"table": "objects.csv", "geojson": "objects.geojson", "rois": "objects.zip"}
    assert_same(image, tmp_path, client, objects_model, name, output="labels", min_confidence=0.0, **files)


def test_labels_without_distances_are_separated_as_on_one_machine(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path
) -> None:
    assert_same(image, tmp_path, client, tiny_model, "out.zarr", output="labels", split=True, min_size=5)


def test_a_stack_is_spread_by_planes_and_by_blocks_of_planes(
    tmp_path: Path, client: Client, tiny_model: Path, objects_model: Path
) -> None:
    small, large = tmp_path / "small.tif", tmp_path / "large.tif"
    tifffile.imwrite(small, blobs(20, 50, 60), metadata={"axes": "ZYX"})
    tifffile.imwrite(large, blobs(3, 150, 200), metadata={"axes": "TYX"})
    for image in (small, large):
        assert_same(image, tmp_path, client, tiny_model, f"{image.stem}.tif", skip_empty=True)
        assert_same(image, tmp_path, client, objects_model, f"{image.stem}.zarr", output="labels", min_confidence=0.0)


def test_a_folder_of_large_and_small_images_is_spread_both_ways(
    tmp_path: Path, client: Client, tiny_model: Path, objects_model: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number, size in enumerate([(40, 50), (200, 260), (64, 64), (30, 30)]):
        tifffile.imwrite(images / f"{number}.tif", blobs(*size, seed=number))
    choices: dict[str, Any] = {"output": "labels", "min_confidence": 0.0, "table": "tables"}
    assert_same(images, tmp_path, client, objects_model, "out", **choices)
    assert_same(images, tmp_path, client, tiny_model, "unsure", output="uncertainty")


def test_a_model_in_memory_is_sent_as_it_is(image: Path, tmp_path: Path, client: Client, tiny_model: Path) -> None:
    model = load_model(tiny_model)
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.mul_(0.9)
    assert_same(image, tmp_path, client, model, "out.tif", output="probabilities")


def spoil(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(b"spoiled!" * 100)


def test_a_bad_image_among_many_costs_only_itself(tmp_path: Path, client: Client, tiny_model: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number, size in enumerate([(40, 50), (200, 260), (200, 200)]):
        tifffile.imwrite(images / f"{number}.tif", blobs(*size), tile=(64, 64), compression="zlib")
    spoil(images / "1.tif")
    (images / "broken.tif").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"2 of 4 images were not segmented: \(1\) .*1.tif.* \(2\) .*broken.tif"):
        segment(images, tmp_path / "out", tiny_model, client=client, **CHOICES)
    assert sorted(file.name for file in (tmp_path / "out").iterdir() if file.suffix == ".tif") == ["0.tif", "2.tif"]


def test_what_cannot_be_decoded_is_background_in_all_blocks(tmp_path: Path, client: Client, tiny_model: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", blobs(270, 330), tile=(64, 64), compression="zlib")
    spoil(tmp_path / "image.tif")
    assert_same(tmp_path / "image.tif", tmp_path, client, tiny_model, "out.tif", on_bad_tile="background")


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_a_run_whose_client_was_stopped_goes_on(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, expected = tmp_path / name, tmp_path / "expected"
    segment(image, result, tiny_model, **CHOICES)
    result.rename(expected)
    done, original = [0], work.SegmentWork.done

    def stop_at_the_fifth(self: work.SegmentWork, task: Any, found: Any) -> None:
        done[0] += 1
        if done[0] == 5:
            raise KeyboardInterrupt
        original(self, task, found)

    said: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(work.SegmentWork, "done", stop_at_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            segment(image, result, tiny_model, client=client, log=said.append, **CHOICES)
    assert any("same command with --resume goes on" in sentence for sentence in said)
    waiting = BlockFolder.place(result)
    assert waiting.is_dir()
    said.clear()
    (outcome,) = segment(image, result, tiny_model, client=client, log=said.append, resume=True, **CHOICES)
    assert 0 < outcome.kept < outcome.pixels
    assert any("going on from there" in sentence for sentence in said)
    assert digests(result) == digests(expected)
    assert not waiting.exists()


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_a_block_that_was_damaged_while_it_waited_is_made_again(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, expected = tmp_path / name, tmp_path / "expected"
    segment(image, result, tiny_model, **CHOICES)
    result.rename(expected)
    original = large.LargeImage.done
    damaged = list[Path]()

    def damage_the_first(self: large.LargeImage, step: Any, found: Any) -> None:
        original(self, step, found)
        blocks = sorted(BlockFolder.place(result).glob("*.block"))
        if not damaged and len(blocks) > 2:
            damaged.append(blocks[0])
            blocks[0].write_bytes(b"spoiled")
            blocks[1].unlink()

    with monkeypatch.context() as patched:
        patched.setattr(large.LargeImage, "done", damage_the_first)
        with pytest.raises(OutputError, match="cannot be read") as error:
            segment(image, result, tiny_model, client=client, **CHOICES)
    assert "--resume" in error.value.remedy
    for _ in range(2):  # the one that was found first, and the other
        try:
            segment(image, result, tiny_model, client=client, resume=True, **CHOICES)
            break
        except OutputError:
            continue
    assert digests(result) == digests(expected)


def test_a_folder_of_smp_gives_the_same_bytes(
    image: Path, tmp_path: Path, client: Client, small_halo_canvas: None
) -> None:
    torch.manual_seed(1)
    network = smp.Unet("resnet18", 3, encoder_weights=None, decoder_channels=(16, 8, 8), in_channels=1, classes=1)
    network.save_pretrained(tmp_path / "smp")
    assert_same(image, tmp_path, client, tmp_path / "smp", "out.tif")


def test_a_network_of_another_program_gives_the_same_bytes(
    image: Path, tmp_path: Path, client: Client, small_halo_canvas: None
) -> None:
    graph = write_onnx(Scales(channels=1), tmp_path / "cells.onnx", (1, 1, 64, 64), (0, 2, 3))
    assert_same(image, tmp_path, client, graph, "out.tif")
