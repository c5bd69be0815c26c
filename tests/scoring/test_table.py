from __future__ import annotations

import csv
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from unetkit.scoring import result, table
from unetkit.scoring.evaluation import evaluate
from unetkit.scoring.instances import THRESHOLDS, InstanceCounts, match_instances
from unetkit.scoring.pixels import Counts, dice
from unetkit.scoring.table import (
    IMAGE_SCORES,
    MASK_SCORES,
    OBJECT_SCORES,
    PIXEL_SCORES,
    RESTORED_SCORES,
    VALIDATED,
    Score,
    comparable,
    instance_scores,
    pixel_scores,
    validated_names,
)

TABLES = (PIXEL_SCORES, OBJECT_SCORES, IMAGE_SCORES, RESTORED_SCORES)


def specificity(counts: Counts) -> float:
    return counts.tn / (counts.tn + counts.fp)


def test_training_computes_what_the_table_says_under_the_names_of_metrics_csv() -> None:
    assert list(VALIDATED) == [
        *("val_dice", "val_iou", "val_pooled_dice", "val_pooled_iou"),
        *("val_ap50", "val_f1", "val_pq"),
        *("val_image_auroc", "val_image_accuracy", "val_image_sensitivity", "val_image_specificity"),
        "val_r2",
    ]
    assert validated_names(IMAGE_SCORES, OBJECT_SCORES) == tuple(VALIDATED)[4:11]


def test_no_two_scores_of_a_table_have_the_same_name_or_heading() -> None:
    for scores in (*TABLES, tuple(VALIDATED.values())):
        assert len({score.name for score in scores}) == len(scores)
    for scores in TABLES:
        assert len({score.heading for score in scores}) == len(scores)
    validated = sum(score.validated for scores in TABLES for score in scores)
    assert len(VALIDATED) == validated + len(MASK_SCORES), "two scores have the same name in metrics.csv"


def test_the_first_score_of_a_table_orders_images_and_epochs_so_more_of_it_is_better() -> None:
    assert all(scores[0].higher_is_better for scores in TABLES)


def test_a_perfect_result_scores_one_in_everything() -> None:
    assert set(pixel_scores(Counts(5, 0, 0, 4, 3, 3, 3, 3)).values()) == {1.0}
    assert set(instance_scores(match_instances(np.arange(9), np.arange(9))).values()) == {1.0}


def test_scores_are_attributes_and_a_wrong_name_says_which_there_are() -> None:
    scores = pixel_scores(Counts(tp=8, fp=2, fn=2, tn=188))
    assert scores.dice == scores["dice"] == dice(Counts(tp=8, fp=2, fn=2, tn=188)) == 0.8
    assert pickle.loads(pickle.dumps(scores)) == scores
    with pytest.raises(AttributeError, match="no score 'dise', only dice, iou"):
        scores.dise  # noqa: B018
    objects = instance_scores(InstanceCounts(2, 2, (1,) * len(THRESHOLDS)))
    assert objects.ap == (1 / 3,) * len(THRESHOLDS)


def test_epochs_are_compared_by_more_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    lower = replace(VALIDATED["val_iou"], higher_is_better=False)
    monkeypatch.setattr(table, "VALIDATED", {**VALIDATED, "val_iou": lower})
    assert comparable({"val_dice": 0.5, "val_iou": 0.25, "val_loss": 3.0}) == [0.5, -0.25]


def test_a_score_that_is_added_to_the_table_is_in_everything_that_evaluate_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (*PIXEL_SCORES, Score("specificity", specificity, "specificity"))
    for module in (table, result):
        monkeypatch.setattr(module, "PIXEL_SCORES", more)
    truth = np.zeros((8, 8), bool)
    truth[2:6, 2:6] = True
    found = evaluate(np.roll(truth, 1, 1), truth)
    assert found.pooled.specificity == 44 / 48
    found.write_json(tmp_path / "a.json")
    found.write_csv(tmp_path / "a.csv")
    assert json.loads((tmp_path / "a.json").read_text())["mean"]["specificity"] == 44 / 48
    assert float(next(csv.DictReader((tmp_path / "a.csv").open()))["specificity"]) == 44 / 48
    with (console := Console(width=200)).capture() as captured:
        console.print(found.table())
    assert "Specificity" in captured.get()
    assert "0.917" in captured.get()
