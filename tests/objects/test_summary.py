"""Summaries add up over batches, and their table has the columns that any image has."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unetkit.objects.frame import Frame
from unetkit.objects.summary import Summary, describe_summary, write_summaries


def batch(areas: list[int], classes: list[str] | None = None) -> dict[str, Any]:
    values = {
        "label": np.arange(len(areas)),
        "area_px": np.array(areas),
        "touches_border": np.array(areas) > 8,
    }
    return values | ({"class": np.array(classes, object)} if classes else {})


def summary(name: str, *batches: dict[str, Any], size: tuple[float, float] | None = None) -> Summary:
    found = Summary(name, Frame((100, 200), "Z", (2,), size))
    for one in batches:
        found.add(one)
    return found


def test_batches_add_up() -> None:
    areas = [5, 9, 9, 4, 1, 12, 7]
    whole, cut = summary("a", batch(areas)), summary("a", batch(areas[:3]), batch(areas[3:]))
    assert whole.row() == cut.row()
    row = cut.row()
    assert (row["objects"], row["objects_touching_border"]) == (7, 3)
    assert row["mean_area_px"] == pytest.approx(np.mean(areas))
    assert row["median_area_px"] == np.median(areas)
    assert row["foreground_share"] == pytest.approx(sum(areas) / 40_000)
    assert row["density_per_megapixel"] == pytest.approx(7 / 0.04)
    assert summary("a", batch([1, 2, 5, 8])).median_area_px == 3.5


def test_a_table_has_a_cell_for_each_class_and_empty_ones_for_what_is_not_known(tmp_path: Path) -> None:
    done = [
        summary("a", batch([4, 6], ["tumour", "stroma"]), batch([5], ["tumour"]), size=(0.5, 2.0)),
        summary("b, c", batch([3], ["lumen"])),
        summary("d"),
    ]
    write_summaries(tmp_path / "summary.csv", done)
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["image"] for row in rows] == ["a", "b, c", "d"]
    assert [[row[f"objects_{name}"] for name in ("tumour", "stroma", "lumen")] for row in rows] == [
        ["2", "1", "0"],
        ["0", "0", "1"],
        ["0", "0", "0"],
    ]
    assert [row["density_per_mm2"] for row in rows] == ["75", "", ""]
    assert [row["image_area_mm2"] for row in rows] == ["0.04", "", ""]
    assert [row["mean_area_px"] for row in rows] == ["5", "3", ""]
    assert "0.5" in rows[0].values()


def test_columns_in_micrometres_are_left_out_where_no_image_has_a_pixel_size(tmp_path: Path) -> None:
    write_summaries(tmp_path / "summary.csv", [summary("a", batch([4]))])
    assert "um" not in (tmp_path / "summary.csv").read_text()


def test_a_sentence_names_the_density_in_the_unit_that_is_known() -> None:
    assert (
        describe_summary(summary("a", batch([4, 6]), size=(0.5, 0.5)))
        == "a: 2 objects, 200 per mm², 1.25 µm² on average."
    )
    assert describe_summary(summary("a", batch([4, 6]))) == "a: 2 objects, 50 per megapixel, 5 pixels on average."
    assert describe_summary(summary("a")) == "a: no objects."
