from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from unetkit.training.run import notebook_bar
from unetkit.training.run.notebook_bar import NotebookTrainingBar


class Bar:
    """What a bar was last told."""

    seconds = 60.0

    def __init__(self, title: str, total: float | None) -> None:
        self.title, self.share, self.note = title, 0.0, ""

    def update(self, done: float, *, title: str, total: float, note: str, at_once: bool) -> None:
        assert total == 1
        self.share, self.title, self.note = done, title, note


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> NotebookTrainingBar:
    monkeypatch.setattr(notebook_bar, "NotebookBar", Bar)
    return NotebookTrainingBar()


def after(bar: NotebookTrainingBar, first: int, step: int, budget: float | None, patch: pytest.MonkeyPatch) -> Bar:
    """The bar of a run of 100 steps that began at step `first`, at `step`, with this share of its time over."""
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        global_step=first,
        estimated_stepping_batches=100,
        sanity_checking=False,
        current_epoch=step // 10,
        max_epochs=10,
    )
    time = None if budget is None else SimpleNamespace(progress=budget)
    for module in ("notebook_bar", "callbacks"):
        patch.setattr(f"unetkit.training.run.{module}.budget_of", lambda _: time)
    module = cast(Any, None)
    bar.on_train_start(trainer, module)
    trainer.global_step = step
    bar.on_train_batch_end(trainer, module, None, None, 0)
    return cast(Bar, bar._bar)


def test_it_shows_steps_and_what_is_left(bar: NotebookTrainingBar, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = after(bar, 0, 25, None, monkeypatch)
    assert (shown.title, shown.share, shown.note) == ("Epoch 3/10", 0.25, "1:00, about 3:00 left")


def test_a_resumed_run_is_timed_by_its_own_steps(bar: NotebookTrainingBar, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = after(bar, 50, 75, None, monkeypatch)
    assert (shown.share, shown.note) == (0.75, "1:00, about 1:00 left")


def test_time_counts_where_it_is_over_before_the_steps(
    bar: NotebookTrainingBar, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(bar, 0, 10, 0.5, monkeypatch).share == 0.5
    assert after(bar, 0, 90, 0.5, monkeypatch).share == 0.9


def test_it_is_full_at_the_end(bar: NotebookTrainingBar, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = after(bar, 0, 100, None, monkeypatch)
    assert (shown.share, shown.note) == (1, "1:00")
