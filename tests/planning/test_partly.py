"""Plans for images that are annotated in part: what is not annotated is neither foreground nor background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from spoiling import edit

from unetkit.cli import main
from unetkit.data.pairs import find_pairs
from unetkit.errors import DataError
from unetkit.planning import plan as planning
from unetkit.planning.choose_network import THIN_WIDTH
from unetkit.planning.look import Look
from unetkit.planning.measure import look_at_all, measure
from unetkit.planning.trial import try_builtin
from unetkit.planning.write import describe


def left_half(mask: NDArray[Any]) -> NDArray[Any]:
    mask = mask.astype(np.uint16)
    mask[:, 96:] = 65535
    return mask


def strokes(mask: NDArray[Any]) -> NDArray[Any]:
    """Rows of three pixels every 24 pixels are annotated, as foreground and background."""
    drawn = np.full(mask.shape, 65535, np.uint16)
    for row in range(3, 192, 24):
        drawn[row : row + 3] = mask[row : row + 3] > 0
    return drawn


def looks_at(folder: Path) -> list[Look]:
    return look_at_all(find_pairs(folder, ignore=65535))


def test_half_of_a_data_set_has_the_facts_of_the_whole(cells: Path, sound_looks: list[Look]) -> None:
    edit(cells / "masks", left_half)
    looks, whole, half = looks_at(cells), measure(sound_looks), measure(looks_at(cells))
    assert half.annotated == 0.5
    assert half.partly == 10
    assert half.area == 10 * 192 * 128  # squares of 64 pixels that reach into the half
    assert half.foreground == pytest.approx(whole.foreground, abs=0.03)
    assert half.kind == whole.kind == "instances"
    np.testing.assert_allclose(half.diameters, whole.diameters, rtol=0.15)
    assert 0.3 * whole.objects < half.objects < 0.55 * whole.objects
    assert half.brighter == 1
    for one, all_of_it in zip(looks, sound_looks, strict=True):
        assert one.contrast == pytest.approx(all_of_it.contrast, rel=0.4)
        assert one.agreement is not None
        assert max(one.agreement.scores, key=one.agreement.scores.__getitem__) == "as it is"


def test_strokes_have_no_size_no_width_and_no_outline(cells: Path) -> None:
    edit(cells / "masks", strokes)
    facts = measure(looks_at(cells))
    assert facts.annotated == pytest.approx(1 / 8)
    assert (facts.objects, facts.diameters) == (0, (0, 0, 0))
    assert facts.width > THIN_WIDTH
    assert 0.1 < facts.foreground < 0.9


def test_the_end_of_a_stroke_is_no_outline(cells: Path) -> None:
    """Strokes that are all of one kind have none at all."""

    def inside_or_outside(mask: NDArray[Any]) -> NDArray[Any]:
        drawn = strokes(mask)
        both = cv2.dilate((mask > 0).astype(np.uint8), np.ones((5, 5))) != (cv2.erode(mask, np.ones((5, 5))) > 0)
        drawn[both] = 65535
        return drawn

    edit(cells / "masks", inside_or_outside)
    looks = looks_at(cells)
    assert all(look.foreground > 0 for look in looks)
    assert all(look.agreement is None for look in looks)


def test_a_plan_says_how_much_is_annotated_and_keeps_the_value(
    cells: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(cells / "masks", left_half)
    monkeypatch.setattr(planning, "time_crop", lambda *_: 0.05)
    assert main(["plan", str(cells), "--ignore", "65535", "--out", str(tmp_path / "plan.yaml")]) == 0
    assert "50 % of the pixels are annotated; " in " ".join(capsys.readouterr().out.split())
    settings = yaml.safe_load((tmp_path / "plan.yaml").read_text())
    assert settings["data"]["ignore"] == 65535
    assert settings["model"]["instances"] is True
    plan = planning.plan(cells, ignore=65535, settings={"model.encoder": "resnet18"})
    assert any("50 % of the pixels are annotated" in line for line in describe(plan))
    assert not [concern for concern in plan.concerns if concern.kind != "doubt"]


def test_numbered_strokes_that_touch_are_no_objects_to_separate(
    cells: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edit(cells / "masks", lambda mask: np.where(strokes(mask) == 65535, 65535, mask).astype(np.uint16))
    monkeypatch.setattr(planning, "time_crop", lambda *_: 0.05)
    plan = planning.plan(cells, ignore=65535, settings={"model.encoder": "resnet18"})
    assert plan.facts.kind == "instances"
    assert plan.facts.touching > 0.01
    assert plan.settings["model.instances"] is False


def test_an_image_without_annotation_is_named(cells: Path) -> None:
    edit(cells / "masks", lambda mask: np.full_like(mask, 255), numbers=range(3, 4))
    with pytest.raises(DataError, match=r"No pixel of cells_003\.tif is annotated"):
        planning.plan(cells, ignore=255)


def test_the_built_in_model_is_tried_on_what_is_annotated(cells: Path, sound_looks: list[Look]) -> None:
    """In the other half the masks would be wrong."""
    whole = try_builtin(sound_looks)
    edit(cells / "masks", left_half)
    half = try_builtin(looks_at(cells))
    assert whole is not None
    assert half is not None
    assert half.dice == pytest.approx(whole.dice, abs=0.03)
    assert half.f1 == pytest.approx(whole.f1, abs=0.1)
