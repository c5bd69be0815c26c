from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from backend_cases import KEPT, as_from_a_file, expect, make_layers, make_segmenter, make_windows

from unetkit.backends.base import Probe
from unetkit.errors import ConfigError
from unetkit.models.segmenter import Segmenter

pytest.importorskip("openvino")
pytest.importorskip("nncf")

from unetkit.backends import int8
from unetkit.backends.int8 import Quantized, quantize

WINDOWS = make_windows(batch=2, size=(64, 64), dtype=torch.float32)
KEPT_PART = (slice(8, 64), slice(0, 56))


def probes() -> list[Probe]:
    pixels, center, scale = WINDOWS
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


def go(cache: Path | None, *, again: bool = True, sha256: str = "a" * 64) -> Quantized:
    return quantize(model(sha256), probes if again else never, probes(), threshold(), cache)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Quantized]:
    """A model that was quantised, and the file that keeps it."""
    path = tmp_path_factory.mktemp("int8") / "model.int8.xml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "TOLERANCE", 0.3)  # random weights are hit harder than trained ones
        return path, go(path)


@pytest.fixture
def kept(first: tuple[Path, Quantized], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the file of `first`."""
    monkeypatch.setattr(int8, "TOLERANCE", 0.3)
    for suffix in (".xml", ".bin"):
        (tmp_path / f"kept{suffix}").write_bytes(first[0].with_suffix(suffix).read_bytes())
    return tmp_path / "kept.xml"


def test_a_quantised_model_is_near_the_exact_one_and_not_it(first: tuple[Path, Quantized]) -> None:
    result = first[1]
    assert result.accepted
    assert result.cached is None
    assert result.changed <= 0.3
    got, expected = result.backend(*WINDOWS, KEPT["inside"]), expect(model(), WINDOWS, KEPT["inside"])
    assert 1e-4 < (got - expected).abs().mean().item() < 0.1


def test_a_unet_is_quantised_with_its_cuts() -> None:
    """What is cut where stays an input of the graph: borders and other sizes come out right."""
    segmenter = make_segmenter()
    result = quantize(segmenter, probes, probes(), 0.5, None)
    for size, kept in [((64, 96), KEPT["bottom right"]), ((32, 40), (slice(0, 30), slice(8, 40)))]:
        windows = make_windows(size=size)
        got, expected = result.backend(*windows, kept), expect(segmenter, windows, kept)
        assert got.shape == expected.shape
        assert (got - expected).abs().mean() < 0.1


def test_changed_is_the_share_of_mask_pixels_that_differ(first: tuple[Path, Quantized]) -> None:
    masks = [
        predicted >= threshold()
        for predicted in (first[1].backend(*WINDOWS, KEPT_PART), expect(model(), WINDOWS, KEPT_PART))
    ]
    assert first[1].changed == pytest.approx((masks[0] != masks[1]).float().mean().item(), abs=1e-3)


def test_it_is_kept_in_two_files_and_nothing_else(first: tuple[Path, Quantized]) -> None:
    assert {path.name for path in first[0].parent.iterdir()} == {"model.int8.xml", "model.int8.bin"}


def test_what_was_kept_is_used_and_is_the_same(first: tuple[Path, Quantized], kept: Path) -> None:
    result = go(kept, again=False)
    assert result.cached == kept
    assert result.changed == pytest.approx(first[1].changed)
    torch.testing.assert_close(
        result.backend(*WINDOWS, KEPT_PART).clone(), first[1].backend(*WINDOWS, KEPT_PART), rtol=0, atol=1e-6
    )


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
    assert go(kept).cached is None
    assert go(kept, again=False).cached == kept


@pytest.mark.parametrize("sha256", ["b" * 64, ""])
def test_the_file_of_another_model_is_not_used(kept: Path, sha256: str) -> None:
    with pytest.raises(AssertionError, match="again"):
        go(kept, again=False, sha256=sha256)


def test_above_the_tolerance_it_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "TOLERANCE", -1.0)
    result = go(tmp_path / "model.xml")
    assert not result.accepted
    assert result.cached is None
    assert not list(tmp_path.iterdir())
    torch.testing.assert_close(
        result.backend(*WINDOWS, KEPT_PART), expect(model(), WINDOWS, KEPT_PART), rtol=0, atol=2e-5
    )


def test_what_was_kept_is_checked_on_this_input_too(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "TOLERANCE", -1.0)
    with pytest.raises(AssertionError, match="again"):
        go(kept, again=False)


def test_a_folder_that_cannot_be_written_to_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "TOLERANCE", 0.3)
    assert go(tmp_path / "missing" / "model.xml").accepted


def test_without_nncf_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="nncf") as caught:
        go(None)
    assert "pip install unetkit[openvino]" in caught.value.remedy


def test_without_nncf_what_was_kept_can_still_be_used(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    assert go(kept).cached == kept
