from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path
from statistics import mean, stdev

import pytest
from browser import visit
from run_folders import write_images, write_run

from unetkit.models.segmenter import Segmenter, save_model
from unetkit.report.run.write_report import write_report

DICE = (0.8, 0.6)


@pytest.fixture
def folds(tmp_path: Path, tiny_segmenter: Segmenter) -> Path:
    """A cross-validation of two folds."""
    folder = tmp_path / "runs" / "a b"
    for number, dice in enumerate(DICE):
        run = write_run(folder / f"fold-{number}", tiny_segmenter)
        spec = tiny_segmenter.spec
        tiny_segmenter.spec = replace(spec, training={**spec.training, "epoch": 0, "val_dice": dice})
        save_model(tiny_segmenter, run / "model.safetensors")
        write_images(run, (0.1 + number / 10, 0.5), (f"{number}-worst", f"{number}-best"))
    (folder / "cross_validation.json").write_text(json.dumps({"folds": 2, "rows": []}))
    return folder


def test_the_page_has_mean_spread_all_images_and_links_to_the_folds(folds: Path) -> None:
    page = write_report(folds)
    with visit(page) as seen:
        assert seen.page.title() == "a b: a cross-validation of unetkit"
        facts = seen.page.locator(".facts").inner_text()
        assert f"{mean(DICE):.4f}" in facts
        assert f"± {stdev(DICE):.4f}" in facts
        names = seen.page.locator("table.images tbody tr td:nth-child(2)").all_inner_texts()
        assert names[:2] == ["0-worst", "1-worst"]
        assert len(names) == 4
        assert seen.page.locator("svg[role=img]").count() == 2
        assert not seen.blocked
        seen.page.click("a:has-text('fold 1') >> nth=0")
        assert seen.page.title() == "fold-1: a training run of unetkit"


def test_links_lead_to_the_folds_from_another_place_too(folds: Path, tmp_path: Path) -> None:
    with visit(write_report(folds, tmp_path / "page.html")) as seen:
        seen.page.click("a:has-text('fold 0') >> nth=0")
        assert seen.page.title() == "fold-0: a training run of unetkit"


def test_a_fold_that_is_missing_or_damaged_does_not_hide_the_others(folds: Path) -> None:
    (folds / "fold-1" / "model.safetensors").write_bytes(b"no model")
    (folds / "fold-2").mkdir()
    text = unescape(re.sub(r"<[^>]+>", " ", write_report(folds).read_text(encoding="utf-8")))
    assert f"{folds / 'fold-1' / 'model.safetensors'} is not a unetkit model" in text
    assert "0.8000" in text
    assert "3 folds, " in text
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("unetkit ")]
    words = [shlex.split(line) for line in lines]
    assert ["unetkit", "fit", "--resume", str(folds)] in words
    assert ["unetkit", "segment", "image.tif", "mask.tif", "--model", str(folds)] in words
