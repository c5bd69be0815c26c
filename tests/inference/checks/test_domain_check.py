from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.data.datamodule import SegmentationData
from unetkit.inference.checks.domain_check import differences
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.files import open_image
from unetkit.models.normalization import Normalization
from unetkit.models.sampling import sample_pixels
from unetkit.models.spec import ModelSpec, TrainingImages

SHARED = Path(__file__).parents[3] / "../shared/data"
NUCLEI, EM = SHARED / "nuclei/train", SHARED / "em"

SEEN = TrainingImages(("uint8",), low=(5.0, 5.0), high=(205.0, 205.0), contrast=(40.0, 80.0))


def trained(scope: Literal["image", "dataset"] = "image", **values: Any) -> ModelSpec:
    return ModelSpec(in_channels=2, normalization=Normalization(scope=scope), training_images=SEEN, **values)


def pixels(low: float, high: float, dtype: Any = np.uint8) -> NDArray[Any]:
    """Two channels of values spread evenly from low to high."""
    return np.linspace((low, low), (high, high), 500, axis=1).astype(dtype)


def info_of(sample: NDArray[Any], **values: Any) -> ImageInfo:
    return replace(ArraySource(sample[:, None], "CYX").info, **values)


def compare(sample: NDArray[Any], spec: ModelSpec, **values: Any) -> list[str]:
    return differences(info_of(sample, **values), sample, spec)


@pytest.mark.parametrize("scope", ["image", "dataset"])
def test_an_image_like_those_of_training_gives_no_warning(scope: Any) -> None:
    assert compare(pixels(5, 205), trained(scope)) == []
    assert compare(pixels(90, 120), trained(scope)) == []


@pytest.mark.parametrize(
    "sample",
    [pixels(0, 4095, np.uint16), pixels(0, 1, np.float32), pixels(-3, 900, np.int32), pixels(30000, 31000, np.uint16)],
)
def test_type_and_range_matter_only_where_values_are_taken_as_they_are(sample: NDArray[Any]) -> None:
    assert compare(sample, trained("image")) == []
    (warning,) = compare(sample, trained("dataset"))
    assert "almost empty" in warning if sample.dtype == np.float32 else f"Its values ({sample.dtype}) go" in warning


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.bool_])
@pytest.mark.parametrize("spec", [trained(), ModelSpec(in_channels=2)], ids=["described", "not described"])
def test_an_image_of_one_value_is_empty(dtype: Any, spec: ModelSpec) -> None:
    sample = np.ones((2, 500), dtype)
    assert compare(sample, spec) == ["It is empty, all of one value (1): check that this is the right image."]


def test_an_empty_or_faint_channel_is_named() -> None:
    sample = pixels(5, 205)
    sample[1] = 7
    assert [text[:33] for text in compare(sample, trained())] == ["Channel 1 is empty, all of one va"]
    sample[1] = np.arange(500) % 10
    assert [text[:29] for text in compare(sample, trained())] == ["Channel 1 is almost empty: th"]


def test_an_image_that_is_noise_is_almost_empty() -> None:
    noise = np.random.default_rng(0).normal(10, 1, (2, 5000))
    assert "It is almost empty" in compare(noise.astype(np.uint8), trained())[0]
    assert compare(noise.astype(np.uint16), trained()) == []  # its unit is another: nothing can be said


@pytest.mark.parametrize(("size", "warned"), [(0.5, False), (0.7, False), (0.35, False), (0.8, True), (0.3, True)])
def test_pixels_of_another_size_have_a_remedy(size: float, warned: bool) -> None:
    spec = trained(pixel_size_um=(0.5, 0.5))
    found = compare(pixels(5, 205), spec, pixel_size_um=(0.5, size))
    assert [("0.5 x" in text, "give --pixel-size 0.5 to" in text) for text in found] == [(True, True)] * warned
    assert differences(info_of(pixels(5, 205), pixel_size_um=(0.5, size)), None, spec) == found
    assert compare(pixels(5, 205), spec) == compare(pixels(5, 205), trained(), pixel_size_um=(9.0, 9.0)) == []


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("dapi", "GFP"), None),
        (("GFP", "DAPI"), "1,0"),
        (("GFP", "Cy5"), None),
        (("GFP", "GFP"), None),
        ((), None),
    ],
)
def test_channels_in_another_order_have_a_remedy(names: tuple[str, ...], order: str | None) -> None:
    found = compare(pixels(5, 205), trained(channel_names=("DAPI", "GFP")), channel_names=names)
    assert len(found) == (order is not None)
    assert all(f"give --channels {order} " in text for text in found)


def test_grey_is_compared_with_each_channel_and_other_numbers_with_none() -> None:
    assert compare(pixels(5, 205)[:1], trained()) == []
    assert "It is almost empty" in compare(pixels(5, 9)[:1], trained())[0]
    assert compare(np.ones((3, 500), np.uint8), trained()) == []


@pytest.mark.skipif(not NUCLEI.exists(), reason="no ../shared/data/nuclei")
@pytest.mark.parametrize("scope", ["image", "dataset"])
def test_real_images_of_mixed_kinds_give_no_false_alarm(scope: Any, tmp_path: Path) -> None:
    chosen = sorted((NUCLEI / "images").iterdir())[:48]
    rows = [f"{path.resolve()},{(NUCLEI / 'masks' / path.stem).resolve()}.tif" for path in chosen[::2]]
    (tmp_path / "list.csv").write_text("\n".join(["image,mask", *rows]))
    data = SegmentationData(str(tmp_path / "list.csv"), workers=0, normalization=Normalization(scope=scope))
    data.setup()
    spec = ModelSpec(
        in_channels=data.channels, normalization=data.normalization, training_images=data.describe_images()
    )
    for path in chosen:
        with closing(open_image(path)) as source:
            assert differences(source.info, sample_pixels(source, 0), spec) == []
