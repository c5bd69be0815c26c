"""Slides and files of microscopes become lazy layers at their right place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from microscope_files import DEPTH_UM, PIXEL_UM, SUFFIXES, make_pixels, write_microscope
from skimage.transform import downscale_local_mean

from unetkit.io.formats import has_image_suffix

pytest.importorskip("napari.layers", exc_type=ImportError)
from unetkit.napari import reader
from unetkit.napari.reader import get_reader

RANDOM = np.random.default_rng(0)


def write_slide(path: Path, pixels: np.ndarray, **options: Any) -> None:
    """Write a pyramid of two levels, in tiles of 256 pixels, of 0.5 µm."""
    half = downscale_local_mean(pixels, (2, 2, 1) if pixels.ndim == 3 else (2, 2)).astype(pixels.dtype)
    common = {"tile": (256, 256), "resolutionunit": "CENTIMETER", **options}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=1, resolution=(20_000, 20_000), **common)
        file.write(half, subfiletype=1, resolution=(10_000, 10_000), **common)


def read(path: Path) -> list[Any]:
    reads = get_reader(str(path))
    assert reads is not None
    return reads(str(path))


def test_a_slide_is_a_pyramid_of_which_only_what_is_shown_is_read(
    viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = RANDOM.integers(0, 255, (2500, 3000, 3), np.uint8)
    write_slide(tmp_path / "slide.svs", pixels, photometric="rgb")
    read_pixels = 0
    whole = reader.SourceArray.__getitem__

    def count(self: Any, index: Any) -> np.ndarray:
        nonlocal read_pixels
        block = whole(self, index)
        read_pixels += block.size
        return block

    monkeypatch.setattr(reader.SourceArray, "__getitem__", count)
    ((levels, arguments, kind),) = read(tmp_path / "slide.svs")
    assert [level.shape for level in levels] == [(2500, 3000, 3), (1250, 1500, 3)]
    assert read_pixels == 0
    part = np.asarray(levels[0][1030:1040, 50:70])
    np.testing.assert_array_equal(part, pixels[1030:1040, 50:70])
    assert read_pixels <= 1024 * 1024 * 3
    assert kind == "image"
    layer = viewer.add_image(levels, **arguments)
    assert (layer.name, layer.rgb, layer.multiscale) == ("slide", True, True)
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert {str(unit) for unit in layer.units} == {"micrometer"}


def test_channels_are_layers_and_planes_are_axes(viewer: Any, tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 999, (3, 2, 70, 90)).astype(np.uint16)
    meta = {
        "axes": "ZCYX",
        "Channel": {"Name": ["DAPI", "GFP"]},
        "PhysicalSizeX": 0.25,
        "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 2,
    }
    tifffile.imwrite(tmp_path / "stack.ome.btf", pixels, metadata=meta, ome=True)
    made = [viewer.add_image(data, **arguments) for data, arguments, _ in read(tmp_path / "stack.ome.btf")]
    assert [layer.name for layer in made] == ["stack DAPI", "stack GFP"]
    for channel, layer in enumerate(made):
        np.testing.assert_array_equal(np.asarray(layer.data), pixels[:, channel])
        np.testing.assert_allclose(layer.scale, (2, 0.25, 0.25))
        assert layer.axis_labels == ("z", "y", "x")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_microscopes_are_layers_of_their_channels(viewer: Any, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("bioio")
    path = write_microscope(tmp_path / f"cells{suffix}")
    made = [viewer.add_image(data, **arguments) for data, arguments, _ in read(path)]
    assert len({layer.name for layer in made}) == 2
    for channel, layer in enumerate(made):
        np.testing.assert_array_equal(np.asarray(layer.data), make_pixels()[:, channel])
        np.testing.assert_allclose(layer.scale, (DEPTH_UM, PIXEL_UM, PIXEL_UM), rtol=1e-5)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What napari shows to the user from now on."""
    from napari.utils.notifications import notification_manager

    shown: list[str] = []

    def show(note: Any) -> None:
        shown.append(note.message)

    notification_manager.notification_ready.connect(show)
    yield shown
    notification_manager.notification_ready.disconnect(show)


def test_what_cannot_be_read_is_said_with_a_remedy(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "broken.svs").write_bytes(b"II*\0" + bytes(20))
    assert read(tmp_path / "broken.svs") == [(None,)]
    assert len(said) == 1
    assert "broken.svs" in said[0]


def test_of_many_images_in_a_file_the_first_are_opened(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tifffile.TiffWriter(tmp_path / "plate.btf", ome=True) as file:
        for number in range(3):
            file.write(np.full((20, 30), number, np.uint8), metadata={"Name": f"well {number}"})
    monkeypatch.setattr(reader, "MOST_SERIES", 2)
    layers = read(tmp_path / "plate.btf")
    assert [arguments["name"] for _, arguments, _ in layers] == ["plate well 0", "plate well 1"]
    assert [int(np.asarray(data).max()) for data, *_ in layers] == [0, 1]
    assert said == [f"{tmp_path / 'plate.btf'} holds 3 images. The first 2 were opened."]


def test_files_that_napari_reads_better_are_left_to_it() -> None:
    for path in ("notes.txt", "https://example.org/slide.svs", ["a.svs", "b.svs"]):
        assert get_reader(path) is None
    manifest = yaml.safe_load(Path(reader.__file__).with_name("napari.yaml").read_text(encoding="utf-8"))
    (contributed,) = manifest["contributions"]["readers"]
    suffixes = [pattern.removeprefix("*") for pattern in contributed["filename_patterns"]]
    assert not {".tif", ".tiff", ".png", ".jpg", ".zarr"} & set(suffixes)
    assert all(has_image_suffix(Path(f"slide{suffix}")) for suffix in suffixes)
