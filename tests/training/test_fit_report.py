"""The page that `fit` leaves at its end: what it holds agrees with the run, and no fault of it ends the run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from browser import visit
from tiny_fit import Fit

from unetkit.cli import main
from unetkit.foundation.errors import OutputError
from unetkit.models.model_file import hash_file, read_spec
from unetkit.report.run.notes import read_notes
from unetkit.report.run.validated import ValidatedImages, read_images
from unetkit.report.run.write_report import write_report


@pytest.fixture(scope="module")
def run(fit_cells: Fit, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run of a model for single objects, and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    code, out = fit_cells(runs, "--name", "first", "--model.instances", "true")
    assert code == 0
    return runs / "first", out


def test_the_page_is_named_at_the_end_and_opens_with_the_worst_first(run: tuple[Path, str]) -> None:
    folder, out = run
    page = folder / "report.html"
    assert f"Report: {page}" in out.splitlines()
    rows = sorted(read_images(folder), key=lambda row: row.values["dice"])
    with visit(page) as seen:
        assert seen.page.title() == "first: a training run of unetkit"
        assert seen.page.locator("figure.image .name").all_inner_texts() == [row.name for row in rows]
        shown = seen.page.locator("table.images tbody tr td:nth-child(3)").all_inner_texts()
        assert shown == [f"{row.values['dice']:.3f}" for row in rows]
        assert seen.page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
        assert [address for address in seen.requests if not address.startswith("data:")] == [page.resolve().as_uri()]
        assert not seen.blocked
        assert not seen.messages


def test_scores_of_single_images_have_the_mean_and_the_objects_of_the_run(run: tuple[Path, str]) -> None:
    folder, _ = run
    rows, training = read_images(folder), read_spec(folder / "model.safetensors").training
    assert [row.name for row in rows] == training["data"]["val_images"]
    values: list[Any] = [row.values for row in rows]
    assert sum(value["dice"] for value in values) / len(values) == pytest.approx(training["val_dice"], abs=1e-5)
    with (folder / "metrics.csv").open(newline="") as file:
        epoch = list(csv.DictReader(file))[training["epoch"] - 1]
    assert sum(value["iou"] for value in values) / len(values) == pytest.approx(float(epoch["val_iou"]), abs=6e-5)
    objects, true = (sum(value[name] for value in values) for name in ("objects", "true_objects"))
    assert true > 0
    matched = training["val_f1"] * (objects + true) / 2
    assert matched == pytest.approx(round(matched), abs=1e-6)


def test_the_notes_say_what_was_given_and_how_it_ended(run: tuple[Path, str]) -> None:
    folder, out = run
    notes = read_notes(folder)
    assert notes is not None
    assert notes.given is not None
    assert notes.given["model.instances"] is True
    assert notes.data["train_images"] == 3
    assert notes.ending is not None
    assert not notes.ending.interrupted
    assert notes.ending.sha256 == hash_file(folder / "model.safetensors")
    assert Path(notes.ending.image).is_file()
    assert Path(notes.ending.mask).is_file()
    assert all(remark in out for remark in notes.ending.remarks)


def test_the_page_is_made_again_without_the_images_and_for_a_run_that_was_copied(
    run: tuple[Path, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(run[0], copy)
    before = (copy / "report.html").read_text(encoding="utf-8")
    (copy / "report.html").unlink()
    again = write_report(copy).read_text(encoding="utf-8")
    assert again.count("data:image") == before.count("data:image") == 4
    assert str(run[0] / "model.safetensors") not in again


def test_a_finished_run_of_an_older_unetkit_gets_its_pictures_when_it_is_resumed(
    run: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(run[0], old)
    scores = (old / "validation.csv").read_text(encoding="utf-8")
    for name in ("run.json", "validation.csv", "report.html"):
        (old / name).unlink()
    shutil.rmtree(old / "report")
    text = write_report(old).read_text(encoding="utf-8")
    assert f"`unetkit fit --resume {old}` writes them" in text
    assert "data:image" in text  # validation.png
    assert main(["fit", "--resume", str(old)]) == 0
    assert "Report: " in capsys.readouterr().out
    assert (old / "validation.csv").read_text(encoding="utf-8") == scores


def test_a_full_disk_at_the_end_is_said_and_the_model_is_kept(
    fit_cells: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("The disk is full.", "Make room.")

    monkeypatch.setattr(ValidatedImages, "write", full)
    monkeypatch.setattr("unetkit.training.run.noting.write_report", full)
    code, out = fit_cells(tmp_path, "--name", "full")
    assert code == 0
    assert "There are no pictures: The disk is full. Make room." in out
    assert "There is no report: The disk is full. Make room." in out
    assert "Report: " not in out
    assert read_spec(tmp_path / "full" / "model.safetensors").halo_error is not None


def test_a_planned_run_notes_the_reasons_and_keeps_given_apart(fit_cells: Fit, tmp_path: Path) -> None:
    code, _ = fit_cells(tmp_path, "--name", "planned", "--plan", "true")
    assert code == 0
    notes = read_notes(tmp_path / "planned")
    assert notes is not None
    assert notes.given is not None
    planned = {choice.key for choice in notes.plan.chosen}
    assert planned
    assert "data.crop" in notes.given
    assert not planned & set(notes.given)
    assert all(choice.why for choice in notes.plan.chosen)
    assert any("5 images" in fact for fact in notes.plan.facts)
