from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink
from unetkit.viewing.layers import Layer, image_layers, name_apart, overlay_layers
from unetkit.viewing.opening import open_picture

RNG = np.random.default_rng(0)


def layers_of(image: Any, *, over: bool = False) -> list[Layer]:
    with closing(open_picture(image, is_image=not over)) as picture:
        return overlay_layers(picture) if over else image_layers(picture)


def test_a_grey_image_is_stretched_between_percentiles() -> None:
    pixels = np.full((100, 100), 500, np.uint16)
    pixels[:10], pixels[90:] = 100, 900
    pixels[0, 0] = 60_000  # one bright pixel does not make the rest dark
    (layer,) = layers_of(pixels)
    assert layer.settings["shaderControls"] == {"normalized": {"range": [100, 900], "window": [100, 60_000]}}
    assert 'default="#ffffff"' in layer.settings["shader"]


def test_channels_are_layers_with_names_and_colours(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 999, (2, 40, 50), np.uint16)
    path = tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    layers = layers_of(path)
    assert [layer.name for layer in layers] == ["DAPI", "GFP"]
    assert [layer.channels for layer in layers] == [slice(0, 1), slice(1, 2)]
    assert ["#00ff00" in layers[0].settings["shader"], "#ff00ff" in layers[1].settings["shader"]] == [True, True]
    assert all(layer.settings["blend"] == "additive" and layer.visible for layer in layers)


def test_channels_beyond_the_colours_are_hidden_at_first() -> None:
    layers = layers_of(RNG.random((70, 71, 9), np.float32))
    assert [layer.visible for layer in layers] == [True] * 6 + [False] * 3


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 999)])
def test_a_picture_in_colours_is_one_layer(dtype: str, top: int, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 1000, (40, 50, 3)).astype(dtype)
    pixels[:2] = top
    tifffile.imwrite(tmp_path / "tissue.tif", pixels, photometric="rgb")
    (layer,) = layers_of(tmp_path / "tissue.tif")
    assert (layer.name, layer.channels, layer.settings["opacity"]) == ("tissue", slice(0, 3), 1.0)
    assert layer.settings["shaderControls"]["brightness"]["range"][1] == pytest.approx(top, abs=2)
    (over,) = layers_of(tmp_path / "tissue.tif", over=True)
    assert over.settings["opacity"] == 0.5


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.eye(9, dtype=bool), "mask"),
        (np.eye(9, dtype=np.uint8) * 255, "mask"),
        (np.eye(9, dtype=np.uint16), "mask"),
        (np.zeros((9, 9), np.uint8), "mask"),
        (np.arange(81, dtype=np.uint8).reshape(9, 9) % 4, "classes"),
        (np.arange(81, dtype=np.uint8).reshape(9, 9), "labels"),
        (np.arange(81, dtype=np.uint16).reshape(9, 9) % 4, "labels"),
        (np.zeros((9, 9), np.uint32), "labels"),
        (np.linspace(0, 1, 81).reshape(9, 9), "probabilities"),
        (np.linspace(-3, 300, 81).reshape(9, 9), "image"),
        (np.full((9, 9), np.nan), "image"),
    ],
)
def test_what_lies_over_an_image_is_told_by_its_values(pixels: Any, kind: str) -> None:
    (layer,) = layers_of(pixels, over=True)
    settings = layer.settings
    told = {
        "mask": layer.type == "segmentation" and "segmentDefaultColor" in settings,
        "classes": layer.type == "segmentation" and settings.get("segmentColors", {}).get("1") == "#e69f00",
        "labels": layer.type == "segmentation" and settings == {"selectedAlpha": 0.4},
        "probabilities": layer.type == "image" and "strength" in settings.get("shader", ""),
        "image": layer.type == "image" and "strength" not in settings.get("shader", "strength"),
    }
    assert [name for name, holds in told.items() if holds] == [kind]


@pytest.mark.parametrize(
    ("output", "dtype", "channels", "types"),
    [
        ("labels", "uint32", 1, ["segmentation"]),  # of one object, which could be a mask
        ("mask", "uint8", 1, ["segmentation"]),
        ("probabilities", "float32", 2, ["image", "image"]),
        ("uncertainty", "float32", 2, ["image", "image"]),
        ("restored", "uint8", 1, ["image"]),
    ],
)
def test_what_unetkit_wrote_says_what_it_is(
    output: str, dtype: str, channels: int, types: list[str], tmp_path: Path
) -> None:
    names = ("tumour", "stroma") if channels > 1 else ()
    notes = (("output", output),)
    spec = OutputSpec((9, 9), np.dtype(dtype), channels=channels, notes=notes, channel_names=names)
    create_sink(tmp_path / "result.tif", spec).write([np.ones((channels, 9, 9), dtype)])
    layers = layers_of(tmp_path / "result.tif", over=True)
    assert [layer.type for layer in layers] == types
    assert [layer.name for layer in layers] == ([f"result {name}" for name in names] or ["result"])
    assert ("segmentDefaultColor" in layers[0].settings) == (output == "mask")
    assert [layer.visible for layer in layers] == ([True, output == "probabilities"] if channels > 1 else [True])


def test_the_contrast_of_a_large_image_is_that_of_parts_from_all_over_it() -> None:
    pixels = np.zeros((3000, 3000), np.uint8)
    pixels[2000:, 1500:] = 200
    (layer,) = layers_of(pixels)
    assert layer.settings["shaderControls"]["normalized"]["range"] == [0, 200]


def test_layers_of_the_same_name_are_told_apart() -> None:
    used = {"a"}
    layers = name_apart([Layer(name, slice(0, 1), "image") for name in ("a", "b", "a")], used)
    assert [layer.name for layer in layers] == ["a (2)", "b", "a (3)"]
