from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import METRICS

from unetkit.foundation.errors import DataError
from unetkit.report.run.metrics import read_metrics


def test_epochs_count_from_1_and_have_only_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(METRICS)
    metrics = read_metrics(tmp_path)
    assert metrics is not None
    assert metrics.column("train_loss") == [(1, 1.2), (2, 0.9), (3, 0.7)]
    assert metrics.column("val_dice") == [(1, 0.4), (3, 0.8)]
    assert metrics.seconds == 6
    assert metrics.names == ["train_loss", "val_dice", "val_iou", "val_pooled_dice", "val_pooled_iou"]
    assert metrics.problem == ""


def test_a_run_that_has_not_begun_has_no_table(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) is None


def test_losses_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,train_loss\n0,0.5\n1,nan\n2,inf\n")
    metrics = read_metrics(tmp_path)
    assert metrics is not None
    assert metrics.column("train_loss") == [(1, 0.5)]


def test_a_table_that_is_cut_off_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    lines = METRICS.splitlines(keepends=True)
    for length in range(len(lines[0] + lines[1]), len(METRICS)):
        (tmp_path / "metrics.csv").write_text(METRICS[:length])
        metrics = read_metrics(tmp_path)
        assert metrics is not None
        whole = METRICS[:length].count("\n") - 1
        assert metrics.column("train_loss") == [(1, 1.2), (2, 0.9), (3, 0.7)][:whole]
        assert bool(metrics.problem) == (not METRICS[:length].endswith("\n"))


@pytest.mark.parametrize("text", ["loss\n1\n", "epoch,loss\nx,1\n", "\0\0\0"])
def test_what_is_no_table_of_a_run_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.csv is damaged"):
        read_metrics(tmp_path)


def test_lines_after_a_damaged_one_are_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,train_loss\n0,0.5\n1,0.4\n2,oops\n3,0.1\n")
    metrics = read_metrics(tmp_path)
    assert metrics is not None
    assert len(metrics.rows) == 2
    assert "after epoch 2" in metrics.problem
