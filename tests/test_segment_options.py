"""Every option of `unetkit segment`, from the command line to the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import ome_types
import pytest
import skimage.measure
import tifffile
import torch
import zarr
from numpy.typing import NDArray
from PIL import Image

from unetkit import __version__, predict_tiled
from unetkit.backends.registry import backend_names, is_installed
from unetkit.cli import main
from unetkit.io.files import open_image
from unetkit.models.model_file import hash_file
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec, TrainingImages

HEIGHT, WIDTH = 150, 170
SMALL_TILES = ["--tile", "64", "--backend", "torch"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path


@pytest.fixture
def segment(here: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `unetkit segment` with the tiny model; return what it says."""

    def run(*words: str, code: int = 0, model: tuple[Path, ...] = (tiny_model,)) -> str:
        capsys.readouterr()
        assert main(["segment", *words, "--model", *map(str, model)]) == code
        captured = capsys.readouterr()
        assert captured.err.startswith("Error: ") or not code
        return captured.out + captured.err

    return run


def blobs(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> NDArray[np.uint8]:
    """Noise of blobs, so that a network with random weights makes objects of many sizes."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)


@pytest.fixture
def image(here: Path) -> NDArray[np.uint8]:
    """The pixels of in.tif."""
    pixels = blobs()
    tifffile.imwrite("in.tif", pixels)
    return pixels


def other_model(path: Path, seed: int, **values: object) -> Path:
    spec = ModelSpec(encoder="resnet18", depth=3, decoder_channels=(32, 16, 8), in_channels=1, halo=16, **values)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_model(Segmenter(spec).eval(), path)
    return path


# Several images


def test_several_files_a_pattern_and_a_folder_give_the_same_folder(here: Path, segment: Callable[..., str]) -> None:
    (here / "images").mkdir()
    for i, name in enumerate(("a.tif", "b.ome.tif")):
        tifffile.imwrite(here / "images" / name, blobs(40, 50, i))
    said = segment("images/a.tif", "images/b.ome.tif", "files")
    assert "files: 2 images" in said
    segment("images/*.tif", "pattern")
    segment("images", "folder")
    for name in ("a.tif", "b.tif"):
        masks = [tifffile.imread(here / folder / name) for folder in ("files", "pattern", "folder")]
        assert 0 < masks[0].mean() < 255
        assert all(np.array_equal(masks[0], mask) for mask in masks)


def test_a_bad_file_in_a_folder_is_reported_at_the_end(here: Path, segment: Callable[..., str]) -> None:
    (here / "images").mkdir()
    for name in ("a.tif", "b.tif", "c.tif"):
        tifffile.imwrite(here / "images" / name, blobs(40, 50))
    (here / "images/a.tif").write_bytes(b"II*\0 and no more")
    said = segment("images", "out", code=2)
    assert "1 of 3 images were not segmented" in said
    assert "a.tif" in said
    assert sorted(path.name for path in (here / "out").iterdir()) == ["b.tif", "c.tif"]
    tifffile.imwrite(here / "images/a.tif", blobs(40, 50))
    said = segment("images", "out", "--resume")
    assert "3 images, 2 of them segmented already" in said
    assert len(list((here / "out").iterdir())) == 3
    assert "nothing is left to do" in segment("images", "out", "--resume")


# What is read


def test_zarr_in_and_zarr_out(here: Path, segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    group = zarr.create_group("in.zarr")
    group.create_array("0", data=np.stack([image, 255 - image]), chunks=(1, 64, 64))
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [
                    {"name": "t", "type": "time"},
                    {"name": "y", "type": "space", "unit": "micrometer"},
                    {"name": "x", "type": "space", "unit": "micrometer"},
                ],
                "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}],
            }
        ],
    }
    segment("in.zarr", "out.zarr", *SMALL_TILES)
    segment("in.zarr", "out.tif", *SMALL_TILES)
    with closing(open_image("out.zarr")) as source:
        assert source.info.plane_axes == "T"
        assert source.info.pixel_size_um == pytest.approx((0.5, 0.5))
        mask = [source.read(plane, (slice(None), slice(None)))[0] for plane in range(2)]
    np.testing.assert_array_equal(mask, tifffile.imread("out.tif"))
    segment("in.tif", "one.tif", *SMALL_TILES)
    np.testing.assert_array_equal(mask[0], tifffile.imread("one.tif"))


def pixels_given(words: list[str], expected: NDArray[np.uint8], segment: Callable[..., str], name: str) -> None:
    """Check that segmenting a part of an image is segmenting an image that holds just this part."""
    segment(name, "part.tif", *words, "--overwrite")
    tifffile.imwrite("expected.tif", expected)
    segment("expected.tif", "whole.tif", "--overwrite")
    np.testing.assert_array_equal(tifffile.imread("part.tif"), tifffile.imread("whole.tif"))


def test_series_level_channels_axes_and_region(here: Path, segment: Callable[..., str]) -> None:
    first, second = blobs(80, 96), blobs(112, 104, 1)
    channels = np.stack([blobs(64, 72, seed) for seed in range(3)])
    with tifffile.TiffWriter("series.ome.tif") as file:
        file.write(first, subifds=1, metadata={"axes": "YX"})
        file.write(first[::2, ::2], subfiletype=1)
        file.write(second, metadata={"axes": "YX"})
    tifffile.imwrite("channels.ome.tif", channels, metadata={"axes": "CYX"}, photometric="minisblack")
    tifffile.imwrite("stack.tif", channels, metadata={"axes": "ZYX"})
    pixels_given(["--series", "1"], second, segment, "series.ome.tif")
    pixels_given(["--level", "1"], first[::2, ::2], segment, "series.ome.tif")
    pixels_given(["--region", "8,16,64,48"], first[8:72, 16:64], segment, "series.ome.tif")
    pixels_given(["--channels", "2"], channels[2], segment, "channels.ome.tif")
    pixels_given(["--axes", "CYX", "--channels", "1"], channels[1], segment, "stack.tif")
    assert "3 channels" in segment("channels.ome.tif", "no.tif", code=2)


def test_pixel_size_resamples_and_is_kept(here: Path, segment: Callable[..., str]) -> None:
    tifffile.imwrite(
        "in.ome.tif", blobs(160, 200), metadata={"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    )
    segment("in.ome.tif", "out.tif", "--pixel-size", "0.5")
    with closing(open_image("out.tif")) as source:
        assert (source.info.height, source.info.width) == (80, 100)
        assert source.info.pixel_size_um == pytest.approx((0.5, 0.5))


# What is written


def test_labels_are_the_components_of_the_mask(segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    segment("in.tif", "p.tif", "--output", "probabilities", *SMALL_TILES)
    words = [*SMALL_TILES, "--threshold", f"{np.percentile(tifffile.imread('p.tif'), 85):.4f}"]  # many small objects
    segment("in.tif", "mask.tif", *words)
    said = segment("in.tif", "labels.tif", "--output", "labels", *words)
    mask, labels = tifffile.imread("mask.tif"), tifffile.imread("labels.tif")
    expected = skimage.measure.label(mask > 0)
    assert labels.dtype == np.uint16
    assert labels.max() == expected.max() > 5
    assert len(np.unique(np.stack([labels, expected]).reshape(2, -1), axis=1).T) == expected.max() + 1
    assert f"{expected.max()} objects." in said
    segment("in.tif", "split.tif", "--output", "labels", "--split", *words)
    split = tifffile.imread("split.tif")
    np.testing.assert_array_equal(split > 0, mask > 0)
    assert split.max() >= labels.max()
    assert "split has no meaning" in segment("in.tif", "no.tif", "--split", code=2)


def test_probabilities_above_the_threshold_are_the_mask(segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    segment("in.tif", "p.tif", "--output", "probabilities", *SMALL_TILES)
    segment("in.tif", "mask.tif", "--threshold", "0.6", *SMALL_TILES)
    probabilities = tifffile.imread("p.tif")
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(probabilities >= 0.6, tifffile.imread("mask.tif") > 0)


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_a_pyramid_has_levels(name: str, here: Path, segment: Callable[..., str]) -> None:
    tifffile.imwrite("in.tif", blobs(600, 700))
    segment("in.tif", name, "--pyramid")
    segment("in.tif", "flat.tif")
    with closing(open_image(name)) as source:
        whole = source.read(0, (slice(None), slice(None)))[0]
    np.testing.assert_array_equal(whole, tifffile.imread("flat.tif"))
    segment(name, "half.tif", "--level", "1")
    assert tifffile.imread("half.tif").shape == (300, 350)


def test_what_made_it_is_in_the_output_and_makes_it_again(
    segment: Callable[..., str], image: NDArray[np.uint8], tiny_model: Path, here: Path
) -> None:
    segment("in.tif", "out.tif", "--tile", "64", "--tta", "--on-bad-tile", "background", "--region", "0,8,100,120")
    with tifffile.TiffFile("out.tif") as file:
        description = str(file.ome_metadata)
    for fact in (tiny_model.name, hash_file(tiny_model), f"unetkit {__version__}", "--tta", "--on-bad-tile background"):
        assert fact in description
    command = (
        description[description.index("unetkit segment in.tif") :].split("<", maxsplit=1)[0].replace("&quot;", '"')
    )
    words = command.split()[2:]
    assert words[1] == "RESULT"
    words[1] = "again.tif"
    words[words.index(tiny_model.name)] = str(tiny_model)
    assert main(["segment", *words]) == 0
    np.testing.assert_array_equal(tifffile.imread("again.tif"), tifffile.imread("out.tif"))


# How it is predicted


def test_tta_is_the_mean_of_eight_orientations(
    segment: Callable[..., str], image: NDArray[np.uint8], tiny_segmenter: Segmenter
) -> None:
    segment("in.tif", "out.tif", "--tta", "--output", "probabilities", "--region", "0,0,144,168")
    turned = []
    for flip in (False, True):
        for turns in range(4):
            view = np.rot90(image[:144, :168][:, ::-1] if flip else image[:144, :168], turns)
            back = np.rot90(predict_tiled(np.ascontiguousarray(view), tiny_segmenter, output="probabilities"), -turns)
            turned.append(back[:, ::-1] if flip else back)
    np.testing.assert_allclose(tifffile.imread("out.tif"), np.mean(turned, axis=0), atol=1e-4)


def test_several_models_are_averaged(
    segment: Callable[..., str], image: NDArray[np.uint8], tiny_model: Path, here: Path
) -> None:
    other = other_model(here / "other.safetensors", 1)
    words = ["in.tif", "--output", "probabilities", *SMALL_TILES]
    segment(words[0], "both.tif", *words[1:], model=(tiny_model, other))
    segment(words[0], "one.tif", *words[1:])
    segment(words[0], "two.tif", *words[1:], model=(other,))
    one, two = tifffile.imread("one.tif"), tifffile.imread("two.tif")
    np.testing.assert_allclose(tifffile.imread("both.tif"), (one + two) / 2, atol=1e-6)
    with tifffile.TiffFile("both.tif") as file:
        assert all(hash_file(model) in str(file.ome_metadata) for model in (tiny_model, other))


def test_empty_tiles_are_skipped_counted_and_drawn(here: Path, segment: Callable[..., str]) -> None:
    pixels = np.random.default_rng(0).integers(10, 13, (320, 320)).astype(np.uint8)
    pixels[100:140, 100:140] = blobs(40, 40)
    tifffile.imwrite("in.tif", pixels)
    said = segment("in.tif", "out.tif", "--skip-empty", *SMALL_TILES)
    assert "tiles skipped as empty: see out.tif.skipped.png" in said
    skipped, tiles = (int(word) for word in said.split("tiles skipped")[0].split()[-3::2])
    assert 0 < skipped < tiles
    picture = np.asarray(Image.open("out.tif.skipped.png")).astype(int)
    red = picture[..., 0] > picture[..., 1] + 50
    mask = tifffile.imread("out.tif")
    assert picture.shape[:2] == mask.shape
    assert not mask[red].any()
    assert not red[100:140, 100:140].any()
    segment("in.tif", "all.tif", *SMALL_TILES)
    np.testing.assert_array_equal(mask[~red], tifffile.imread("all.tif")[~red])
    assert not Path("all.tif.skipped.png").exists()


def test_seams_are_verified(segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    pattern = (
        r"([\d,]+) of [\d,]+ mask pixels .* in 8 tiles differ from a pass with 64 instead of (\d+) pixels of context"
    )
    changed = {}
    for halo in ("0", "16"):
        said = segment("in.tif", "out.tif", "--overwrite", "--verify-seams", "--halo", halo, *SMALL_TILES)
        found = re.search(pattern, said)
        assert found is not None, said
        assert found[2] == halo
        changed[halo] = int(found[1].replace(",", ""))
    assert changed["0"] > 20 * changed["16"], "without a halo there are seams"
    assert "there are no seams" in segment("in.tif", "whole.tif", "--verify-seams")


@pytest.mark.parametrize("name", [name for name in backend_names() if is_installed(name) and name != "compile"])
def test_every_backend_gives_the_same_mask(name: str, segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    said = segment("in.tif", "out.tif", "--backend", name, "--tile", "64")
    assert f"How: {name} in fp32" in said
    segment("in.tif", "torch.tif", "--backend", "torch", "--tile", "64")
    assert (tifffile.imread("out.tif") != tifffile.imread("torch.tif")).mean() < 1e-3


def test_bfloat16_is_close(segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    assert "in bf16" in segment("in.tif", "out.tif", "--precision", "bf16", "--backend", "torch")
    segment("in.tif", "exact.tif", "--backend", "torch")
    assert (tifffile.imread("out.tif") != tifffile.imread("exact.tif")).mean() < 0.05
    assert "--precision" in segment("in.tif", "no.tif", "--precision", "fp16", "--backend", "torch", code=2)


@pytest.mark.parametrize("tolerance", [-1.0, 1.0])
def test_int8_is_used_where_it_changes_little_and_is_fp32_elsewhere(
    segment: Callable[..., str],
    image: NDArray[np.uint8],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tolerance: float,
) -> None:
    """With random weights more changes than with trained ones: what is little is said here."""
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    monkeypatch.setattr("unetkit.backends.int8.INT8_TOLERANCE", tolerance)
    said = segment("in.tif", "out.tif", "--precision", "int8", "--output", "probabilities")
    segment("in.tif", "exact.tif", "--backend", "openvino", "--output", "probabilities")
    difference = np.abs(tifffile.imread("out.tif") - tifffile.imread("exact.tif"))
    if tolerance < 0:
        assert "Int8 would change" in said
        assert "fp32 instead" in said
        assert "openvino in fp32" in said
        assert difference.max() == 0
    else:
        assert "int8 changes" in said
        assert "openvino in int8" in said
        assert 1e-4 < difference.mean() < 0.1
    assert tiny_model.with_suffix(".int8.xml").exists() == (tolerance > 0)


def test_int8_with_a_backend_that_has_none_is_an_error(segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    assert "does not compute in int8" in segment(
        "in.tif", "no.tif", "--precision", "int8", "--backend", "torch", code=2
    )


def test_memory_that_is_too_little_is_an_error_and_touches_nothing(
    segment: Callable[..., str], image: NDArray[np.uint8], here: Path
) -> None:
    assert "1KB is too little" in segment("in.tif", "out.tif", "--memory", "1KB", code=2)
    assert "no amount of memory" in segment("in.tif", "out.tif", "--memory", "much", code=2)
    assert [path.name for path in here.iterdir()] == ["in.tif"]


# What is said


def test_a_dry_run_tells_all_and_writes_nothing(segment: Callable[..., str], here: Path) -> None:
    tifffile.imwrite("in.tif", np.stack([blobs(), blobs()]), metadata={"axes": "ZYX"})
    said = segment("in.tif", "out.tif", "--dry-run", *SMALL_TILES)
    for fact in (
        "ZYX (2, 150, 170)",
        "torch in fp32 on cpu, tile 64, halo 16",
        "2 planes of",
        "GB",
        "about",
        "are free",
    ):
        assert fact in said
    for name in ("tiles", "time", "memory", "disk", "warnings"):
        assert name in said
    assert [path.name for path in here.iterdir()] == ["in.tif"]
    said = segment("in.tif", "out.tif", *SMALL_TILES)
    assert tifffile.imread("out.tif").shape == (2, 150, 170)
    assert "the workers of local:2 share the time" in segment(
        "in.tif", "no.tif", "--dry-run", "--cluster", "local:2", *SMALL_TILES
    )
    assert "exists" in segment("in.tif", "out.tif", "--dry-run", code=2)
    assert "does not exist" in segment("in.tif", "nowhere/out.tif", "--dry-run", code=2)
    segment("*.tif", "later", "--dry-run")
    assert not Path("later").exists()


def test_an_image_unlike_the_training_images_gives_a_warning(
    segment: Callable[..., str], here: Path, image: NDArray[np.uint8]
) -> None:
    seen = TrainingImages(("uint8",), low=(0.0,), high=(255.0,), contrast=(40.0,))
    model = other_model(here / "m.safetensors", 0, training_images=seen, pixel_size_um=(0.5, 0.5))
    assert "does not look like" not in segment("in.tif", "out.tif", model=(model,))
    tifffile.imwrite("flat.tif", np.full((64, 64), 7, np.uint8))
    said = segment("flat.tif", "flat_mask.tif", model=(model,))
    assert "flat.tif does not look like the training images. It is empty" in said
    tifffile.imwrite("big.ome.tif", image, metadata={"axes": "YX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0})
    assert "--pixel-size 0.5" in segment("big.ome.tif", "big.tif", model=(model,))
    assert "--pixel-size 0.5" in segment("big.ome.tif", "no.tif", "--dry-run", model=(model,))


# What is written where


def test_compression_and_layout_are_those_asked_for_and_the_stored_command_says_so(
    segment: Callable[..., str], image: NDArray[np.uint8]
) -> None:
    segment("in.tif", "a.tif", *SMALL_TILES)
    segment("in.tif", "b.tif", *SMALL_TILES, "--compression", "lzw", "--layout", "tiles")
    kinds = {}
    for name in ("a.tif", "b.tif"):
        with tifffile.TiffFile(name) as file:
            kinds[name] = (file.pages.first.compression.name, file.pages.first.is_tiled)
            assert ("--compression lzw --layout tiles" in str(file.ome_metadata)) == (name == "b.tif")
    assert kinds == {"a.tif": ("ADOBE_DEFLATE", False), "b.tif": ("LZW", True)}
    np.testing.assert_array_equal(tifffile.imread("a.tif"), tifffile.imread("b.tif"))
    assert "choices of TIFF" in segment("in.tif", "c.zarr", *SMALL_TILES, "--compression", "none", code=2)
    assert "pyramid" in segment("in.tif", "c.tif", *SMALL_TILES, "--layout", "strips", "--pyramid", code=2)
    assert not Path("c.zarr").exists()


def test_labels_go_to_png_as_16_bits(segment: Callable[..., str], image: NDArray[np.uint8]) -> None:
    segment("in.tif", "a.tif", *SMALL_TILES, "--output", "labels")
    segment("in.tif", "a.png", *SMALL_TILES, "--output", "labels")
    with Image.open("a.png") as png:
        assert png.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(png), tifffile.imread("a.tif"))


def test_a_result_in_the_labels_of_an_ome_zarr_is_named_there_also_by_a_resumed_run(
    segment: Callable[..., str], image: NDArray[np.uint8]
) -> None:
    group = zarr.open_group("i.zarr", mode="w")
    group.create_array("0", data=image, dimension_names=("y", "x"))
    scale = [{"type": "scale", "scale": [2.0, 3.0]}]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"name": "i", "axes": axes, "datasets": datasets}]}
    segment("i.zarr", "i.zarr/labels/nuclei", *SMALL_TILES, "--output", "labels", "--dry-run")
    assert not Path("i.zarr/labels").exists()
    segment("i.zarr", "i.zarr/labels/nuclei", *SMALL_TILES, "--output", "labels")
    attributes = Path("i.zarr/labels/zarr.json")
    named = attributes.read_text()
    assert zarr.open_group("i.zarr/labels", mode="r").attrs["ome"]["labels"] == ["nuclei"]
    stored = zarr.open_group("i.zarr/labels/nuclei", mode="r").attrs["ome"]
    assert stored["multiscales"][0]["datasets"][0]["coordinateTransformations"] == scale
    assert stored["image-label"]["source"] == {"image": "../../"}
    attributes.unlink()  # as if the run had been killed before it was named
    segment("i.zarr", "i.zarr/labels/nuclei", *SMALL_TILES, "--output", "labels", "--resume")
    assert attributes.read_text() == named
    segment("i.zarr", "i.zarr/labels/mask.zarr", *SMALL_TILES, "--overwrite")
    assert zarr.open_group("i.zarr/labels", mode="r").attrs["ome"]["labels"] == ["nuclei", "mask.zarr"]


def test_the_ome_image_is_called_like_the_input_and_keeps_its_steps(segment: Callable[..., str], here: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite("my cells.ome.tif", np.stack([blobs(), blobs(seed=1)]), metadata=metadata)
    said = segment("my cells.ome.tif", "a.tif", *SMALL_TILES, "--output", "labels", "--min-size", "0")
    stored = ome_types.from_tiff("a.tif").images[0]
    assert stored.name == "my cells"
    assert stored.pixels.physical_size_z == 2.0
    labels = tifffile.imread("a.tif")
    assert f"{len(np.unique(labels)) - 1:,} objects in 2 planes, numbered on from plane to plane." in said
