from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from backend_cases import as_from_a_file, make_layers

from unetkit.backends.base import Probe
from unetkit.foundation.errors import ConfigError
from unetkit.models.segmenter import Segmenter

pytest.importorskip("openvino")
pytest.importorskip("nncf")

from unetkit.backends import int8, openvino_int8
from unetkit.backends.int8 import Quantized, quantize
from unetkit.backends.openvino_backend import OpenVinoBackend
from unetkit.backends.openvino_int8 import OpenVinoQuantizer
from unetkit.testing.backend_inputs import KEPT, KEPT_OF_VOLUME, expect, make_segmenter, make_windows

WINDOWS = make_windows(batch=2, size=(64, 64), dtype=torch.float32)
KEPT_PART = (slice(8, 64), slice(0, 56))


def probes(brighter: float = 0.0) -> list[Probe]:
    """Windows of an image, brighter by so much in units of the network's input."""
    pixels, center, scale = WINDOWS
    pixels = pixels + brighter * scale[:, :, None, None]
    return [(pixels[i : i + 1], center[i : i + 1], scale[i : i + 1], KEPT_PART) for i in range(2)]


def never() -> Sequence[Probe]:
    raise AssertionError("the model is quantised again")


def model(sha256: str = "a" * 64) -> Segmenter:
    segmenter = make_layers()
    as_from_a_file(segmenter, sha256)
    return segmenter


def threshold() -> float:
    """The median probability, so that about half of the pixels are foreground."""
    return expect(model(), WINDOWS, KEPT_PART).median().item()


def go(cache: Path | None, *, again: bool = True, sha256: str = "a" * 64, brighter: float = 0.0) -> Quantized:
    return put_in_int8(model(sha256), cache, probes if again else never, probes(brighter), threshold())


def put_in_int8(
    segmenter: Segmenter, cache: Path | None = None, calibration: Any = probes, checks: Any = None, at: float = 0.5
) -> Quantized:
    return quantize(segmenter, OpenVinoQuantizer(segmenter, cache), calibration, checks or probes(), at)


def run(result: Quantized) -> torch.Tensor:
    assert result.backend is not None
    return result.backend(*WINDOWS, KEPT_PART).clone()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Quantized]:
    """A model that was quantised, and the file that keeps it."""
    path = tmp_path_factory.mktemp("int8") / "model.int8.xml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "INT8_TOLERANCE", 0.3)  # random weights are hit harder than trained ones
        return path, go(path)


@pytest.fixture
def kept(first: tuple[Path, Quantized], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the file of `first`."""
    monkeypatch.setattr(int8, "INT8_TOLERANCE", 0.3)
    for suffix in (".xml", ".bin", ".json"):
        (tmp_path / f"kept{suffix}").write_bytes(first[0].with_suffix(suffix).read_bytes())
    return tmp_path / "kept.xml"


def test_a_quantised_model_is_near_the_exact_one_and_not_it(first: tuple[Path, Quantized]) -> None:
    result = first[1]
    assert result.backend is not None
    assert not result.remembered
    assert result.changed <= 0.3
    got, expected = result.backend(*WINDOWS, KEPT["inside"]), expect(model(), WINDOWS, KEPT["inside"])
    assert 1e-4 < (got - expected).abs().mean().item() < 0.1


def test_a_unet_is_quantised_with_its_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut where stays an input of the graph: borders and other sizes come out right."""
    monkeypatch.setattr(int8, "INT8_TOLERANCE", 1.0)
    segmenter = make_segmenter()
    result = put_in_int8(segmenter)
    assert result.backend is not None
    for size, kept in [((64, 96), KEPT["bottom right"]), ((32, 40), (slice(0, 30), slice(8, 40)))]:
        windows = make_windows(size=size)
        got, expected = result.backend(*windows, kept), expect(segmenter, windows, kept)
        assert got.shape == expected.shape
        assert (got - expected).abs().mean() < 0.1


def test_a_unet_of_volumes_is_quantised_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "INT8_TOLERANCE", 1.0)
    segmenter = make_segmenter(axes=3)
    pixels, center, scale = make_windows(batch=1, size=(8, 32, 24), dtype=torch.float32)
    probe = (pixels, center, scale, KEPT_OF_VOLUME["everything"])
    result = put_in_int8(segmenter, calibration=lambda: [probe], checks=[probe])
    assert result.backend is not None
    windows = make_windows(size=(16, 16, 32))
    kept = (slice(1, 11), slice(0, 16), slice(8, 30))
    got, expected = result.backend(*windows, kept), expect(segmenter, windows, kept)
    assert 1e-4 < (got - expected).abs().mean() < 0.1


def test_changed_is_the_share_of_mask_pixels_that_differ(first: tuple[Path, Quantized]) -> None:
    masks = [predicted >= threshold() for predicted in (run(first[1]), expect(model(), WINDOWS, KEPT_PART))]
    assert first[1].changed == pytest.approx((masks[0] != masks[1]).float().mean().item(), abs=1e-3)


