"""The page of a run, made of folders that were written without training, and opened in a browser."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from browser import visit
from run_folders import METRICS, WARNING, write_images, write_run

from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, OutputError
from unetkit.models.segmenter import Segmenter
from unetkit.report.run.notes import read_notes
from unetkit.report.run.validated import MOST_BEST, MOST_WORST
from unetkit.report.run.write_report import write_report

LARGEST_PAGE = 10_000_000
"""Most bytes of a page."""


@pytest.fixture
def run(tmp_path: Path, tiny_segmenter: Segmenter) -> Path:
    return write_run(tmp_path / "runs" / "cells-1", tiny_segmenter)


def text_of(page: Path) -> str:
    """Return the words of a page, without tags and pictures."""
    return unescape(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")))


def test_the_page_shows_the_run_in_a_browser_and_asks_for_nothing(run: Path) -> None:
    page = write_report(run)
    assert page == run / "report.html"
    with visit(page) as seen:
        assert seen.page.title() == "cells-1: a training run of unetkit"
        assert seen.page.locator("figure.image").count() == 3
        assert seen.page.locator("figure.image .name").all_inner_texts() == ["b", "c", "a"]
        assert seen.page.locator("table.images tbody tr td:nth-child(3)").all_inner_texts() == [
            "0.300",
            "0.700",
            "0.900",
        ]
        widths = seen.page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
        assert len(widths) == 6
        assert min(widths) > 100
        assert seen.page.locator("svg[role=img]").count() == 3
        assert seen.page.locator("svg circle").count() > 3
        assert [address for address in seen.requests if not address.startswith("data:")] == [page.resolve().as_uri()]
        assert not seen.blocked
        assert not seen.messages


def test_contours_can_be_hidden_and_columns_sorted(run: Path) -> None:
    with visit(write_report(run)) as seen:
        drawn, plain = (seen.page.locator(f"figure.image .{name}").first for name in ("drawn", "plain"))
        assert (drawn.is_visible(), plain.is_visible()) == (True, False)
        seen.page.uncheck("#contours")
        assert (drawn.is_visible(), plain.is_visible()) == (False, True)
        names = seen.page.locator("table.images tbody tr td:nth-child(2)")
        seen.page.click("table.images th:has-text('Image')")
        assert names.all_inner_texts() == ["a", "b", "c"]
        seen.page.click("table.images th:has-text('Image')")
        assert names.all_inner_texts() == ["c", "b", "a"]


def test_light_and_dark_differ_and_a_narrow_window_is_not_scrolled_sideways(run: Path) -> None:
    with visit(write_report(run), width=390) as seen:
        colours = []
        for scheme in ("light", "dark"):
            seen.page.emulate_media(color_scheme=scheme)
            style = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
            colours.append(seen.page.evaluate(style))
        assert colours[0] == colours[1][::-1] or colours[0][0] != colours[1][0]
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 390


def test_it_says_who_chose_what_what_was_noticed_and_how_to_go_on(run: Path) -> None:
    text = text_of(write_report(run))
    assert WARNING in text
    assert re.search(r"model\.lr\s+0\.003\s+given", text)
    assert re.search(r"data\.crop\s+64\s+planned\s+objects are 20 pixels wide", text)
    for fact in ("0.8000", "7 + 3", "6.0 s", "Finished", "A halo."):
        assert fact in text
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("unetkit ")]
    words = [shlex.split(line) for line in lines]
    model = str(run / "model.safetensors")
    assert ["unetkit", "segment", "cells/a b.tif", "mask.tif", "--model", model] in words
    assert ["unetkit", "view", "cells/a b.tif", "mask.tif"] in words
    assert ["unetkit", "fit", "--resume", str(run), "--trainer.max_epochs", "6"] in words
    assert ["unetkit", "report", str(run)] in words


def test_the_model_is_marked_at_its_epoch(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    assert page.count('class="mark"') == 3
    assert "epoch 3: Dice 0.8" in page


def test_of_many_images_all_are_in_the_table_and_some_have_pictures(run: Path) -> None:
    count = 300
    write_images(run, [number / count for number in range(count)], [f"image {number:03}" for number in range(count)])
    page = write_report(run)
    assert page.stat().st_size < LARGEST_PAGE
    with visit(page) as seen:
        assert seen.page.locator("table.images tbody tr").count() == count
        names = seen.page.locator("figure.image .name").all_inner_texts()
    worst, best = range(MOST_WORST), reversed(range(count - MOST_BEST, count))
    assert names == [f"image {number:03}" for number in (*worst, *best)]


HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "'\"><img src=http://127.0.0.1:9/x onerror=alert(1)>",
    "b\udce4r",
    "{{ 7 * 7 }}",
]


def test_names_are_shown_as_they_are_whatever_is_in_them(tmp_path: Path, tiny_segmenter: Segmenter) -> None:
    run = write_run(tmp_path / "a'b <b>&$(x)", tiny_segmenter, (0.1, 0.2, 0.3, 0.4), HOSTILE)
    notes = read_notes(run)
    assert notes is not None
    replace(notes, given={"data.train": HOSTILE[1]}, noticed=tuple(HOSTILE), files=("a<b>.yaml",)).write(run)
    with visit(write_report(run)) as seen:
        assert seen.page.title() == "a'b <b>&$(x): a training run of unetkit"
        shown = [name.replace("\udce4", "\\udce4") for name in HOSTILE]
        assert seen.page.locator("figure.image .name").all_inner_texts() == shown
        assert seen.page.locator("p.warning").all_inner_texts() == [WARNING, *shown]
        assert not seen.blocked
        assert not seen.messages
        lines = seen.page.locator("pre").all_inner_texts()
        assert any(shlex.split(line)[-1] == str(run) for line in lines if line.startswith("unetkit report"))


@pytest.mark.parametrize(
    "gone", ["metrics.csv", "config.yaml", "model.safetensors", "run.json", "validation.csv", "report"]
)
def test_without_a_file_the_page_shows_the_rest(run: Path, gone: str) -> None:
    (shutil.rmtree if gone == "report" else os.remove)(run / gone)
    text = text_of(write_report(run))
    said = {"metrics.csv": "no curves", "config.yaml": "no config.yaml", "model.safetensors": "no model.safetensors"}
    said |= {
        "run.json": "is not noted",
        "validation.csv": "no scores of single images",
        "report": "is missing or damaged",
    }
    assert said[gone] in text
    for name, sign in {
        "metrics.csv": "Learning rate",
        "config.yaml": "seed_everything",
        "validation.csv": "All of them",
    }.items():
        assert (sign in text) == (name != gone)


@pytest.mark.parametrize("damaged", ["metrics.csv", "config.yaml", "model.safetensors", "run.json", "validation.csv"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage", b"[1, 2", b"{}"])
def test_a_damaged_file_is_named_and_the_page_shows_the_rest(run: Path, damaged: str, content: bytes) -> None:
    (run / damaged).write_bytes(content)
    text = text_of(write_report(run))
    known = damaged == "config.yaml" and content == b"{}"  # a configuration without a setting
    assert known or f"{run / damaged} is" in text
    assert ("Learning rate" in text) == (damaged != "metrics.csv")
    assert ("All of them" in text) == (damaged != "validation.csv")


def test_damaged_pictures_are_named_and_the_table_stays(run: Path) -> None:
    (run / "report" / "01.jpg").write_bytes(b"\xff\xd8 no picture")
    (run / "report" / "02.jpg").write_bytes(b"")
    page = write_report(run)
    assert page.read_text(encoding="utf-8").count('<figure class="image"') == 1
    assert "01.jpg is missing or damaged" in text_of(page)


def test_a_run_that_is_going_has_its_curves_and_says_what_comes_later(run: Path) -> None:
    for name in ("model.safetensors", "validation.csv"):
        (run / name).unlink()
    shutil.rmtree(run / "report")
    notes = read_notes(run)
    assert notes is not None
    replace(notes, ending=None).write(run)
    (run / "metrics.csv").write_text("".join(METRICS.splitlines(keepends=True)[:2]))
    text = text_of(write_report(run))
    assert "Not finished: it is still going, or was killed." in text
    assert "Learning rate" in text
    assert "They are written when the run ends." in text
    assert f"unetkit fit --resume {run}" in text


def test_scores_of_an_earlier_model_are_marked(run: Path) -> None:
    assert "are of an earlier model" not in text_of(write_report(run))
    notes = read_notes(run)
    assert notes is not None
    assert notes.ending is not None
    replace(notes, ending=replace(notes.ending, sha256="0" * 64)).write(run)
    assert "are of an earlier model" in text_of(write_report(run))


def test_classes_of_whole_images_have_their_table(run: Path) -> None:
    scores = {
        "threshold": 0.4,
        "classes": [{"auroc": 0.9, "sensitivity": None, "specificity": 0.5}] * 2,
        "confusion": {"names": ["no cell", "cell"], "truth_by_prediction": [[31, 2], [3, 44]]},
    }
    (run / "scores.json").write_text(json.dumps(scores))
    assert re.search(r"no cell\s+31\s+2\s+0\.900\s+0\.500\s+cell\s+3\s+44", text_of(write_report(run)))
    (run / "scores.json").write_text(json.dumps({**scores, "classes": []}))
    assert "Classes of whole images" not in text_of(write_report(run))


def test_the_nearest_run_is_named_where_there_is_none(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in {
        tmp_path / "runs" / "cell-1": f"Did you mean {run}?",
        tmp_path / "runs" / "zzzzzzz": f"There is {run}, for example.",
        tmp_path / "runs": f"give one of them, such as {run}",
        run / "metrics.csv": f"Give its folder: {run}",
        tmp_path / "elsewhere" / "x": "runs/cells-1",
    }.items():
        assert main(["report", str(words)]) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
    with pytest.raises(ConfigError, match="There is no run"):
        write_report(tmp_path / "missing")


def test_another_place_is_written_and_not_replaced_by_accident(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert write_report(run, page) == page
    assert not (run / "report.html").exists()
    with pytest.raises(OutputError, match="exists"):
        write_report(run, page)
    write_report(run, page, overwrite=True)
    write_report(run)
    write_report(run)  # the page in the folder is made anew


def test_a_page_that_cannot_be_written_is_an_error_and_leaves_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "report.html").mkdir()
    before = sorted(run.iterdir())
    assert main(["report", str(run)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert sorted(run.iterdir()) == before