def test_it_is_kept_with_what_checking_it_gave_and_nothing_else(first: tuple[Path, Quantized]) -> None:
    names = {path.name for path in first[0].parent.iterdir()}
    assert names == {"model.int8.xml", "model.int8.bin", "model.int8.json"}


def test_what_was_kept_is_used_and_is_the_same(first: tuple[Path, Quantized], kept: Path) -> None:
    result = go(kept, again=False)
    assert result.remembered
    assert result.changed == first[1].changed
    torch.testing.assert_close(run(result), run(first[1]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("damage", ["empty", "no weights", "cut", "text"])
def test_a_damaged_file_is_made_again(kept: Path, damage: str) -> None:
    weights = kept.with_suffix(".bin")
    if damage == "empty":
        kept.write_bytes(b"")
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    else:
        kept.write_text("<?xml version='1.0'?><net></net>")
    assert not go(kept).remembered
    assert go(kept, again=False).remembered


@pytest.mark.parametrize("sha256", ["b" * 64, ""])
def test_the_file_of_another_model_is_not_used(kept: Path, sha256: str) -> None:
    with pytest.raises(AssertionError, match="again"):
        go(kept, again=False, sha256=sha256)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may change: every model is refused, and remembered as such whatever it changed."""
    monkeypatch.setattr(int8, "INT8_TOLERANCE", -1.0)


@pytest.mark.usefixtures("strict")
def test_above_the_tolerance_it_is_refused_and_not_kept(tmp_path: Path) -> None:
    result = go(tmp_path / "model.xml")
    assert result.backend is None
    assert not result.remembered
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.usefixtures("strict")
def test_a_refusal_is_remembered_until_the_file_that_holds_it_is_deleted(tmp_path: Path) -> None:
    cache = tmp_path / "model.xml"
    changed = go(cache).changed
    again = go(cache, again=False)
    assert (again.backend, again.changed, again.remembered) == (None, changed, True)
    int8.verdicts_file(cache).unlink()
    assert not go(cache).remembered


def test_what_was_kept_is_checked_on_an_image_that_looks_otherwise(kept: Path, checked: list[float]) -> None:
    assert not go(kept, again=False, brighter=0.5).remembered
    assert len(checked) == 1
    assert go(kept, again=False, brighter=0.5).remembered
    assert go(kept, again=False).remembered  # and the first image is still known
    assert len(checked) == 1


def test_an_image_that_looks_nearly_the_same_is_not_checked(kept: Path, checked: list[float]) -> None:
    assert go(kept, again=False, brighter=0.01).remembered
    assert not checked


def test_another_threshold_is_checked(kept: Path, checked: list[float]) -> None:
    assert not put_in_int8(model(), kept, never, probes(), threshold() + 1e-3).remembered
    assert len(checked) == 1


def test_a_model_that_is_quantised_again_is_checked_again_on_images_known_before(
    kept: Path, monkeypatch: pytest.MonkeyPatch, checked: list[float]
) -> None:
    kept.unlink()
    go(kept, brighter=0.5)
    assert not go(kept, again=False).remembered
    assert len(checked) == 2


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the checks give that are made from now on."""
    found: list[float] = []
    compare = int8._compare

    def watch(*args: Any) -> float:
        found.append(compare(*args))
        return found[-1]

    monkeypatch.setattr(int8, "_compare", watch)
    return found


def test_a_folder_that_cannot_be_written_to_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "INT8_TOLERANCE", 0.3)
    assert go(tmp_path / "missing" / "model.xml").backend is not None


def test_without_nncf_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_int8, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="nncf") as caught:
        go(None)
    assert "pip install unetkit[openvino]" in caught.value.remedy


def test_without_nncf_what_was_kept_can_still_be_used(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_int8, "find_spec", lambda name: None)
    assert go(kept).backend is not None


def test_each_image_keeps_normalisation_values_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image may be far darker or brighter than the one that the model was calibrated on."""
    monkeypatch.setattr(int8, "INT8_TOLERANCE", 1.0)
    result = put_in_int8(make_segmenter())
    pixels, center, scale = WINDOWS
    assert result.backend is not None
    expected = result.backend(pixels, center, scale, KEPT_PART).clone()
    got = result.backend(10 * pixels + 1000, 10 * center + 1000, 10 * scale, KEPT_PART)
    torch.testing.assert_close(got, expected, rtol=0, atol=0.02)


def test_features_that_are_cut_and_used_twice_stay_in_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """All convolutions but the last write 8-bit integers: NNCF left those before a Slice in float32."""
    monkeypatch.setattr(int8, "INT8_TOLERANCE", 1.0)
    backend = put_in_int8(make_segmenter()).backend
    assert isinstance(backend, OpenVinoBackend)
    layers = backend._take_request(torch.float32).get_compiled_model().get_runtime_model().get_ordered_ops()
    written = [
        layer.get_rt_info()["outputPrecisions"].astype(str)
        for layer in layers
        if layer.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert len(written) > 10
    assert written.count("f32") == 1
